"""What a GRU is to learn: the increments, less those of a naive forecast that it stands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.manifest import ANCHORS
from export.models import windows

if TYPE_CHECKING:
    from export.history import Floats
    from export.models.material import Material

_RECENT = 4
_GAIN = 0.9
"""A naive forecast is stood on only if its error is a tenth below that of persistence."""


@dataclass(frozen=True, slots=True)
class Aim:
    """``anchors`` [targets * horizons] (ANCHORS), ``anchor`` their increments float64[steps, ...].

    ``scale`` float64[targets, horizons] is the spread in training of what is left to learn.
    """

    anchors: tuple[str, ...]
    anchor: Floats
    scale: Floats

    def scaled(self, labels: Floats) -> Floats:
        """Return what the network learns: float64[steps, targets, horizons]."""
        return np.asarray((labels - self.anchor) / self.scale)


def aim(m: Material, span: slice) -> Aim:
    """Choose the anchors by their errors at the end of a span, and scale what is left.

    Its last quarter, or two seasons if that is more: a slope of five years ago was another one,
    and before a season is over the seasonal forecast is but the drift.
    """
    recent = max((span.stop - span.start) // _RECENT, 2 * m.season_steps)
    full = slice(max(span.start + m.season_steps, span.stop - recent), span.stop)
    shape = m.labels.shape[1:]
    kinds = [_best(m, full, i, j) for i, j in np.ndindex(*shape)]
    anchor = np.stack(
        [m.naive[kind][:, i, j] for kind, (i, j) in zip(kinds, np.ndindex(*shape), strict=True)],
        axis=1,
    ).reshape(m.labels.shape)
    return Aim(tuple(kinds), anchor, windows.scales(m.labels - anchor, span))


def _best(m: Material, span: slice, i: int, j: int) -> str:
    labels = m.labels[span, i, j]
    if not np.isfinite(labels).any():
        return "persistence"
    square = {
        kind: float(np.nanmean((labels - m.naive[kind][span, i, j]) ** 2))
        for kind in ANCHORS
        if kind in m.naive
    }
    best = min(square, key=lambda kind: square[kind])
    return best if square[best] < _GAIN**2 * square["persistence"] else "persistence"
