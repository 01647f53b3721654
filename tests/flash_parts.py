"""What tests of talus-flash begin with: keys, a signed image, a simulated node, the command."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from export.firmware import firmware_manifest, sign_firmware
from export.secret_key import make_key
from firmware_bridge.update_sim import BOARD, Behaviour, make_image
from firmware_bridge.update_sim_file import make_sim_file

KEY = make_key()
OLD = make_image(Behaviour((1, 0, 0)), 900)
NEW = make_image(Behaviour((1, 1, 0)), 1500)


@dataclass(frozen=True)
class Parts:
    """A folder with a node and what is to be written to it."""

    folder: Path

    @property
    def node(self) -> Path:
        return self.folder / "node.json"

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def options(self, *more: str, target: str = "sim", port: str = "") -> list[str]:
        return [
            "update", "--port", port or str(self.node), "--target", target,
            "--manifest", str(self.folder / "app.json"), "--image", str(self.folder / "app.bin"),
            "--key", KEY.public.text, *more,
        ]  # fmt: skip

    def alone(self, *more: str) -> list[str]:
        return self.options("--no-gateway", "--journal", str(self.journal), *more)

    def resume(self) -> list[str]:
        return ["resume", "--journal", str(self.journal)]


def signed(
    folder: Path, image: bytes = NEW, board: str = BOARD, version: str = "1.1.0", counter: int = 7
) -> None:
    (folder / "app.bin").write_bytes(image)
    content = firmware_manifest(folder / "app.bin", board, version, counter)
    sign_firmware(folder / "app.json", content, KEY, 1_700_000_000)


def parts(folder: Path, *, slots: int = 2, delay_ms: int = 0, image: bytes = NEW) -> Parts:
    signed(folder, image)
    made = Parts(folder)
    make_sim_file(made.node, OLD, slots, delay_ms)
    return made


def start(
    options: list[str], cwd: Path | None = None, path: Path | None = None
) -> subprocess.Popen[str]:
    """Start talus-flash; `path` is searched for programs before all else."""
    environment = dict(os.environ)
    if path is not None:
        environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
    return subprocess.Popen(
        [sys.executable, "-m", "firmware_bridge.flash", *options],
        cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def flash(options: list[str], cwd: Path | None = None, path: Path | None = None) -> tuple[int, str]:
    """Run talus-flash to its end; gives its exit code and what it said."""
    process = start(options, cwd, path)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said
