"""Intervals of a station's forecasts, GRU and baseline: margins to ship, and what they covered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.conformal import gap_steps
from edge.residual import Residual
from export.models import intervals, thresholds

if TYPE_CHECKING:
    from export.history import Floats
    from export.models.intervals import Interval
    from export.models.material import Material
    from export.train_config import TrainConfig


@dataclass(frozen=True, slots=True)
class Coverage:
    """The outermost interval of one model, target and horizon over the blocks after the first.

    ``fixed`` with the margins of the blocks before, ``adaptive`` with margins that go on learning.
    """

    model: str
    target: str
    horizon: int
    nominal: float
    fixed: Interval
    adaptive: Interval


def held(m: Material) -> slice:
    """Return the steps of all blocks."""
    return slice(m.folds[0].block.start, m.folds[-1].block.stop)


def baseline_offsets(
    wanted: TrainConfig, m: Material, kinds: tuple[str, ...], span: slice
) -> Floats:
    """Return float64[targets, horizons, quantiles]: quantiles of the naive forecast's errors."""
    off = (m.labels - _chosen(m, kinds))[span]
    out = np.zeros((*off.shape[1:], len(wanted.quantiles)))
    for i, j in np.ndindex(*off.shape[1:]):
        known = off[:, i, j][np.isfinite(off[:, i, j])]
        if len(known):
            out[i, j] = np.quantile(known, wanted.quantiles)
    return out


def baseline_quantiles(m: Material, kinds: tuple[str, ...], offsets: Floats) -> Floats:
    """Return float64[steps, targets, horizons, quantiles] of the naive forecast."""
    return np.asarray(_chosen(m, kinds)[..., None] + offsets)


def _chosen(m: Material, kinds: tuple[str, ...]) -> Floats:
    shape = m.labels.shape[1:]
    rows = [m.naive[kind][:, i, j] for kind, (i, j) in zip(kinds, np.ndindex(*shape), strict=True)]
    return np.asarray(np.stack(rows, axis=1).reshape(m.labels.shape))


def coverage(
    wanted: TrainConfig, m: Material, quantiles: Floats, kinds: tuple[str, ...], scale: Floats
) -> tuple[Coverage, ...]:
    """Judge the intervals, each block with what the blocks before it taught.

    quantiles [steps, targets, horizons, quantiles] of the GRU, out of fold.
    """
    rows: dict[str, list[tuple[Floats, Floats, slice]]] = {"gru": [], "baseline": []}
    start = m.folds[0].block.start
    for fold in m.folds[1:]:
        before, block = slice(start, fold.block.start - wanted.horizons[-1]), fold.block
        margin = intervals.margins(quantiles[before], m.labels[before], wanted.quantiles, scale)
        rows["gru"].append(_both(wanted, m, quantiles, margin, scale, block))
        offsets = baseline_offsets(wanted, m, kinds, slice(0, before.stop))
        naive = baseline_quantiles(m, kinds, offsets)
        rows["baseline"].append(_both(wanted, m, naive, np.zeros_like(margin), scale, block))
    found = []
    nominal = wanted.quantiles[-1] - wanted.quantiles[0]
    for model, blocks in rows.items():
        if not blocks:
            continue
        fixed = np.concatenate([b[0] for b in blocks])
        adaptive = np.concatenate([b[1] for b in blocks])
        truth = np.concatenate([m.labels[b[2]] for b in blocks])
        for (i, target), (j, horizon) in (
            (a, b) for a in enumerate(wanted.targets) for b in enumerate(wanted.horizons)
        ):
            two = [
                intervals.judged(q[:, i, j, 0], q[:, i, j, -1], truth[:, i, j], nominal)
                for q in (fixed, adaptive)
            ]
            found.append(Coverage(model, target, horizon, nominal, *two))
    return tuple(found)


def _both(
    wanted: TrainConfig, m: Material, quantiles: Floats, margin: Floats, scale: Floats, block: slice
) -> tuple[Floats, Floats, slice]:
    """Return the quantiles of a block with fixed and with adapting margins."""
    places = [m.history.channels.index(t) for t in wanted.targets]
    gap = gap_steps(int(np.median(np.diff(m.history.time_ms))))
    two = [
        intervals.adapted(
            m.history.values[block][:, places], quantiles[block],
            wanted.quantiles, wanted.horizons, scale, margin, rate, gap,
        )
        for rate in (0.0, wanted.adapt_rate)
    ]  # fmt: skip
    return two[0], two[1], block


def residual_limits(
    wanted: TrainConfig,
    m: Material,
    quantiles: Floats,
    margin: Floats,
    time_constant_steps: float,
    interpolated: frozenset[str],
) -> tuple[float, ...]:
    """Return the threshold of each target's smoothed residual, from forecasts out of fold.

    margin [targets] in target units; 0 (not scored) for an interpolated target.
    """
    places = [m.history.channels.index(t) for t in wanted.targets]
    span = held(m)
    residual = Residual(margin.tolist(), time_constant_steps)
    seen: list[list[float]] = []
    for i in range(span.start, span.stop):
        nearest = quantiles[i, :, 0]
        if m.history.reset[i] or np.isnan(nearest).any():
            residual.reset()
            continue
        residual.judge(m.history.values[i, places].tolist())
        residual.expect(nearest.tolist())
        seen.append(list(residual.values))
    columns = list(zip(*seen, strict=True)) or [()] * len(wanted.targets)
    return tuple(
        0.0 if target in interpolated else thresholds.limit(list(column), floor=0.5)
        for target, column in zip(wanted.targets, columns, strict=True)
    )
