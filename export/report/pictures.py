"""The pictures of the report, as PNG bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from export.models.train import Trained

_DPI = 110
_MOST_TARGETS = 4
_MOST_STEPS = 1500
_OURS, _NAIVE, _TRUTH = "#1f5fa8", "#c46a1a", "#222222"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
    return buffer.getvalue()


def _axes(rows: int, width: float, height: float) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, 1, i + 1) for i in range(rows)]


def forecasts(trained: Trained) -> bytes:
    """Draw truth, forecast and interval at the longest horizon over the held-back end."""
    wanted, m, f = trained.wanted, trained.material, trained.forecast
    figure, axes = _axes(min(len(wanted.targets), _MOST_TARGETS), 9.0, 2.6)
    start, stop = m.folds[0].block.start, m.folds[-1].block.stop
    rows = slice(max(start, stop - _MOST_STEPS), stop)
    when = m.history.time_ms[rows].astype("datetime64[ms]")
    units = {c.name: c.unit for c in trained.manifest.channels}
    for i, axis in enumerate(axes):
        q = f.quantiles[rows, i, -1]
        axis.fill_between(when, q[:, 0], q[:, -1], color=_OURS, alpha=0.25, lw=0, label="interval")
        axis.plot(when, q[:, q.shape[1] // 2], color=_OURS, lw=1.2, label="GRU median")
        kind = f.spec.baseline.kinds[(i + 1) * len(wanted.horizons) - 1]
        axis.plot(when, m.naive[kind][rows, i, -1], color=_NAIVE, lw=0.9, label=kind)
        axis.plot(when, m.labels[rows, i, -1], color=_TRUTH, lw=0.9, label="happened")
        for fold in m.folds:
            if fold.block.start > rows.start:
                axis.axvline(m.history.time_ms[fold.block.start].astype("datetime64[ms]"), ls=":")
        locator = axis.xaxis.get_major_locator()
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axis.set_ylabel(f"{wanted.targets[i]}\n{units[wanted.targets[i]]} / {wanted.horizons[-1]}")
    axes[0].legend(ncol=4, fontsize=8, loc="upper left")
    return _png(figure)


def skills(trained: Trained) -> bytes:
    """Draw the error of every forecast over that of the best naive one, a group a horizon."""
    rows = trained.forecast.skills
    kinds = [kind for kind, _ in rows[0].naive] if rows else []
    figure = Figure(figsize=(9.0, 3.0), layout="constrained")
    axis = figure.add_subplot()
    width = 0.75 / (len(kinds) + 1)
    for k, name in enumerate(["gru", *kinds]):
        values = [
            (s.rmse if name == "gru" else dict(s.naive)[name]) / max(s.naive_rmse, 1e-12)
            for s in rows
        ]
        colour = _OURS if name == "gru" else None
        axis.bar(np.arange(len(rows)) + k * width, values, width, label=name, color=colour)
    axis.axhline(1.0, color=_TRUTH, lw=0.8)
    axis.set_xticks(np.arange(len(rows)) + 0.4, [f"{s.target}\n{s.horizon}" for s in rows])
    axis.set_ylabel("RMSE over the best naive")
    axis.set_ylim(0, 3)
    axis.legend(ncol=6, fontsize=8)
    return _png(figure)


def calibration(trained: Trained) -> bytes:
    """Draw the share below each quantile against its name: on the diagonal it keeps its word."""
    wanted, m, f = trained.wanted, trained.material, trained.forecast
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axis = figure.add_subplot()
    axis.plot([0, 1], [0, 1], color=_TRUTH, lw=0.8)
    for i, target in enumerate(wanted.targets[:_MOST_TARGETS]):
        for j, horizon in enumerate(wanted.horizons):
            truth, q = m.labels[:, i, j], f.quantiles[:, i, j]
            both = np.isfinite(truth) & np.isfinite(q[:, 0])
            if both.any():
                below = (truth[both, None] <= q[both]).mean(axis=0)
                axis.plot(wanted.quantiles, below, "o-", lw=0.9, ms=4, label=f"{target} {horizon}")
    axis.set_xlabel("quantile")
    axis.set_ylabel("share below, out of fold, before margins")
    axis.legend(fontsize=7)
    return _png(figure)
