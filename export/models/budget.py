"""A detector's threshold from a stated budget of false alarms: conformal, or peaks over threshold.

With enough calm scores the threshold is one of them, with the finite-sample correction of split
conformal prediction (Vovk et al. 2005). With fewer, a generalised Pareto tail is fitted to the
peaks over a high quantile (Siffer et al. 2017) and followed to where the budget is met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from export.history import Floats

_LEAST = 50
"""Scores below which no tail can be fitted."""
_START = 0.98
_MOST_BEYOND = 3.0
"""A fitted tail is followed to so many times the largest calm score at most."""
_GUESS = 1.25


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold, and in words how it was found."""

    value: float
    how: str


def limit_for(scores: Floats, share: float) -> Limit:
    """Return the threshold that a ``share`` of calm scores may exceed; float64[n]."""
    known = np.sort(scores[np.isfinite(scores)])
    n = len(known)
    if n < _LEAST:
        worst = float(known[-1]) if n else 1.0
        how = f"{n} calm scores are too few for a budget: the worst of them and a quarter more"
        return Limit(max(_GUESS * worst, 1e-9), how)
    rank = int(np.ceil((n + 1) * (1.0 - share)))
    if rank <= n:
        return Limit(
            max(float(known[rank - 1]), 1e-9), f"conformal, {share:.2%} of {n} calm scores"
        )
    start = float(np.quantile(known, _START))
    peaks = known[known > start] - start
    value = min(start + _tail(peaks, share * n / len(peaks)), _MOST_BEYOND * float(known[-1]))
    how = f"peaks over threshold, {share:.2%} budget, {len(peaks)} peaks of {n} calm scores"
    return Limit(max(value, float(known[-1]), 1e-9), how)


def _tail(peaks: Floats, beyond: float) -> float:
    """Return the excess that a share ``beyond`` of the peaks exceeds, by the method of moments.

    Hosking & Wallis 1987; the shape is kept where the moments exist.
    """
    mean, variance = float(peaks.mean()), float(peaks.var())
    if variance <= 0.0:
        return mean
    shape = float(np.clip(0.5 * (1.0 - mean**2 / variance), -0.5, 0.45))
    scale = mean * (1.0 - shape)
    if abs(shape) < 1e-6:
        return float(-scale * np.log(beyond))
    return float(scale / shape * (beyond**-shape - 1.0))
