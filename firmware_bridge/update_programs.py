"""Targets with one slot, through the program that their boot loader is spoken to with.

The programs of `update_loaders` are run as processes of their own: a list of arguments and never a
shell, no input, output and time bounded. The old image is kept in `backup.bin` of the journal's
folder before it is written over.
"""

from __future__ import annotations

import hashlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from firmware_bridge.update_manifest import MAX_IMAGE_BYTES
from firmware_bridge.update_target import (
    Backup,
    Identity,
    ReadBack,
    Reverted,
    Samples,
    TargetError,
    Written,
)
from firmware_bridge.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from firmware_bridge.messages import Hello
    from firmware_bridge.update_loaders import Program

MAX_OUTPUT_BYTES = 64 * 1024
"""Of a program's output, the newest is kept."""
BACKUP_FILE = "backup.bin"
_CHUNK, _READ = "chunk.bin", "read.bin"
_LEAST_LIMIT_S = 60.0


def run_program(command: Sequence[str], folder: Path, limit_s: float) -> str:
    """Run a program in a folder; gives the end of its output. TargetError if it fails."""
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        raise TargetError(f"{command[0]}: {error.strerror or error}: is it installed?") from error
    try:
        output, in_time = _output(process, time.monotonic() + limit_s)
    finally:
        with suppress(ProcessLookupError, PermissionError):  # its children too
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    text = output.decode("utf-8", "replace")
    if not in_time:
        raise TargetError(f"{command[0]}: did not end within {limit_s:.0f} s")
    if process.returncode != 0:
        said = [line.strip() for line in text.splitlines() if line.strip()]
        why = said[-1][:200] if said else f"exit code {process.returncode}"
        raise TargetError(f"{command[0]}: {why}")
    return text


def _output(process: subprocess.Popen[bytes], end_s: float) -> tuple[bytes, bool]:
    """Give the end of what a program says, and whether it ended in time."""
    output = b""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left_s := end_s - time.monotonic()) > 0:
            if not selector.select(left_s):
                break
            data = os.read(process.stdout.fileno(), 4096)
            if not data:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, end_s - time.monotonic()))
                return output, process.returncode is not None
            output = (output + data)[-MAX_OUTPUT_BYTES:]
    return output, False


class Runs(Protocol):
    """How the running image is asked; `update_node.NodeLine` for TW1."""

    def who(self) -> tuple[Hello | None, int | None]:
        """Give its HELLO and its battery in mV; None for what does not come."""
        ...

    def samples(self, count: int) -> Samples:
        """Wait for samples."""
        ...


class ProgramTarget:
    """A node with one slot, behind `Target`."""

    slots = 1

    def __init__(self, program: Program, folder: Path, runs: Runs, baud: int) -> None:
        if shutil.which(program.name) is None:
            raise TargetError(f"{program.name}: is not installed: pip or apt install it")
        self.chunk_bytes = program.chunk_bytes
        self._program = program
        self._folder = folder
        self._runs = runs
        self._baud = baud
        self._size = 0

    def prepare(self, image: bytes) -> str:
        """Give the SHA-256 of the image."""
        self._size = len(image)
        return hashlib.sha256(image).hexdigest()

    def identify(self) -> Identity:
        """Ask the boot loader for the board, and the image, if one runs, for its hash."""
        board = self._program.board(self._run(self._program.identify(), 0))
        if not board:
            raise TargetError(f"{self._program.name}: does not say what chip it is")
        hello, battery_mv = self._runs.who()
        running = "" if hello is None else hello.image_hash.hex()
        version = None if hello is None else hello.firmware
        return Identity(board, running, True, 1, version=version, battery_mv=battery_mv)

    def backup(self) -> Backup:
        """Read what will be written over into `backup.bin`."""
        said = self._run(self._program.identify(), 0)
        old = self._region(self._program.extent(self._size, said))
        write_whole(self._folder / BACKUP_FILE, old)
        return Backup(hashlib.sha256(old).hexdigest())

    def write(self, offset: int, data: bytes) -> Written:
        """Write a chunk over the old image."""
        write_whole(self._folder / _CHUNK, data)
        self._run(self._program.write(_CHUNK, offset), len(data))
        return Written(offset + len(data))

    def read_back(self, size: int) -> ReadBack:
        """Read the image back and give its SHA-256."""
        return ReadBack(hashlib.sha256(self._region(size)[:size]).hexdigest())

    def test_boot(self, digest: str) -> None:
        """Restart it: these programs leave the chip running its image."""
        self._run(self._program.identify(), 0)

    def samples(self, count: int) -> Samples:
        """Wait for samples of the running image."""
        return self._runs.samples(count)

    def confirm(self, digest: str) -> None:
        """With one slot there is nothing to confirm."""

    def revert(self, old: str) -> Reverted:
        """Write the backup back, and read it back."""
        try:
            kept = (self._folder / BACKUP_FILE).read_bytes()
        except OSError as error:
            raise TargetError(f"{self._folder / BACKUP_FILE}: {error.strerror}") from error
        if hashlib.sha256(kept).hexdigest() != old:
            raise TargetError(f"{self._folder / BACKUP_FILE}: is not the backup that was made")
        self.write(0, kept)
        found = self._region(len(kept))
        self._run(self._program.identify(), 0)
        return Reverted(hashlib.sha256(found).hexdigest(), confirmed=True)

    def close(self) -> None:
        """Nothing is open between two runs of a program."""

    def _region(self, size: int) -> bytes:
        path = self._folder / _READ
        path.unlink(missing_ok=True)
        self._run(self._program.read(_READ, size), size or MAX_IMAGE_BYTES // 16)
        try:
            with path.open("rb") as file:
                found = file.read(MAX_IMAGE_BYTES + 1)
        except OSError as error:
            raise TargetError(f"{self._program.name}: read nothing") from error
        if not size <= len(found) <= MAX_IMAGE_BYTES or not found:
            raise TargetError(f"{self._program.name}: read {len(found)} bytes, not {size}")
        return found

    def _run(self, command: list[str], size: int) -> str:
        """Run it with three times the time that the line needs."""
        return run_program(command, self._folder, _LEAST_LIMIT_S + 30 * size / self._baud)
