"""Single values that revert (spikes), and levels that shift in one step and stay (steps).

A slope that accelerates moves before and after its largest step too; a sensor that was re-zeroed,
re-based or swapped does not. Sizes are judged against the channel's own: noise and usual steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.quality.finding import Finding, amount

if TYPE_CHECKING:
    import numpy.typing as npt

    from export.history import Flags, Floats
    from export.quality.trace import Trace

    Places = npt.NDArray[np.intp]

_LEAST_VALUES = 24
_SPIKE_NOISE = 10.0
"""Times the noise. Of 1e6 normal values none reaches 6; weather and heavy tails do."""
_SPIKE_USUAL = 6.0
"""Times the 95 % of how far single values stand out on this channel."""
_SPIKE_RANGE = 0.05
"""Of the range of 98 % of the values, where a level comes and goes: less is weather."""
_REVERTS = 0.3
_STEP_NOISE = 12.0
_STEP_USUAL = 5.0
"""Times the 95 % of its steps: a season of 100 mm months is this channel's way of moving."""
_LONE = 3.0
"""A step so many times larger than any of the five before and after came out of nothing."""
_STAYS = 0.4
_SIDE = 5
_CODES = frozenset((-9999.0, -999.0, -99.0, -99.9, -6999.0, -7999.0, 9999.0, 999.0, 99999.0))
"""What loggers write for "no value" (Campbell: -6999, -7999)."""
_MOST = 50
_MANY = 12
"""So many steps, up and down, are the channel's own way: told once."""


def jumps(each: Trace) -> list[Finding]:
    """Name the spikes and the steps of one channel. Rain may do as it likes."""
    if each.rain or len(each.y) < _LEAST_VALUES:
        return []
    at = spikes(each)
    kept = np.ones(len(each.y), dtype=bool)
    kept[at] = False
    return _spikes(each, at) + _steps(each, kept)


def spikes(each: Trace) -> Places:
    """Return the positions, in ``each.y``, of single values that stand out and revert."""
    y = each.y
    if len(y) < 3:
        return np.zeros(0, dtype=np.intp)
    up, down = y[1:-1] - y[:-2], y[1:-1] - y[2:]
    out = np.where(up * down > 0, np.minimum(np.abs(up), np.abs(down)), 0.0)
    reverts = np.abs(y[2:] - y[:-2]) < _REVERTS * out
    limit = max(_SPIKE_NOISE * each.noise, _SPIKE_USUAL * float(np.quantile(out, 0.95)))
    if not each.moving:
        low, high = np.quantile(y, (0.01, 0.99))
        limit = max(limit, _SPIKE_RANGE * float(high - low))
    return np.flatnonzero(reverts & (out > limit)) + 1


def _spikes(each: Trace, at: Places) -> list[Finding]:
    if not len(at):
        return []
    y = each.y
    size = y[at] - (y[at - 1] + y[at + 1]) / 2
    largest = at[np.argsort(-np.abs(size), kind="stable")][:_MOST]
    found = []
    for i in sorted(largest.tolist()):
        out = float(y[i] - (y[i - 1] + y[i + 1]) / 2)
        code = ", a logger's code for no value" if float(y[i]) in _CODES else ""
        what = (
            f"a single value of {amount(float(y[i]), each.unit)}{code}, {_signed(out, each.unit)} "
            f"off its neighbours, noise {amount(each.noise, each.unit)}: empty the cell if wrong"
        )
        when = int(each.time_ms[i])
        found.append(
            Finding("spike", each.name, "warning", what, when, when, count=len(at), value=out)
        )
    return found


def _steps(each: Trace, kept: Flags) -> list[Finding]:
    y, time_ms = each.y[kept], each.time_ms[kept]
    if len(y) < _LEAST_VALUES:
        return []
    passed = np.concatenate(([0.0], np.cumsum(each.gap)))[kept]
    apart = np.diff(y)
    size = np.abs(apart) / np.diff(passed)
    usual = float(np.quantile(size, 0.95))
    limit = max(_STEP_NOISE * each.noise, _STEP_USUAL * usual)
    found = []
    for i in _largest(size, limit):
        if not _SIDE <= i < len(apart) - _SIDE or not _alone(size, i):
            continue
        before, after = y[i - _SIDE + 1 : i + 1], y[i + 1 : i + 1 + _SIDE]
        shift = float(np.median(after) - np.median(before))
        stays = abs(shift - apart[i]) < _STAYS * abs(apart[i])
        if stays and (each.moving or _apart(y[: i + 1], y[i + 1 :])):
            back = abs(float(after[0] - y[0])) < 0.1 * abs(shift)
            zeroed = ", back to where the history began," if back else ""
            what = (
                f"shifts by {_signed(shift, each.unit)} in one step{zeroed} and stays "
                f"(95 % of its steps are below {amount(usual, each.unit)}): if the sensor was "
                "re-zeroed or replaced, join the parts; if the slope moved, leave it"
            )
            ends = int(time_ms[i]), int(time_ms[i + 1])
            found.append(Finding("step", each.name, "warning", what, *ends, value=shift))
    return found if len(found) < _MANY else [_toggles(each, found)]


def _toggles(each: Trace, steps: list[Finding]) -> Finding:
    size = float(np.median([abs(f.value) for f in steps]))
    what = (
        f"shifts in single steps {len(steps)} times or more, by {amount(size, each.unit)} in the "
        "median: the resolution of the sensor, or a loose contact; look before it is a target"
    )
    ends = steps[0].start_ms, steps[-1].end_ms
    return Finding("step", each.name, "warning", what, *ends, count=len(steps), value=size)


def _largest(size: Floats, limit: float) -> list[int]:
    over = np.flatnonzero(size > limit)
    return sorted(over[np.argsort(-size[over], kind="stable")][:_MOST].tolist())


def _alone(size: Floats, i: int) -> bool:
    others = np.concatenate((size[i - _SIDE : i], size[i + 1 : i + 1 + _SIDE]))
    return bool(size[i] > _LONE * others.max())


def _apart(before: Floats, after: Floats) -> bool:
    """Whether the level never comes back: what rain or frost raised would."""
    low, high = np.quantile(before, (0.02, 0.98)), np.quantile(after, (0.02, 0.98))
    return bool(low[1] < high[0] or high[1] < low[0])


def _signed(value: float, unit: str) -> str:
    return ("+" if value > 0 else "") + amount(value, unit)
