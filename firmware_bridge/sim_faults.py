"""Faults on the wire of a simulated node, seeded and counted."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

MAX_GARBAGE = 40
"""Longest burst of garbage, bytes."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Rates are probabilities a frame, 0..1."""

    flip_rate: float = 0.0
    """One bit of the frame, delimiters included, is flipped."""
    drop_rate: float = 0.0
    """The frame is lost whole."""
    duplicate_rate: float = 0.0
    """The frame is sent twice."""
    garbage_rate: float = 0.0
    """Random bytes go before the frame."""
    reboot_rows: tuple[int, ...] = ()
    """Before these rows (from 0) the node starts anew."""
    seed: int = 0


class FaultyWire:
    """Does to each frame what `Faults` says, and counts it."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.flipped = 0
        self.lost = 0
        self.duplicated = 0
        self.garbage = 0
        self._random = Random(faults.seed)

    def carry(self, frame: bytes) -> bytes:
        """Give what arrives of one frame."""
        faults, chance = self.faults, self._random.random
        arrives = b""
        if chance() < faults.garbage_rate:
            self.garbage += 1
            arrives = self._random.randbytes(self._random.randint(1, MAX_GARBAGE))
        if chance() < faults.drop_rate:
            self.lost += 1
            return arrives
        if chance() < faults.flip_rate:
            self.flipped += 1
            return arrives + flipped(frame, self._random.randrange(8 * len(frame)))
        if chance() < faults.duplicate_rate:
            self.duplicated += 1
            arrives += frame
        return arrives + frame


def flipped(data: bytes, bit: int) -> bytes:
    """Give the data with one bit, counted from 0, flipped."""
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
