"""The known values of one channel, and what its own measuring looks like: quantum and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.calibration import MAX_RAW

if TYPE_CHECKING:
    import numpy.typing as npt

    from export.history import Flags, Floats, History

_MOVING = ("displacement", "crack_width", "tilt")
_MAD = 1.4826
"""Median absolute deviation to standard deviation of a normal distribution."""
_MOST_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class Trace:
    """One channel without its gaps. ``gap[i]`` is the time from value i to the next, in steps.

    ``joined[i]``: they are of successive steps of an unbroken grid. ``quantum``: the smallest
    difference that the values can have; ``grain``: the smallest that they do have, of a channel
    that mostly repeats itself; ``noise``: sd of the high-frequency part, unit of the channel,
    never below what rounding alone gives.
    """

    name: str
    quantity: str
    unit: str
    target: bool
    time_ms: npt.NDArray[np.int64]
    step: npt.NDArray[np.intp]
    y: Floats
    gap: Floats
    joined: Flags
    quantum: float
    grain: float
    noise: float

    @property
    def moving(self) -> bool:
        """Whether it measures movement: it may creep away for ever, and is never quite still."""
        return self.target or self.quantity in _MOVING

    @property
    def rain(self) -> bool:
        """Whether it is rainfall: zero most of the time, and rightly so."""
        return self.quantity == "rainfall"


def step_of(history: History) -> int:
    """Return the step of the grid in ms: the smallest time between two steps."""
    apart = np.diff(history.time_ms)
    apart = apart[apart > 0]
    return int(apart.min()) if len(apart) else 1


def trace(history: History, i: int, quantity: str, unit: str, *, target: bool) -> Trace:
    """Take channel i. A value beyond MAX_RAW is damage and counts as missing."""
    column = history.values[:, i]
    step = np.flatnonzero(np.abs(column) <= MAX_RAW)
    y = np.ascontiguousarray(column[step])
    time_ms = history.time_ms[step]
    span = np.cumsum(history.reset)[step]
    joined = (np.diff(step) == 1) & (np.diff(span) == 0)
    gap = np.maximum(np.diff(time_ms) / step_of(history), 1.0)
    least = quantum(y)
    grains = max(least, grain(y))
    return Trace(
        history.channels[i],
        quantity,
        unit,
        target,
        time_ms,
        step,
        y,
        gap,
        joined,
        least,
        grains,
        max(noise(y, joined), grains / np.sqrt(12.0)),
    )


def quantum(y: Floats) -> float:
    """Return the step of a sensor's digits: 0.001 for 12.345; 0.0 for fewer than two values."""
    if len(y) < 2:
        return 0.0
    apart = np.abs(np.diff(y))
    apart = apart[apart > 0]
    largest = float(np.abs(y).max())
    if not len(apart):
        return 0.0
    smallest = float(apart.min())
    # Counts times a gain: every difference is a multiple of the smallest, whatever that is.
    if smallest > 1e-9 * largest and _whole(apart / smallest, 1e-3):
        return smallest
    for decimals in range(_MOST_DECIMALS + 1):
        if largest * 10**decimals < 1e11 and _whole(y * 10**decimals, 1e-4):
            return float(10.0**-decimals)
    return 1e-12 * largest


def grain(y: Floats) -> float:
    """Return the usual smallest change of values most of which repeat the one before; else 0.0.

    Counts through a curve (a thermistor) have no common quantum, but a grain.
    """
    apart = np.abs(np.diff(y))
    changes = apart[apart > 0]
    if not len(changes) or 2 * len(changes) > len(apart):
        return 0.0
    return float(np.quantile(changes, 0.05))


def _whole(x: Floats, tolerance: float) -> bool:
    return bool((np.abs(x[:64] - np.rint(x[:64])) <= tolerance).all()) and bool(
        (np.abs(x - np.rint(x)) <= tolerance * np.maximum(1.0, 1e-6 * np.abs(x))).all()
    )


def noise(y: Floats, joined: Flags) -> float:
    """Return the sd of what changes from one value to the next: MAD of second differences / 6**.5.

    A steady creep has no part in it, a smooth season hardly any (after von Neumann, 1941).
    """
    if len(y) < 3:
        return 0.0
    second = np.diff(y, 2)
    whole = joined[1:] & joined[:-1]
    if whole.sum() >= 8:
        second = second[whole]
    return float(_MAD * np.median(np.abs(second)) / np.sqrt(6.0))


def spread(x: Floats) -> float:
    """Return the robust standard deviation: MAD times 1.4826; 0.0 of nothing."""
    return float(_MAD * np.median(np.abs(x - np.median(x)))) if len(x) else 0.0
