"""How times lie: percentiles, and whether rounds agree. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Spread:
    """Times in us. A percentile is None where too few were taken for one to lie beyond it.

    ``jitter_us``: how far one lies from the one before it, in the mean.
    """

    count: int
    p50_us: float
    p90_us: float | None
    p99_us: float | None
    p99_9_us: float | None
    max_us: float
    mean_us: float
    jitter_us: float


@dataclass(frozen=True, slots=True)
class Rounds:
    """The median of each round, us: what else the machine does shows as their distance."""

    quietest_us: float
    median_us: float
    worst_us: float
    count: int


def spread(times_us: Sequence[float]) -> Spread:
    """Say how times lie, in the order in which they were taken (at least one)."""
    ordered = sorted(times_us)
    count = len(ordered)
    apart = [abs(b - a) for a, b in pairwise(times_us)]
    return Spread(
        count=count,
        p50_us=ordered[count // 2],
        p90_us=_percentile(ordered, 10),
        p99_us=_percentile(ordered, 100),
        p99_9_us=_percentile(ordered, 1000),
        max_us=ordered[-1],
        mean_us=sum(ordered) / count,
        jitter_us=sum(apart) / len(apart) if apart else 0.0,
    )


def _percentile(ordered: Sequence[float], one_in: int) -> float | None:
    """Return the time that one in so many is beyond."""
    count = len(ordered)
    return None if count < one_in else ordered[min(count - 1, count - count // one_in)]


def rounds(medians_us: Sequence[float]) -> Rounds:
    """Put the medians of rounds together (at least one)."""
    ordered = sorted(medians_us)
    return Rounds(ordered[0], ordered[len(ordered) // 2], ordered[-1], len(ordered))
