"""The noise of a sensor on a slope at rest: how much, and how much of it lasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.calibrate.robust import known, spread
from export.calibrate.track import DAY_MS

if TYPE_CHECKING:
    from export.calibrate.track import Track
    from export.history import Flags, Floats

LEAST = 100
"""Pairs of neighbouring readings."""
_LAGS = (1, 2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72, 96, 144, 192, 288)
_LONGEST_D = 10.0


@dataclass(frozen=True, slots=True)
class Noise:
    """``sd`` is that of first differences over sqrt 2; white and lasting are a fit to all lags."""

    sd: float
    white_sd: float
    lasting_sd: float
    lasting_h: float
    pairs: int

    @property
    def split(self) -> bool:
        """Return whether noise that lasts could be told from white noise."""
        return bool(np.isfinite(self.lasting_sd))


def measure_noise(track: Track, y: Floats, v: Floats, calm: Flags) -> Noise | None:
    """Return the noise of one channel while its slope is calm; None of too few readings.

    ``v``, its velocity a day, is taken out: a fast season would pass for noise.
    """
    moved = np.where(np.isfinite(v), v, 0.0)[1:] * track.step_ms / DAY_MS
    apart = np.diff(y) - moved
    first = known(apart[calm[1:] & calm[:-1]])
    if len(first) < LEAST:
        return None
    sd = spread(first) / np.sqrt(2.0)
    if not sd > 0.0:
        return None
    white, lasting, lasting_h = _split(track, y, calm)
    return Noise(float(sd), white, lasting, lasting_h, len(first))


def _differences(y: Floats, calm: Flags, lag: int) -> Floats:
    apart = y[lag:] - y[:-lag]
    kept = calm[lag:] & calm[:-lag] & np.isfinite(apart)
    return np.asarray(apart[kept])


def _split(track: Track, y: Floats, calm: Flags) -> tuple[float, float, float]:
    """Fit white^2 + lasting^2 (1 - exp(-lag / tau)) to the variance of differences over 2.

    And a part that grows with lag^2: a calm slope does not move at quite the same speed all year.
    """
    nothing = (float("nan"),) * 3
    longest = min(track.steps(_LONGEST_D), len(y) // 10)
    lags, halves = [], []
    for lag in (each for each in _LAGS if each <= longest):
        apart = _differences(y, calm, lag)
        if len(apart) >= LEAST:
            lags.append(lag)
            halves.append(spread(apart) ** 2 / 2.0)
    if len(lags) < 5 or not min(halves) > 0.0:
        return nothing
    lag_h = np.array(lags) * track.step_ms / 3.6e6
    seen = np.array(halves)
    best, least = nothing, float("inf")
    for tau in np.geomspace(lag_h[0], 2.0 * lag_h[-1], 24):
        grown = -np.expm1(-lag_h / tau)
        columns = np.stack((np.ones_like(grown), grown, (lag_h / lag_h[-1]) ** 2), axis=1)
        design = columns / seen[:, None]
        found = np.linalg.lstsq(design, np.ones(len(seen)), rcond=None)[0]
        if found[2] < 0.0:
            found = np.append(
                np.linalg.lstsq(design[:, :2], np.ones(len(seen)), rcond=None)[0], 0.0
            )
        if (found < 0.0).any():
            continue
        miss = float(((design @ found - 1.0) ** 2).sum())
        if miss < least:
            least = miss
            best = (float(np.sqrt(found[0])), float(np.sqrt(found[1])), float(tau))
    # A fit that is off by a fifth is no fit: the slope moved, or the noise is of another kind.
    return best if least < 0.04 * len(seen) else nothing
