"""When a rule "speed of k sensors above h, for so long" would have begun to stand, for any h."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.calibrate.robust import runs

if TYPE_CHECKING:
    import numpy.typing as npt

    from export.history import Floats

KEEP = 0.75
"""Share of its threshold down to which a rule that stands is held."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The k-th fastest of the sensors on the grid; ``held`` is the least of it over ``for_ms``."""

    time_ms: npt.NDArray[np.int64]
    speed: Floats
    held: Floats
    for_ms: int
    valid_ms: int


def trace(
    time_ms: npt.NDArray[np.int64], values: Floats, at_least: int, for_ms: int, valid_ms: int
) -> Trace:
    """Return what decides a rule that needs so many sensors (of those live) for so long."""
    live = np.isfinite(values)
    fastest = -np.sort(-np.where(live, values, -np.inf), axis=1)
    place = np.clip(np.minimum(at_least, live.sum(axis=1)), 1, None) - 1
    speed = fastest[np.arange(len(values)), place]
    known = np.isfinite(speed)
    time_ms, speed = time_ms[known], speed[known]  # what is not known neither begins nor ends
    return Trace(time_ms, speed, _least(time_ms, speed, for_ms), for_ms, valid_ms)


def _least(time_ms: npt.NDArray[np.int64], speed: Floats, for_ms: int) -> Floats:
    """Return the least of the last ``for_ms``, 0 where the record begins within it."""
    held = np.zeros(len(speed))
    first = np.searchsorted(time_ms, time_ms - for_ms, side="right") - 1
    for i, j in enumerate(first.tolist()):
        if j >= 0:
            held[i] = speed[j : i + 1].min()
    return held


def onsets(each: Trace, threshold: float) -> list[int]:
    """Return the steps at which the rule would have begun to stand."""
    if not threshold > 0.0:
        return []
    holds = each.held >= threshold
    found: list[int] = []
    until_ms: int | None = None
    for first, stop in runs(each.speed >= KEEP * threshold):
        last_ms = int(each.time_ms[stop - 1])
        if until_ms is not None and each.time_ms[first - 1] < until_ms:
            # It still stood at the step before: renewed where it holds, or is held long enough.
            above = np.flatnonzero(each.speed[first:stop] >= threshold)
            if last_ms - int(each.time_ms[first]) >= each.for_ms:
                until_ms = last_ms + each.valid_ms
            elif len(above):
                until_ms = int(each.time_ms[first + above[-1]]) + each.valid_ms
            continue
        inside = np.flatnonzero(holds[first:stop])
        if len(inside):
            found.append(first + int(inside[0]))
            until_ms = last_ms + each.valid_ms
    return found


def peaks(each: Trace) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return (height, time) of the maxima of ``held``, none within ``valid_ms`` of a higher one.

    Declustered: one movement is one event, however often its speed goes up and down.
    """
    held, time_ms = each.held, each.time_ms
    rising = np.diff(held, prepend=0.0) > 0.0
    falling = np.diff(held, append=0.0) <= 0.0
    tops = np.flatnonzero(rising & falling & (held > 0.0))
    tops = tops[np.argsort(-held[tops], kind="stable")]
    taken: list[int] = []
    times: list[int] = []  # in order: only the two beside can be too near
    for i in tops.tolist():
        at = int(time_ms[i])
        place = bisect_left(times, at)
        beside = times[max(0, place - 1) : place + 1]
        if all(abs(at - other) > each.valid_ms for other in beside):
            taken.append(i)
            times.insert(place, at)
    return held[taken], time_ms[taken]
