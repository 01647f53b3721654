"""What a sensor node is to an update: `Target`, and what each of its answers is.

An image is named by a digest: hex of the SHA-256 that the target itself computes over it, whole or
only its beginning (a TW1 HELLO gives 8 bytes), so digests are compared with `same_image`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

LEAST_DIGEST = 16
"""Hex digits that a digest must have to name an image: the 8 bytes of a HELLO."""
MAX_SAMPLES = 64
"""Most samples that are asked for at once."""


class TargetError(Exception):
    """The target did not do what was asked, or did not answer; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the target is, and what runs on it now."""

    board: str
    running: str
    """Digest of the image that runs; "" where it does not tell (one slot, half written)."""
    confirmed: bool
    """Whether it stays after the next reset. With one slot, always."""
    slots: int
    """2: the new image is written beside the old one; 1: over it."""
    slot_bytes: int | None = None
    """Room for an image; None where it does not tell."""
    version: tuple[int, int, int] | None = None
    """Of the image that runs; None where it does not tell."""
    counter: int | None = None
    """Counter of the manifest of the image that runs; None where it does not keep one."""
    battery_mv: int | None = None
    """None where it is not measured."""


@dataclass(frozen=True, slots=True)
class Backup:
    """The image that ran before is safe: in its own slot, or in a file here."""

    digest: str


@dataclass(frozen=True, slots=True)
class Written:
    """A chunk is in the flash; the next one goes to `next_offset`."""

    next_offset: int


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What was written, as the target reads it from its flash."""

    digest: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample that the running image sent: each value with the low and high of its channel."""

    values: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]

    @property
    def good(self) -> bool:
        """Whether there are values, none is missing, and each lies in low..high."""
        if not self.values or not len(self.values) == len(self.lows) == len(self.highs):
            return False
        rows = zip(self.lows, self.values, self.highs, strict=True)
        return all(math.isfinite(value) and low <= value <= high for low, value, high in rows)


@dataclass(frozen=True, slots=True)
class Samples:
    """What came when samples were asked for; none where none came in time."""

    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Reverted:
    """What is in the boot slot after a revert."""

    digest: str
    confirmed: bool


class Target(Protocol):
    """A node that is updated. Every call ends within a time limit; TargetError where it failed.

    Every call may be repeated, whatever became of the last one: that is how an update resumes.
    """

    @property
    def slots(self) -> int:
        """How many images it holds: 2 or 1."""
        ...

    @property
    def chunk_bytes(self) -> int:
        """How much is written at once; 0: the whole image."""
        ...

    def prepare(self, image: bytes) -> str:
        """Take the image that is to be written; gives the digest that the target will report.

        Touches nothing. ValueError where the image is none for this kind of target.
        """
        ...

    def identify(self) -> Identity:
        """Ask who it is and what runs."""
        ...

    def backup(self) -> Backup:
        """Make sure that the running image can come back."""
        ...

    def write(self, offset: int, data: bytes) -> Written:
        """Write a chunk of the new image; never over the image that runs, if there are 2 slots."""
        ...

    def read_back(self, size: int) -> ReadBack:
        """Give the digest of the first `size` bytes of what was written."""
        ...

    def test_boot(self, digest: str) -> None:
        """Restart into the image of this digest; with 2 slots it stays for one boot only."""
        ...

    def samples(self, count: int) -> Samples:
        """Wait for so many samples."""
        ...

    def confirm(self, digest: str) -> None:
        """Make the running image, which has this digest, stay."""
        ...

    def revert(self, old: str) -> Reverted:
        """Make the image of this digest run and stay; with 1 slot from the backup."""
        ...

    def close(self) -> None:
        """Let go of the port."""
        ...


def same_image(one: str, other: str) -> bool:
    """Say whether two digests, one of them perhaps cut short, name the same image."""
    size = min(len(one), len(other))
    return size >= LEAST_DIGEST and one[:size] == other[:size]
