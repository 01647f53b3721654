"""Detectors of one univariate stream, for NAB: each looks at the past alone.

``residual`` is what Talus watches a target with where its GRU is not armed: the distance from a
naive forecast, in its own running spread, smoothed; here turned into a tail probability and told
at its onset. One global setting each, compared on this very subset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_TINY = 1e-9
_ONSET = 60
"""Rows in which a detector does not repeat itself unless it is surer than before."""


def smoothed(values: Floats, steps: float) -> Floats:
    """Return the exponential mean of what is known so far."""
    out, mean = np.empty_like(values), float(values[0])
    for i, value in enumerate(values):
        mean += (float(value) - mean) / min(steps, i + 1.0)
        out[i] = mean
    return out


def windowed_gaussian(values: Floats, window: int = 6400, step: int = 10) -> Floats:
    """Return NAB's own baseline: the tail of a Gaussian over a moving window (step 10)."""
    out = np.zeros(len(values))
    for start in range(step, len(values), step):
        past = values[max(0, start - window) : start]
        off = np.abs(values[start : start + step] - past.mean()) / max(past.std(), _TINY)
        out[start : start + step] = off
    return out


def ewma(values: Floats, steps: float = 30.0, spread_steps: float = 500.0) -> Floats:
    """Return the distance from the exponential mean of the past, in its running spread."""
    before = np.concatenate([values[:1], smoothed(values, steps)[:-1]])
    off = np.abs(values - before)
    scale = np.concatenate([off[:1], smoothed(off, spread_steps)[:-1]])
    return onsets(off / np.maximum(scale, _TINY * (1 + np.abs(values))))


def residual(values: Floats, near: float = 6.0, far: float = 1500.0) -> Floats:
    """Return how unusual the smoothed residual of the naive forecast is among its own past."""
    step = np.diff(values, prepend=values[:1])
    level = values - np.concatenate([values[:1], smoothed(values, 100.0)[:-1]])
    found = np.zeros(len(values))
    for off in (np.abs(step), np.abs(level)):
        quick = smoothed(off, near)
        usual = np.concatenate([quick[:1], smoothed(quick, far)[:-1]])
        spread = np.concatenate([[0.0], smoothed(np.abs(quick - usual), far)[:-1]])
        floor = _TINY * (1.0 + np.abs(values).max())
        found = np.maximum(found, (quick - usual) / np.maximum(spread, floor))
    return onsets(found)


def onsets(scores: Floats) -> Floats:
    """Return the scores that are above all of the last rows, zero elsewhere."""
    out = np.zeros_like(scores)
    for i, score in enumerate(scores):
        if score > scores[max(0, i - _ONSET) : i].max(initial=0.0):
            out[i] = score
    return out
