"""Series that were not measured at every step: drawn through sparse surveys, or smoothed.

On such a series ``2 y[t-1] - y[t-2]`` beats every model, for the future surveys are already in it:
its 1-step scores mean nothing. Told by what measuring leaves and drawing does not: noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.quality.finding import Finding
from export.quality.trace import Trace, trace

if TYPE_CHECKING:
    from export.history import Flags, Floats, History

_LEAST = 30
"""Moving steps below which nothing is said."""
_MOST_EXACT = 0.8
"""Share of steps whose differences vanish to rounding. Noise of one quantum leaves under half."""
_SOME_EXACT = 0.4
_FINE = 50.0
"""Where steps are so many quanta, 40 % are proof: a survey every second step leaves half."""
_MARGIN = 0.25
"""Of the error of the best other naive forecast: "wide"."""
_WHITE = -0.2
"""Lag-1 correlation of second differences: -2/3 for measured noise, above 0 for a drawn curve."""
_FILLED = 20
"""Exactly straight steps in a row, in a series that is otherwise measured: a gap drawn over."""
_ORDERS = ((2, "straight lines", 1.0), (3, "parabolas", 3.0), (4, "cubic splines", 6.0))
"""Order of difference that vanishes, what was drawn, and how many quanta rounding leaves."""


def interpolated(history: History) -> frozenset[str]:
    """Return the channels whose 1-step scores must be refused."""
    with np.errstate(all="ignore"):
        every = (trace(history, i, "", "", target=False) for i in range(len(history.channels)))
        return frozenset(each.name for each in every if drawn(each))


def drawn(each: Trace) -> str:
    """Say how the series was drawn, "" if it was measured (or too little moves to tell)."""
    return _exact(each) or _smooth(each)


def drawings(each: Trace) -> list[Finding]:
    """Name a drawn series, or the gaps that were drawn over with straight lines."""
    if each.rain:
        return []
    how = drawn(each)
    if how:
        what = (
            f"{how}: 2 y[t-1] - y[t-2] foretells it better than any model could, so no 1-step "
            "score counts; train on the times of the surveys themselves (a larger step_s)"
        )
        ends = int(each.time_ms[0]), int(each.time_ms[-1])
        severity = "warning"
        return [Finding("interpolated", each.name, severity, what, *ends, count=len(each.y))]
    return _filled(each)


def _differences(each: Trace, order: int) -> tuple[Floats, Flags]:
    """Return differences of an order, and which lie on an unbroken grid and move."""
    first = np.abs(np.diff(each.y))
    whole = each.joined & (first > 4.0 * each.quantum)
    ok = np.ones(max(0, len(each.y) - order), dtype=bool)
    for k in range(order):
        ok &= whole[k : k + len(ok)]
    return np.diff(each.y, order), ok


def _rounding(each: Trace, quanta: float) -> float:
    return quanta * each.quantum * 1.01 + 1e-11 * float(np.abs(each.y).max())


def _exact(each: Trace) -> str:
    for order, what, quanta in _ORDERS:
        differences, ok = _differences(each, order)
        if ok.sum() < _LEAST or 2 * ok.sum() < _moving(each):
            continue
        exact = np.abs(differences[ok]) <= _rounding(each, quanta)
        share = float(exact.mean())
        size = float(np.median(np.abs(np.diff(each.y))[: len(ok)][ok]))
        # Against order 4 the step must stand far above what rounding alone leaves.
        if size < 4.0 * quanta * each.quantum:
            continue
        if share >= _MOST_EXACT or (share >= _SOME_EXACT and size >= _FINE * each.quantum):
            return f"{share:.0%} of its moving steps lie on {what} to the last digit"
    return ""


def _moving(each: Trace) -> int:
    """Return how many steps move at all."""
    return int((each.joined & (np.diff(each.y) != 0)).sum())


def _smooth(each: Trace) -> str:
    whole = each.joined[1:] & each.joined[:-1] if len(each.y) > 2 else np.zeros(0, dtype=bool)
    if whole.sum() < 2 * _LEAST:
        return ""
    second = np.diff(each.y, 2)
    first = np.diff(each.y)[1:]
    others = {"persistence": first, "drift": first - np.median(first)}
    season = _seasonal(each)
    if season is not None:
        others["last year's step"] = season
    best = min(_size(error[whole]) for error in others.values())
    own = _size(second[whole])
    if not own < _MARGIN * best:
        return ""
    pairs = whole[1:] & whole[:-1]
    a, b = _clipped(second[1:][pairs]), _clipped(second[:-1][pairs])
    power = float((a * a).sum() * (b * b).sum()) ** 0.5
    if power <= 0 or float((a * b).sum()) / power <= _WHITE:
        return ""
    return (
        f"bears no noise of measuring: the error of a straight line is {own / best:.0%} of others"
    )


def _seasonal(each: Trace) -> Floats | None:
    """Return the errors of "the step of a year ago", None for less than two years."""
    steps = np.diff(each.time_ms)
    year = round(365.25 * 86_400_000 / max(1.0, float(np.median(steps))))
    first = np.diff(each.y)
    if not 2 <= year < len(first) // 2:
        return None
    errors = first.copy()
    errors[year:] -= first[:-year]
    return np.asarray(errors[1:])


def _size(errors: Floats) -> float:
    """Return the mean absolute error without the largest hundredth: one spike decides nothing."""
    sizes = np.abs(errors)
    return float(sizes[sizes <= np.quantile(sizes, 0.99)].mean())


def _clipped(x: Floats) -> Floats:
    limit = float(np.quantile(np.abs(x), 0.99)) if len(x) else 0.0
    return np.clip(x, -limit, limit)


def _filled(each: Trace) -> list[Finding]:
    differences, ok = _differences(each, 2)
    if ok.sum() < _FILLED:
        return []
    straight = ok & (np.abs(differences) <= _rounding(each, 1.0))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], straight, [False])).astype(np.int8)))
    found = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if end - start >= _FILLED:
            what = (
                f"{end - start + 2} values lie on one straight line to the last digit: a gap "
                "drawn over; empty those cells"
            )
            ends = int(each.time_ms[start]), int(each.time_ms[end + 1])
            found.append(
                Finding("filled", each.name, "warning", what, *ends, count=end - start + 2)
            )
    return found
