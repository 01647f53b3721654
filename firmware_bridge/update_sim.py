"""A simulated node whose firmware can be updated, with all that can go wrong.

With two slots it boots as MCUboot does: an image set for test is swapped in for one boot, and
swapped back at the next reset unless it was confirmed; an image that is not whole is never
started; a swap that a power cut interrupts is finished at the next start. With one slot a boot
loader in ROM always answers, and the image is written over the one that ran.

An image says how it will behave: `make_image`.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from enum import Enum

from firmware_bridge.update_target import (
    Backup,
    Identity,
    ReadBack,
    Reverted,
    Sample,
    Samples,
    TargetError,
    Written,
)

BOARD = "sim-node"
SLOT_BYTES = 1024 * 1024
WATCHDOG_REQUESTS = 2
"""Requests that go unanswered before the watchdog resets a node that hangs."""
_MAGIC = b"TALUSSIM"
_SILENT = "does not answer: look at its power and its cable, then talus-flash resume"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a simulated image does once it is started."""

    version: tuple[int, int, int] = (1, 0, 0)
    boots: bool = True
    watchdog: bool = True
    """Whether the watchdog resets it if it does not boot; else only a power cut does."""
    reports: str = ""
    """Digest it reports of itself; "": the true one."""
    samples: str = "good"
    """good, out (of low..high), nan or none."""


class Swap(Enum):
    """What the boot loader does at the next reset."""

    NONE = "none"
    TEST = "test"
    PERMANENT = "permanent"


@dataclass(slots=True)
class Memory:
    """What survives a power cut."""

    primary: bytes
    secondary: bytes = b""
    swap: Swap = Swap.NONE
    confirmed: bool = True
    swapping: Swap = Swap.NONE
    """A swap was interrupted: it is finished, as this one, before anything else is done."""


def make_image(behaviour: Behaviour, size: int = 400) -> bytes:
    """Give an image that behaves so: a header, filling up to about `size` bytes, its SHA-256."""
    fields = {
        "version": behaviour.version,
        "boots": behaviour.boots,
        "watchdog": behaviour.watchdog,
        "reports": behaviour.reports,
        "samples": behaviour.samples,
    }
    head = json.dumps(fields).encode()
    content = _MAGIC + len(head).to_bytes(2, "little") + head
    content += bytes(i * 37 % 251 for i in range(max(0, size - len(content) - 32)))
    return content + hashlib.sha256(content).digest()


def behaviour_of(image: bytes) -> Behaviour | None:
    """Give what an image will do; None if it is not whole."""
    if not image.startswith(_MAGIC) or hashlib.sha256(image[:-32]).digest() != image[-32:]:
        return None
    start = len(_MAGIC) + 2
    size = int.from_bytes(image[len(_MAGIC) : start], "little")
    fields = json.loads(image[start : start + size])
    first, second, third = fields["version"]
    return Behaviour(
        (first, second, third),
        fields["boots"],
        fields["watchdog"],
        fields["reports"],
        fields["samples"],
    )


class SimTarget:
    """A simulated node; the attributes without underscore are there for faults."""

    chunk_bytes = 128

    def __init__(self, memory: Memory, slots: int = 2, *, boot: bool = True) -> None:
        """Take a memory and start from it; without `boot` it is as if it had run all along."""
        self.memory = memory
        self.slots = slots
        self.kept = b""  # the backup of a node with one slot: it is on the gateway's disk
        self.battery_mv: int | None = 3700
        self.hangs = False
        """Answers nothing until its power is cut."""
        self.damages = False
        """The next chunk arrives damaged, and nobody notices."""
        self.tears = False
        """The power goes in the middle of the next write or swap."""
        self._unanswered = 0
        self._app = behaviour_of(memory.primary)
        if boot:
            self._boot()

    @property
    def runs(self) -> bool:
        """Whether an image has started and does its work."""
        return not self.hangs and self._app is not None and self._app.boots

    def power_cut(self) -> None:
        """Lose all but the memory, and start again."""
        self.hangs = False
        self._unanswered = 0
        self._boot()

    def _boot(self) -> None:
        memory = self.memory
        if self.slots == 2:
            due = memory.swap
            if due is not Swap.NONE and not self._whole(memory.secondary):
                due = Swap.NONE  # refused
            elif due is Swap.NONE and not memory.confirmed:
                due = Swap.PERMANENT  # back
            self._swap(due if memory.swapping is Swap.NONE else memory.swapping)
            memory.swap = Swap.NONE
        self._app = behaviour_of(memory.primary)

    def _swap(self, due: Swap) -> None:
        if due is Swap.NONE:
            return
        memory = self.memory
        if self.tears:
            self.tears = False
            memory.swapping = due
            self.hangs = True
            raise TargetError(_SILENT)
        memory.primary, memory.secondary = memory.secondary, memory.primary
        memory.confirmed = due is Swap.PERMANENT
        memory.swapping = Swap.NONE

    def _whole(self, image: bytes) -> bool:
        return behaviour_of(image) is not None

    def _heard(self, *, rom: bool = False) -> None:
        """Raise TargetError unless somebody is there to answer: the image, or the boot loader."""
        if self.hangs:
            raise TargetError(_SILENT)
        if self.runs or (rom and self.slots == 1):
            return
        self._unanswered += 1
        if self._app is not None and self._app.watchdog and self._unanswered >= WATCHDOG_REQUESTS:
            self._unanswered = 0
            self._boot()
        raise TargetError(_SILENT)

    # Target

    def prepare(self, image: bytes) -> str:
        """Give the SHA-256 of the image."""
        if not image.startswith(_MAGIC):
            raise ValueError("image: is not one for a simulated node")
        return hashlib.sha256(image).hexdigest()

    def identify(self) -> Identity:
        """Say what runs; "" where only the boot loader of the one slot answers."""
        self._heard(rom=True)
        running = ""
        if self.runs and self._app is not None:
            running = self._app.reports or hashlib.sha256(self.memory.primary).hexdigest()
        return Identity(
            BOARD,
            running,
            self.memory.confirmed,
            self.slots,
            SLOT_BYTES,
            None if self._app is None else self._app.version,
            None,
            self.battery_mv,
        )

    def backup(self) -> Backup:
        """Keep the image that runs; with two slots it stays in its own."""
        self._heard(rom=True)
        self.kept = self.memory.primary
        return Backup(hashlib.sha256(self.memory.primary).hexdigest())

    def write(self, offset: int, data: bytes) -> Written:
        """Write into the second slot, or over the only one."""
        self._heard(rom=True)
        if self.damages:
            self.damages = False
            data = bytes([data[0] ^ 0x10]) + data[1:]
        torn = self.tears
        if torn:
            self.tears = False
            data = data[: len(data) // 2]
        if self.slots == 2:
            self.memory.secondary = self.memory.secondary[:offset] + data
        else:
            self.memory.primary = self.memory.primary[:offset] + data
            self._app = None
        if torn:
            self.hangs = True
            raise TargetError(_SILENT)
        return Written(offset + len(data))

    def read_back(self, size: int) -> ReadBack:
        """Give the SHA-256 of what was written."""
        self._heard(rom=True)
        found = self.memory.secondary if self.slots == 2 else self.memory.primary
        return ReadBack(hashlib.sha256(found[:size]).hexdigest())

    def test_boot(self, digest: str) -> None:
        """Set the second slot for test, and restart."""
        self._heard(rom=True)
        if self.slots == 2:
            self.memory.swap = Swap.TEST
        self._boot()

    def samples(self, count: int) -> Samples:
        """Give samples of the kind that the image sends."""
        self._heard()
        kind = "" if self._app is None else self._app.samples
        value = {"good": 1.5, "out": 99.0, "nan": math.nan}.get(kind)
        if value is None:
            return Samples(())
        return Samples((Sample((20.0, value), (-40.0, 0.0), (85.0, 10.0)),) * count)

    def confirm(self, digest: str) -> None:
        """Make the running image stay."""
        self._heard()
        self.memory.confirmed = True

    def revert(self, old: str) -> Reverted:
        """Bring the old image back: from the second slot, or from the backup."""
        self._heard(rom=True)
        memory = self.memory
        memory.swap = Swap.NONE
        if self.slots == 1:
            self._restore()
        elif hashlib.sha256(memory.primary).hexdigest() != old:
            if memory.confirmed and hashlib.sha256(memory.secondary).hexdigest() == old:
                memory.swap = Swap.PERMANENT
            self._boot()
        return Reverted(hashlib.sha256(memory.primary).hexdigest(), memory.confirmed)

    def _restore(self) -> None:
        if self.tears:
            self.tears = False
            self.memory.primary = self.kept[: len(self.kept) // 2]
            self._app = None
            self.hangs = True
            raise TargetError(_SILENT)
        self.memory.primary = self.kept
        self._boot()

    def close(self) -> None:
        """Nothing to let go of."""
