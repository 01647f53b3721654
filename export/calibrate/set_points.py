"""Speeds from which to alarm, so that a history gives no more false alarms than it may.

A history without a failure has false alarms only. For a budget of b onsets a year over T years:

    b T >= 3    the least speed that gives at most b T onsets in the history
    b T < 3     the tail of the peaks, carried on to b a year; where b T < 1, never below the
                fastest that the history has

Months are drawn anew for the interval, and the set point is the upper quartile of it rather than
its middle: a budget is to be kept, not met half of the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.calibrate.onsets import Trace, onsets, peaks
from export.calibrate.poisson import upper

if TYPE_CHECKING:
    import numpy.typing as npt

    from export.history import Floats

    Ints = npt.NDArray[np.int64]

BUDGET = (4.0, 1.0, 0.3, 0.1)
"""Onsets a station-year of levels 1 to 4, unless told otherwise."""
APART = 1.5
"""Each level lies so many times above the one below, at least."""
LEAST_PEAKS = 8
_RESAMPLES = 400
_ENOUGH = 3.0
_HEAVIEST = 0.5
_MARGIN = 1.25
"""Above the fastest ever seen, where no tail can be fitted."""
_MONTH_MS = 30.4375 * 86_400_000.0


@dataclass(frozen=True, slots=True)
class SetPoint:
    """A speed for one level; ``basis`` is history, tail, fastest, or floor."""

    level: int
    budget: float
    threshold: float
    low: float
    high: float
    """90 % interval, months drawn anew; NaN where it could not be told."""
    basis: str
    onsets: int
    """With this threshold, in the history."""
    peaks: int
    fastest: float
    years: float

    @property
    def bound(self) -> float:
        """Return the rate of onsets that the history excludes with 95 % confidence."""
        return upper(self.onsets) / self.years

    @property
    def supported(self) -> bool:
        """Return whether the history alone, without carrying on a tail, shows the budget kept."""
        return self.bound <= self.budget


def choose(
    traces: tuple[Trace, Trace, Trace, Trace],
    budgets: tuple[float, ...],
    years: float,
    floor: float,
) -> tuple[SetPoint, ...]:
    """Return rising set points for levels 1 to 4; ``floor`` is what noise and creep may reach."""
    found: list[SetPoint] = []
    least = floor
    for level, (each, budget) in enumerate(zip(traces, budgets, strict=True), start=1):
        point = _one(level, each, budget, years, floor, least)
        found.append(point)
        least = APART * point.threshold
    return tuple(found)


def _one(
    level: int, each: Trace, budget: float, years: float, floor: float, least: float
) -> SetPoint:
    height, when = peaks(each)
    fastest = float(height.max()) if len(height) else 0.0
    # What noise and creep reach by themselves is of another kind than what is to be counted.
    height, when = height[height >= floor], when[height >= floor]
    allowed = budget * years
    low = high = math.nan
    if allowed >= _ENOUGH and len(height):
        basis = "history"
        middle = _least_for(each, height, allowed)
    elif len(height) >= LEAST_PEAKS:
        basis = "tail"
        middle = _tail(height, years, budget)
        if allowed < 1.0:
            middle = max(fastest, middle)
    else:
        basis = "fastest"
        middle = _MARGIN * fastest
    wanted = middle
    if basis != "fastest":
        drawn = _drawn(height, when, years, budget, basis)
        low, safe, high = (float(v) for v in np.quantile(drawn, (0.05, 0.75, 0.95)))
        wanted = max(middle, safe)
    threshold = rounded_up(max(wanted, least))
    if threshold > rounded_up(wanted):
        basis = "floor"
    return SetPoint(
        level, budget, threshold, low, high, basis,
        len(onsets(each, threshold)), len(height), fastest, years,
    )  # fmt: skip


def _least_for(each: Trace, height: Floats, allowed: float) -> float:
    """Return the least threshold with at most so many onsets in the history."""
    at = np.unique(height) * (1.0 + 1e-9)
    low, high = 0, len(at) - 1  # above the highest peak there is none
    while low < high:
        middle = (low + high) // 2
        if len(onsets(each, float(at[middle]))) <= allowed:
            high = middle
        else:
            low = middle + 1
    return float(at[low])


def _tail(height: Floats, years: float, budget: float) -> float:
    """Return the height that is passed ``budget`` times a year: a generalised Pareto tail.

    By probability-weighted moments (Hosking and Wallis 1987), its shape held to 0 .. 0.5: a few
    peaks tell of no bound, nor of a tail so heavy that every threshold is passed.
    """
    order = -np.sort(-height)
    count = min(len(order) - 1, max(LEAST_PEAKS, round(2.0 * len(order) ** 0.5)))
    if count < 2:
        return float(order[0]) if len(order) else 0.0
    base = float(order[count])
    excess = np.sort(order[:count] - base)
    mean = float(excess.mean())
    below = 1.0 - (np.arange(1, count + 1) - 0.35) / count
    weighted = float((below * excess).mean())
    apart = mean - 2.0 * weighted
    shape = 2.0 - mean / apart if apart > 0.0 else _HEAVIEST
    shape = min(_HEAVIEST, max(0.0, shape))
    scale = mean * (1.0 - shape)
    times = max(1.0, count / years / budget)
    grown = math.log(times) if shape < 1e-6 else (times**shape - 1.0) / shape
    return base + scale * grown


def _drawn(height: Floats, when: Ints, years: float, budget: float, basis: str) -> Floats:
    """Return thresholds of histories whose months are drawn anew, as they are, with replacement."""
    random = np.random.default_rng(0)
    month = np.floor(when / _MONTH_MS).astype(np.int64)
    months = max(1, round(years * 12.0))
    groups = [height[month == m] for m in np.unique(month)]
    groups += [height[:0]] * max(0, months - len(groups))
    out = np.empty(_RESAMPLES)
    for i in range(_RESAMPLES):
        picked = random.integers(0, len(groups), len(groups))
        some = -np.sort(-np.concatenate([groups[g] for g in picked]))
        if not len(some):
            out[i] = 0.0
        elif basis == "history":
            over = int(budget * years)
            out[i] = some[over] if over < len(some) else some[-1]
        else:
            out[i] = _tail(some, years, budget)
    return out


def rounded_up(value: float) -> float:
    """Return a threshold that a person would write: two digits, not below."""
    if not value > 0.0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.6g}")
