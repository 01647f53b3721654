"""A simulated node kept in a file, so that it outlives the process that updates it.

It goes on running while nobody talks to it, as a node does: only `power_cut` restarts it. Each
call leaves the file whole, so a process that is killed leaves the node before the call or after it.
"""

from __future__ import annotations

import base64
import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from firmware_bridge.update_sim import BOARD, Memory, SimTarget, Swap
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
    from collections.abc import Iterator
    from pathlib import Path

MAX_FILE_BYTES = 8 * 1024 * 1024


def make_sim_file(path: Path, image: bytes, slots: int = 2, delay_ms: int = 0) -> None:
    """Write a node that runs this image; each of its answers takes `delay_ms`."""
    memory = Memory(image)
    target = SimTarget(memory, slots)
    write_whole(path, _content(target, delay_ms))


class SimFileTarget(SimTarget):
    """The simulated node of a file, behind `Target`."""

    def __init__(self, path: Path) -> None:
        """Read it; TargetError where there is none, or it is damaged."""
        values = _read(path)
        try:
            memory = Memory(
                base64.b64decode(values["primary"], validate=True),
                base64.b64decode(values["secondary"], validate=True),
                Swap(values["swap"]),
                bool(values["confirmed"]),
                Swap(values["swapping"]),
            )
            super().__init__(memory, int(values["slots"]), boot=False)
            self.kept = base64.b64decode(values["kept"], validate=True)
            self.battery_mv = None if values["battery_mv"] is None else int(values["battery_mv"])
            self.hangs = bool(values["hangs"])
            self._delay_ms = int(values["delay_ms"])
        except (KeyError, TypeError, ValueError) as error:
            raise TargetError(f"{path}: is no simulated node: talus-flash sim {path}") from error
        self._path = path

    def save(self) -> None:
        """Put it into its file."""
        write_whole(self._path, _content(self, self._delay_ms))

    @contextmanager
    def _call(self) -> Iterator[None]:
        time.sleep(self._delay_ms / 1000)
        try:
            yield
        finally:
            self.save()

    def power_cut(self) -> None:
        """Lose all but the memory, and start again."""
        with self._call():
            super().power_cut()

    def identify(self) -> Identity:
        """Say what runs."""
        with self._call():
            return super().identify()

    def backup(self) -> Backup:
        """Keep the image that runs."""
        with self._call():
            return super().backup()

    def write(self, offset: int, data: bytes) -> Written:
        """Write a chunk."""
        with self._call():
            return super().write(offset, data)

    def read_back(self, size: int) -> ReadBack:
        """Give the SHA-256 of what was written."""
        with self._call():
            return super().read_back(size)

    def test_boot(self, digest: str) -> None:
        """Restart into the new image."""
        with self._call():
            super().test_boot(digest)

    def samples(self, count: int) -> Samples:
        """Give samples."""
        with self._call():
            return super().samples(count)

    def confirm(self, digest: str) -> None:
        """Make the running image stay."""
        with self._call():
            super().confirm(digest)

    def revert(self, old: str) -> Reverted:
        """Bring the old image back."""
        with self._call():
            return super().revert(old)


def _content(target: SimTarget, delay_ms: int) -> bytes:
    memory = target.memory
    values = {
        "board": BOARD,
        "slots": target.slots,
        "primary": base64.b64encode(memory.primary).decode(),
        "secondary": base64.b64encode(memory.secondary).decode(),
        "kept": base64.b64encode(target.kept).decode(),
        "swap": memory.swap.value,
        "swapping": memory.swapping.value,
        "confirmed": memory.confirmed,
        "hangs": target.hangs,
        "battery_mv": target.battery_mv,
        "delay_ms": delay_ms,
    }
    return json.dumps(values, indent=1).encode() + b"\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        values = json.loads(data) if len(data) <= MAX_FILE_BYTES else None
    except OSError as error:
        why = error.strerror or str(error)
        raise TargetError(f"{path}: {why}: make a node with talus-flash sim {path}") from error
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise TargetError(f"{path}: is no simulated node: talus-flash sim {path}")
    return values
