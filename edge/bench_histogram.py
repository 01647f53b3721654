"""Times in buckets of a logarithmic scale: hours of them in a few numbers. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

PER_OCTAVE = 8
"""Buckets from one time to twice that: a percentile read from it is at most 9 % too long."""
_TOP = 400
"""The last bucket holds all that is longer (2^50 ns, 13 days)."""


@dataclass(slots=True)
class Histogram:
    """Counts by bucket. What is longer than a bucket's upper end is in a later one."""

    counts: dict[int, int] = field(default_factory=dict)
    count: int = 0
    sum_ns: int = 0
    max_ns: int = 0

    def add(self, ns: int) -> None:
        """Take one time."""
        at = min(_TOP, math.ceil(math.log2(ns) * PER_OCTAVE)) if ns > 1 else 0
        self.counts[at] = self.counts.get(at, 0) + 1
        self.count += 1
        self.sum_ns += ns
        self.max_ns = max(self.max_ns, ns)

    def merge(self, other: Histogram) -> None:
        """Take all times of another."""
        for at, count in other.counts.items():
            self.counts[at] = self.counts.get(at, 0) + count
        self.count += other.count
        self.sum_ns += other.sum_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    def percentile_us(self, one_in: float) -> float | None:
        """Return the upper end of the bucket that one time in so many is beyond."""
        if self.count < one_in:
            return None
        wanted = self.count - int(self.count / one_in)
        passed = 0
        for at in sorted(self.counts):
            passed += self.counts[at]
            if passed >= wanted:
                return min(_upper_us(at), self.max_ns / 1000)
        return self.max_ns / 1000

    def buckets(self) -> list[list[float]]:
        """Return [upper end in us, count] of those that hold something, in order."""
        return [[round(_upper_us(at), 3), self.counts[at]] for at in sorted(self.counts)]


def _upper_us(at: int) -> float:
    return float(2.0 ** (at / PER_OCTAVE)) / 1000
