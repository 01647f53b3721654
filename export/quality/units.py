"""A change of unit inside a channel: metres until May, millimetres after; single rows in inches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.quality.finding import Finding, amount
from export.quality.trace import spread

if TYPE_CHECKING:
    from export.history import Floats
    from export.quality.trace import Trace

FACTORS = (
    (1000.0, "m and mm, or V and mV"), (100.0, "m and cm"), (10.0, "cm and mm, or bar and m"),
    (25.4, "inch and mm"), (304.8, "foot and mm"), (57.29578, "rad and deg"),
    (17.45329, "deg and mrad"), (6.894757, "psi and kPa"), (9.80665, "m of water and kPa"),
)  # fmt: skip
"""Factors between units of one quantity in use (NIST SP 811), largest tolerance below."""
_NEAR = 0.12
"""How far a ratio of levels may be off its factor: the slope moves on while units change."""
_ROW_NEAR = 0.03
_PLAIN = 15.0
"""Below this factor a level may have jumped by itself: a warning, no error."""
_STEADY = 0.3
"""Spread of the values beside the change, of their level: else a ratio of levels says nothing."""
_NOISE_NEAR = 2.5
"""The noise is scaled too, within this; a sensor that was re-zeroed keeps its noise."""
_SIDE = 6
_WIDE = 200
_BLOCKS = 24
_BLOCK_NEAR = 0.2
_BLOCK_STEADY = 0.35
"""sd of ln(noise) among the blocks of one side: else storms come and go, not units."""
_MOST = 10


def units(each: Trace) -> list[Finding]:
    """Name a change of unit (plain: an error), or single rows in another unit (warnings)."""
    if each.rain or len(each.y) < 4 * _SIDE:
        return []
    return _changes(each) or _spread_change(each) or _rows(each)


def _near(ratio: float, tolerance: float) -> tuple[float, str] | None:
    """Return the factor that a ratio, or one over it, is near to."""
    size = max(ratio, 1.0 / ratio) if ratio > 0 else 0.0
    factor, what = min(FACTORS, key=lambda f: abs(np.log(max(size, 1e-9) / f[0])))
    return (factor, what) if abs(size / factor - 1.0) <= tolerance else None


def _changes(each: Trace) -> list[Finding]:
    y = each.y
    size = np.abs(y)
    with np.errstate(all="ignore"):
        ratio = np.abs(np.log(size[1:] / size[:-1]))
    at = np.flatnonzero((ratio > np.log(6.0)) & (y[1:] * y[:-1] > 0)) + 1
    at = at[(at >= _SIDE) & (at <= len(y) - _SIDE)]
    found: list[Finding] = []
    if not len(at):
        return found
    before = y[at[:, None] - 1 - np.arange(_SIDE)]
    after = y[at[:, None] + np.arange(_SIDE)]
    old, new = np.median(before, axis=1), np.median(after, axis=1)
    steady = (np.ptp(before, axis=1) < _STEADY * np.abs(old)) & (
        np.ptp(after, axis=1) < _STEADY * np.abs(new)
    )
    for k in np.flatnonzero(steady & (old * new > 0))[:_MOST].tolist():
        i = int(at[k])
        near = _near(float(new[k] / old[k]), _NEAR)
        if near and _noise_follows(each, i, float(new[k] / old[k])):
            severity = "error" if near[0] >= _PLAIN else "warning"
            change = _change(each, i, float(new[k] / old[k]), near, "level and noise", severity)
            found.append(change)
    return found


def _noise_follows(each: Trace, i: int, ratio: float) -> bool:
    """Whether what a value differs by from the next is scaled as the level is."""
    old = np.diff(each.y[max(0, i - _WIDE) : i])
    new = np.diff(each.y[i : i + _WIDE])
    a, b = spread(old) or float(np.abs(old).mean()), spread(new) or float(np.abs(new).mean())
    if a <= 0 or b <= 0:
        return a == b  # a dead channel has no noise in either unit
    return bool(abs(np.log(b / a / ratio)) < np.log(_NOISE_NEAR))


def _change(
    each: Trace, i: int, ratio: float, near: tuple[float, str], by: str, severity: str
) -> Finding:
    factor = near[0] if ratio > 1 else 1.0 / near[0]
    what = (
        f"from here on {by} are {ratio:.4g} times those before, as between {near[1]} "
        f"(factor {factor:.4g}): two units in one column; convert one part, or split the history"
    )
    ends = int(each.time_ms[i - 1]), int(each.time_ms[i])
    return Finding("units", each.name, severity, what, *ends, value=factor)


def _spread_change(each: Trace) -> list[Finding]:
    """Warn of a channel about zero, tilt for one, whose noise alone tells of another unit."""
    apart = np.diff(each.y)
    blocks = np.array_split(apart, _BLOCKS)
    if len(apart) < 20 * _BLOCKS:
        return []
    sizes = np.array([spread(block) for block in blocks])
    if (sizes <= 0).any():
        return []
    log = np.log(sizes)
    best = max(range(3, _BLOCKS - 2), key=lambda k: abs(log[:k].mean() - log[k:].mean()))
    ratio = float(np.exp(np.median(log[best:]) - np.median(log[:best])))
    calm = max(float(log[:best].std()), float(log[best:].std())) < _BLOCK_STEADY
    near = _near(ratio, _BLOCK_NEAR)
    if not near or not calm:
        return []
    return [
        _change(each, sum(len(b) for b in blocks[:best]), ratio, near, "noise and steps", "warning")
    ]


def _rows(each: Trace) -> list[Finding]:
    """Warn of single rows that are a factor times their neighbours."""
    y = each.y
    beside: Floats = (y[:-2] + y[2:]) / 2
    size = np.abs(y[1:-1] / np.where(beside == 0, np.nan, beside))
    calm = np.abs(y[2:] - y[:-2]) < _ROW_NEAR * np.abs(beside)
    plain = np.abs(beside) > 20.0 * each.noise
    odd = np.flatnonzero(calm & plain & ((size > 6.0) | (size < 1 / 6.0))) + 1
    found = []
    for i in odd[:_MOST].tolist():
        near = _near(float(y[i] / beside[i - 1]), _ROW_NEAR)
        if near is None:
            continue
        what = (
            f"a single value of {amount(float(y[i]), each.unit)} is {y[i] / beside[i - 1]:.4g} "
            f"times its neighbours, as between {near[1]}: mend or empty the cell"
        )
        when = int(each.time_ms[i])
        found.append(Finding("units", each.name, "warning", what, when, when, value=near[0]))
    return found
