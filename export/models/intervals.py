"""Intervals from errors out of fold: conformal margins, and what they cover and cost.

Margins are those of conformalised quantile regression (Romano et al. 2019); the adaptive ones are
run by the very class that runs in the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.conformal import Conformal, widened

if TYPE_CHECKING:
    from export.history import Floats


@dataclass(frozen=True, slots=True)
class Interval:
    """How the outermost interval of one target and horizon did: PICP, PINAW and Winkler score.

    ``covered`` is the share inside, ``width`` the mean width over the range of the truth,
    ``winkler`` the width and the penalty of misses (Winkler 1972) over that range.
    """

    covered: float
    width: float
    winkler: float


def margins(quantiles: Floats, truth: Floats, levels: tuple[float, ...], scale: Floats) -> Floats:
    """Return margins float64[targets, horizons, pairs] in units of ``scale``, outermost first.

    quantiles [n, targets, horizons, quantiles] out of fold, truth [n, targets, horizons]. With
    the finite-sample correction (n + 1) / n; where n is too small for a level, the worst error.
    """
    pairs = len(levels) // 2
    out = np.zeros((*truth.shape[1:], pairs))
    for p in range(pairs):
        off = np.maximum(quantiles[..., p] - truth, truth - quantiles[..., -1 - p])
        for i, j in np.ndindex(*truth.shape[1:]):
            score = off[:, i, j][np.isfinite(off[:, i, j])]
            if len(score):
                level = (levels[-1 - p] - levels[p]) * (len(score) + 1) / len(score)
                out[i, j, p] = np.quantile(score, min(level, 1.0)) / scale[i, j]
    return out


def adapted(
    values: Floats,
    quantiles: Floats,
    levels: tuple[float, ...],
    horizons: tuple[int, ...],
    scale: Floats,
    margin: Floats,
    rate: float,
    gap: int = 1,
) -> Floats:
    """Return the quantiles as the gateway would publish them, its margins adapting on the way.

    values [n, targets] of the targets, quantiles [n, targets, horizons, quantiles]; NaN rows stay.
    """
    conformal = Conformal(
        levels, horizons, values.shape[1], tuple(scale.ravel()), tuple(margin.ravel()), rate, gap
    )
    out = np.full_like(quantiles, np.nan)
    flat = quantiles.reshape(len(quantiles), -1, len(levels))
    for n, rows in enumerate(flat.tolist()):
        if rows[0][0] != rows[0][0]:
            conformal.reset()
            continue
        conformal.push(values[n].tolist(), rows)
        wide = [widened(row, m) for row, m in zip(rows, conformal.margins, strict=True)]
        out[n] = np.array(wide).reshape(out[n].shape)
    return out


def judged(low: Floats, high: Floats, truth: Floats, share: float) -> Interval:
    """Judge one interval whose nominal ``share`` is inside; all float64[n], NaN left out."""
    both = np.isfinite(low) & np.isfinite(high) & np.isfinite(truth)
    if not both.any():
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high, truth = low[both], high[both], truth[both]
    span = float(np.ptp(truth)) or 1.0
    miss = np.maximum(low - truth, 0.0) + np.maximum(truth - high, 0.0)
    width = high - low
    winkler = width + miss * 2.0 / (1.0 - share)
    inside = float((miss == 0.0).mean())
    return Interval(inside, float(width.mean()) / span, float(winkler.mean()) / span)
