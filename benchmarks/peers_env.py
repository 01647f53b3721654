"""An environment for each peer under ~/.cache/talus/peers, made on first use with pip or npm."""

from __future__ import annotations

import json
import subprocess
import venv
from pathlib import Path

HOME = Path.home() / ".cache" / "talus" / "peers"
PYTHON_PACKAGES = {
    "thingsboard-gateway": ("thingsboard-gateway==3.8.5", "pyserial==3.5"),
    "mqtt-io": ("mqtt-io==2.7.0", "pyserial==3.5"),
    "anomaly": ("river==0.26.1", "scikit-learn==1.9.1"),
}
NODE_PACKAGES = {"node-red": ("node-red@4.1.15", "node-red-node-serialport@2.0.3")}
PATIENCE_S = 900


class NotInstalledError(Exception):
    """Why a peer cannot be installed here."""


def python_of(name: str) -> Path:
    """Return the interpreter of a peer's environment, made if there is none."""
    folder, packages = HOME / name, PYTHON_PACKAGES[name]
    python = folder / "bin" / "python"
    if not _ready(folder, packages):
        print(f"{name}: making {folder} ...", flush=True)
        try:
            venv.create(folder, with_pip=True, symlinks=True, clear=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise NotInstalledError(f"no environment in {folder}: {error}") from None
        _run(name, [str(python), "-m", "pip", "install", "-q", *packages])
        _made(folder, packages)
    return python


def node_of(name: str) -> Path:
    """Return the folder of a peer's node_modules, made if there is none."""
    folder, packages = HOME / name, NODE_PACKAGES[name]
    if not _ready(folder, packages):
        print(f"{name}: making {folder} ...", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        _run(name, ["npm", "install", "--prefix", str(folder), *quiet, *packages])
        _made(folder, packages)
    return folder / "node_modules"


def python_version(python: Path, package: str) -> str:
    """Return the version of a package in an environment."""
    asked = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def node_version(modules: Path, package: str) -> str:
    """Return the version of a package in node_modules."""
    text = (modules / package / "package.json").read_text(encoding="utf-8")
    return str(json.loads(text)["version"])


def _ready(folder: Path, packages: tuple[str, ...]) -> bool:
    stamp = folder / "talus-peer.json"
    return stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) == list(packages)


def _made(folder: Path, packages: tuple[str, ...]) -> None:
    text = json.dumps(list(packages)) + "\n"
    (folder / "talus-peer.json").write_text(text, encoding="utf-8")


def _run(name: str, command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotInstalledError(f"{command[0]}: {error}") from None
    if done.returncode:
        said = [text for text in done.stderr.strip().splitlines() if text.strip()]
        wrong = [text for text in said if "error" in text.lower()] or said or ["it said nothing"]
        raise NotInstalledError(f"{Path(command[0]).name} could not install {name}: {wrong[-1]}")
