"""Wheels for another machine: fetched as locked, by pip, which needs not run there."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import TalusError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from export.package.targets import Target

FILES = Path(__file__).with_name("files")
RUNTIMES = ("ai-edge-litert", "onnxruntime", "tflite-runtime")
SLIM = ("ai-edge-litert", "paho-mqtt", "pyserial")
"""Of a slim package: numpy is the distribution's."""
PIP = "pip"
"""Locked as the others, and goes along in a wheelhouse; it is installed nowhere."""
_TIMEOUT_S = 900
_NO_NETWORK = ("Failed to establish a new connection", "Connection aborted", "Network is unreach",
               "NameResolutionError", "Temporary failure in name resolution", "ProxyError",
               "Connection refused", "ConnectTimeout", "Read timed out", "Max retries")  # fmt: skip


def locked(target: Target) -> dict[str, str]:
    """Return the lines of the lock by name. Raises TalusError."""
    path = FILES / f"wheels-{target.abi}.txt"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TalusError(f"no wheels are locked for Python {target.release.python}") from None
    lines = [line.strip() for line in text.splitlines()]
    return {line.split("==")[0]: line for line in lines if line and not line.startswith("#")}


def fetch(target: Target, names: Iterable[str], into: Path, wheels: Path | None = None) -> None:
    """Fetch wheels of these names, each proven by its sha256. Raises TalusError.

    ``wheels``: a folder that has them; the network is left alone then.
    """
    lock = locked(target)
    lines = [lock[name] for name in names]
    if wheels is not None and not wheels.is_dir():
        raise TalusError(f"--wheels {wheels}: no such folder")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as wanted:
        wanted.write("\n".join(lines) + "\n")
        wanted.flush()
        source = ("--no-index", "--find-links", str(wheels)) if wheels is not None else ()
        run_pip(target, ("--require-hashes", "-r", wanted.name, *source), into)


def run_pip(target: Target, more: Iterable[str], into: Path) -> None:
    """Let pip download wheels for a target. Raises TalusError in words."""
    if find_spec("pip") is None:
        raise TalusError("pip is not installed for this Python: python3 -m ensurepip")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "1",
               "--disable-pip-version-check", "--dest", str(into), "--only-binary=:all:",
               "--implementation", "cp", "--python-version", target.release.python]  # fmt: skip
    for abi in (target.abi, "abi3", "none"):
        command += ["--abi", abi]
    for platform in target.platforms:
        command += ["--platform", platform]
    try:
        done = subprocess.run(
            [*command, *more], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise TalusError(f"pip did not end in {_TIMEOUT_S} s: is the network that slow?") from None
    if done.returncode:
        raise TalusError(_told(done.stderr, target))


def _told(said: str, target: Target) -> str:
    """Say what pip has failed of."""
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if "ERROR" in line]
    where = f"Python {target.release.python} on {target.arch}, glibc 2.{target.release.glibc}"
    if "HASHES" in said:
        return "a wheel is not the one that is locked: tampered with, or a mirror that is wrong"
    if any(word in said for word in _NO_NETWORK):
        return ("no network, or no package index there: go on with --wheels and a folder that "
                "talus-export wheelhouse has filled elsewhere")  # fmt: skip
    missing = [e.rsplit(" for ", 1)[1] for e in errors if e.startswith("No matching distribution")]
    if missing:
        return f"no wheel for {where}: {missing[0].split(' ')[0]}"
    return f"pip: {errors[0] if errors else said.strip()[-300:]}"
