"""Training sequences and labels from one history; splits in time order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from export.history import Floats, History, Singles


@dataclass(frozen=True, slots=True)
class Split:
    """Three spans of the history: fit, set thresholds, judge. In time order, never shuffled."""

    train: slice
    calibration: slice
    test: slice


def split(steps: int, calibration_share: float, test_share: float) -> Split:
    """Cut a history of so many steps."""
    first = round(steps * (1.0 - calibration_share - test_share))
    second = round(steps * (1.0 - test_share))
    return Split(slice(0, first), slice(first, second), slice(second, steps))


def increments(history: History, targets: tuple[str, ...], horizons: tuple[int, ...]) -> Floats:
    """Return float64[steps, targets, horizons]: y[t + h] - y[t], NaN over breaks and the end."""
    steps = len(history.values)
    out = np.full((steps, len(targets), len(horizons)), np.nan)
    span = np.cumsum(history.reset)
    for i, target in enumerate(targets):
        y = history.values[:, history.channels.index(target)]
        for j, h in enumerate(horizons):
            if h < steps:
                same = span[h:] == span[:-h]
                out[:-h, i, j] = np.where(same, y[h:] - y[:-h], np.nan)
    return out


def scales(labels: Floats, train: slice) -> Floats:
    """Return float64[targets, horizons]: the spread of each increment in training, floored."""
    part = labels[train]
    sd = np.nanstd(part, axis=0)
    return np.asarray(np.maximum(np.nan_to_num(sd, nan=0.0), 1e-6))


def sequences(
    x: Singles, known: npt.NDArray[np.bool_], labels: Floats, length: int, stride: int
) -> tuple[Singles, Singles]:
    """Return x float32[n, length, features], labels float32[n, length, ...] with unknowns NaN.

    Sequences with a step whose features are unknown are left out.
    """
    starts = [s for s in range(0, len(x) - length + 1, stride) if known[s : s + length].all()]
    if not starts:
        return np.zeros((0, length, x.shape[1]), np.float32), np.zeros((0, length), np.float32)
    xs = np.stack([x[s : s + length] for s in starts])
    ys = np.stack([labels[s : s + length] for s in starts]).astype(np.float32)
    return xs, ys


def runs(
    x: Singles, known: npt.NDArray[np.bool_], reset: npt.NDArray[np.bool_], labels: Floats
) -> tuple[Singles, Singles]:
    """Return every unbroken run as one sequence, padded at its end with unknown labels."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    spans = []
    for start, stop in edges.reshape(-1, 2).tolist():
        cuts = [start, *(start + 1 + np.flatnonzero(reset[start + 1 : stop])).tolist(), stop]
        spans += list(pairwise(cuts))
    length = max((stop - start for start, stop in spans), default=0)
    xs = np.zeros((len(spans), length, x.shape[1]), np.float32)
    ys = np.full((len(spans), length, *labels.shape[1:]), np.nan, np.float32)
    for i, (start, stop) in enumerate(spans):
        xs[i, : stop - start] = x[start:stop]
        ys[i, : stop - start] = labels[start:stop]
    return xs, ys


def stacked(x: Singles, known: npt.NDArray[np.bool_], window: int) -> Singles:
    """Return every whole window of features: float32[n, window, features]."""
    starts = [s for s in range(len(x) - window + 1) if known[s : s + window].all()]
    if not starts:
        return np.zeros((0, window, x.shape[1]), np.float32)
    return np.stack([x[s : s + window] for s in starts])
