"""Every naive forecast over a whole history, by the very class that runs in the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.manifest import NAIVE
from edge.naive import Naive

if TYPE_CHECKING:
    from export.history import Floats, History


def window_of(horizons: tuple[int, ...]) -> int:
    """Return how far the linear forecast looks back: as far as ahead, eight steps at least."""
    return min(max(8, horizons[-1]), 512)


def drifts(labels: Floats, span: slice) -> tuple[float, ...]:
    """Return the mean increment of one step of each target; labels [steps, targets, horizons]."""
    step = labels[span, :, 0]
    known = np.isfinite(step)
    total = np.where(known, step, 0.0).sum(axis=0)
    return tuple((total / np.maximum(known.sum(axis=0), 1)).tolist())


def naive_forecasts(
    history: History,
    targets: tuple[str, ...],
    horizons: tuple[int, ...],
    drift: tuple[float, ...],
    season_steps: int,
) -> dict[str, Floats]:
    """Return float64[steps, targets, horizons] for each kind, NaN where its past is not known."""
    places = [history.channels.index(t) for t in targets]
    rows = history.values[:, places].tolist()
    found = {}
    for kind in NAIVE:
        if kind == "seasonal" and not season_steps:
            continue
        kinds = (kind,) * (len(targets) * len(horizons))
        naive = Naive(kinds, drift, horizons, window_of(horizons), season_steps)
        out = np.empty((len(rows), len(targets), len(horizons)))
        for i, row in enumerate(rows):
            if history.reset[i]:
                naive.reset()
            out[i] = np.reshape(naive.push(row), out.shape[1:])
        found[kind] = out
    return found
