"""Channels that do not change: constant, hung for a while, or carried forward by a logger.

A hung sensor looks safe. How long a channel repeats itself by nature depends on its resolution:
it is judged by its own runs of equal values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.quality.finding import Finding, amount, lasting

if TYPE_CHECKING:
    from export.history import Flags, Floats
    from export.quality.trace import Trace

_LONG = 8.0
"""Times the 95 % longest of its own runs. Runs by chance are geometric: the longest of 1e5 is
under 4 times that."""
_LEAST_STEPS = 12
_CARRIED = 0.1
"""A channel that changes in fewer of its steps is carried forward, or its resolution too coarse."""
_GRAINS = 2.0
"""Changes of no more grains, in the median: the sensor's resolution. A survey carried on jumps."""
_MOST = 20
"""Spans told of one channel, the longest."""


def flat(each: Trace) -> list[Finding]:
    """Name a constant channel, else the spans in which it repeats itself to the last digit."""
    y = each.y
    if len(y) < 2:
        return []
    if y.max() == y.min():
        return [_constant(each)]
    if each.rain and not (y > 0).any():
        return []
    starts = np.concatenate(([0], np.flatnonzero(np.diff(y) != 0) + 1))
    ends = np.concatenate((starts[1:], [len(y)]))
    runs = ends - starts
    judged = ~_natural(each, y[starts])
    if not judged.any():
        return []
    limit = max(_LEAST_STEPS, _LONG * float(np.quantile(runs[judged], 0.95)))
    long = np.flatnonzero(judged & (runs >= limit))
    if not len(long):
        return _carried(each, int(runs[judged].max()), (len(starts) - 1) / (len(y) - 1))
    longest = long[np.argsort(-runs[long], kind="stable")][:_MOST]
    return [_frozen(each, int(starts[k]), int(ends[k]), len(long)) for k in sorted(longest)]


def _natural(each: Trace, values: Floats) -> Flags:
    """Return which runs are no fault: no rain, and the floor that a dry sensor stands on."""
    if each.rain:
        return np.asarray(values == 0.0)
    if each.moving:
        return np.zeros(len(values), dtype=bool)
    floor = values == values.min()
    return np.asarray(floor if floor.sum() > 1 else np.zeros(len(values), dtype=bool))


def _constant(each: Trace) -> Finding:
    value = float(each.y[0])
    if each.rain and value == 0.0:
        what = "no rain in the whole history: nothing can be learnt about what rain does"
    else:
        what = f"never changes from {amount(value, each.unit)}: a dead or unconnected sensor"
    what += "; leave the channel out" + (" of train.targets" if each.target else "")
    return Finding(
        "constant",
        each.name,
        "error" if each.target else "warning",
        what,
        int(each.time_ms[0]),
        int(each.time_ms[-1]),
        count=len(each.y),
        value=value,
    )


def _frozen(each: Trace, start: int, end: int, spans: int) -> Finding:
    first, last = int(each.time_ms[start]), int(each.time_ms[end - 1])
    value = float(each.y[start])
    what = (
        f"repeats {amount(value, each.unit)} to the last digit for {end - start} values, "
        f"{lasting(last - first)} ({spans} such spans): a hung sensor, or values carried forward; "
        "empty those cells"
    )
    return Finding(
        "frozen", each.name, "warning", what, first, last, count=end - start, value=value
    )


def _carried(each: Trace, longest: int, changing: float) -> list[Finding]:
    """Warn of a channel all of whose runs are long: then none stands out."""
    if changing >= _CARRIED or longest < _LEAST_STEPS or each.rain:
        return []
    apart = np.abs(np.diff(each.y))
    coarse = float(np.median(apart[apart > 0])) <= _GRAINS * each.grain
    what = f"changes in only {changing:.1%} of its steps, and stays for up to {longest} values: "
    if coarse:
        what += f"slow for its resolution of {amount(each.grain, each.unit)}"
    else:
        what += "values carried forward: take a larger step_s, or leave it out"
    return [
        Finding(
            "frozen",
            each.name,
            "note" if coarse else "warning",
            what,
            int(each.time_ms[0]),
            int(each.time_ms[-1]),
            count=longest,
            value=changing,
        )
    ]
