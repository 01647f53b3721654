"""How fast a channel moves: while calm, at most, by the month; and which others move with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.calibrate.robust import block_means, despiked, known, spread
from export.calibrate.track import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from export.calibrate.track import Track
    from export.history import Flags, Floats

_LEAST_STEPS = 12
"""A velocity is taken over so many readings at least, as in edge.movement_plan."""
_CALM = 4.0
"""A speed so many sd off the usual is not calm."""
_RESAMPLES = 200
_WINDOWS_D = (1.0, 3.0, 7.0, 14.0)
_CLEAR = 0.5
_YEAR_D = 365.0
_LEAST_MONTH_D = 5.0
_MOVES_TOGETHER = 0.5
_LEAST_WINDOWS = 8
_CHANCE = 2.6
"""Of what has nothing in common, one in a hundred is more alike than 2.6 / sqrt(weeks)."""


@dataclass(frozen=True, slots=True)
class Month:
    """Velocity of one month of the year, 5 and 95 %, a day; ``days`` is how much was seen."""

    month: int
    low: float
    high: float
    days: float


@dataclass(frozen=True, slots=True)
class Speed:
    """``v_eq`` has its sign; ``error`` is its standard error, months drawn anew."""

    v_eq: float
    error: float
    window_d: float
    """Over which v_eq is taken, days."""
    calm_days: float
    greatest: float
    months: tuple[Month, ...]

    @property
    def moves(self) -> bool:
        """Return whether a steady movement can be told from none."""
        return abs(self.v_eq) > 3.0 * self.error

    @property
    def v_max(self) -> float:
        """Return the greatest speed to be expected: seen, or half above the fastest month's 95 %.

        A season of which one year shows 95 % may well have a faster one.
        """
        by_month = [1.5 * max(abs(m.low), abs(m.high)) for m in self.months]
        return max([self.greatest, *by_month])


def velocity(track: Track, y: Floats, noise_sd: float, days: float = 1.0) -> Floats:
    """Return the velocity a day over 24 h (or 12 readings) about each reading."""
    half = max(track.steps(0.5 * days), _LEAST_STEPS // 2)
    means = block_means(despiked(y, noise_sd), half)
    out = np.full(len(y), np.nan)
    if len(y) > 2 * half:
        apart = half * track.step_ms / DAY_MS
        out[half : len(y) - half] = (means[2 * half :] - means[half:-half]) / apart
    return out


def is_calm(v: Floats) -> Flags:
    """Return where a channel moves as it usually does; where its speed is not known, it is not."""
    usual, size = np.nanmedian(v) if np.isfinite(v).any() else 0.0, spread(v)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(v - usual) <= _CALM * max(size, 1e-300))


def measure_speed(track: Track, y: Floats, v: Floats, calm: Flags) -> Speed:
    """Return the speeds of one channel.

    Where 24 h are mostly noise, its median is near the mean, fast days and all: the steady speed
    is then that of windows as long as they must be.
    """
    month = _month(track)
    slow, window_d = v, 1.0
    for window_d in _WINDOWS_D:
        slow = v if window_d == 1.0 else velocity(track, y, float("nan"), window_d)
        here = slow[calm & np.isfinite(slow)]
        steady = float(np.median(here)) if len(here) else float("nan")
        if not spread(here) > _CLEAR * abs(steady):
            break
    error = _error(slow, calm & np.isfinite(slow), track)
    sized = known(np.abs(v))
    return Speed(
        steady, error, window_d, len(here) * track.step_ms / DAY_MS,
        float(sized.max()) if len(sized) else float("nan"), _months(track, v, month),
    )  # fmt: skip


def _month(track: Track) -> npt.NDArray[np.int64]:
    """Return months since 1970 of each reading."""
    when = track.time_ms.astype("datetime64[ms]")
    return when.astype("datetime64[M]").astype(np.int64)


def _error(v: Floats, calm: Flags, track: Track) -> float:
    """Return the standard error of the median: thirds of a month drawn with replacement."""
    block = np.floor(np.arange(len(v)) / track.steps(10.0))
    parts = [v[calm & (block == b)] for b in np.unique(block)]
    parts = [p for p in parts if len(p) > 4]
    if len(parts) < 3:
        return float("inf")
    random = np.random.default_rng(0)
    # The median of medians: as good for the error, and no array of all values for each draw.
    middle = np.array([np.median(p) for p in parts])
    drawn = np.median(middle[random.integers(0, len(middle), (_RESAMPLES, len(middle)))], axis=1)
    return float(drawn.std()) + 1e-12


def _months(track: Track, v: Floats, month: npt.NDArray[np.int64]) -> tuple[Month, ...]:
    """Return the bands by month of the year, where a whole year was seen."""
    if track.days < _YEAR_D:
        return ()
    found = []
    for number in range(12):
        here = known(v[month % 12 == number])
        days = len(here) * track.step_ms / DAY_MS
        if days >= _LEAST_MONTH_D:
            low, high = np.quantile(here, (0.05, 0.95))
            found.append(Month(number + 1, float(low), float(high), days))
    return tuple(found)


def alike(tracks: Mapping[str, tuple[Track, Floats]]) -> dict[str, tuple[tuple[str, float], ...]]:
    """Return for each channel those that move with it, (name, correlation), most alike first.

    Of movements from week to week. The correlation is about zero, not the mean: steady creep of
    both is movement too.
    """
    found: dict[str, tuple[tuple[str, float], ...]] = {}
    for name, (track, y) in tracks.items():
        near = []
        for other, (theirs, z) in tracks.items():
            same = (track.quantity, track.unit) == (theirs.quantity, theirs.unit)
            if other == name or not same:
                continue
            r, weeks = _correlation(_weekly(track, y), _weekly(theirs, z))
            if weeks >= _LEAST_WINDOWS and r >= max(_MOVES_TOGETHER, _CHANCE / weeks**0.5):
                near.append((other, r))
        found[name] = tuple(sorted(near, key=lambda pair: -pair[1]))
    return found


def _weekly(track: Track, y: Floats) -> dict[int, float]:
    """Return the movement of each week, by its number since 1970."""
    week = np.floor(track.time_ms / (7 * DAY_MS)).astype(np.int64)
    here = np.isfinite(y)
    levels = {int(w): float(np.median(y[here & (week == w)])) for w in np.unique(week[here])}
    return {w: levels[w] - levels[w - 1] for w in levels if w - 1 in levels}


def _correlation(a: dict[int, float], b: dict[int, float]) -> tuple[float, int]:
    """Return (correlation about zero, weeks); large weeks do not rule it alone."""
    weeks = sorted(set(a) & set(b))
    if not weeks:
        return 0.0, 0
    x, y = (np.array([each[w] for w in weeks]) for each in (a, b))
    scales = [np.median(np.abs(each)) for each in (x, y)]
    if not min(scales) > 0.0:
        return 0.0, len(weeks)
    x, y = (np.arcsinh(each / s) for each, s in zip((x, y), scales, strict=True))
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())), len(weeks)
