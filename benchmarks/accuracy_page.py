"""The tables and the picture of benchmarks/accuracy.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accuracy_forecast import Study

_PUBLISHED = (("ARTime", 74.9), ("HTM", 70.1), ("windowed Gaussian", 39.6))
"""Over all 58 files, most of them easier than the 18 here: to stand beside, not to compare."""
_UNITS = {"bazimen": "Bazimen ZG111, a month", "lamosano": "Lamosano p5, 11 days"}


def markdown(
    studies: Sequence[Study],
    skab_rows: Sequence[tuple[str, float, float]],
    nab_rows: Sequence[tuple[str, float]],
    figures: dict[str, float],
    seeds: int,
) -> str:
    """Return the whole page."""
    lines = ["# Accuracy on real data", "", *_verdict(figures), ""]
    for each in studies:
        lines += _forecasts(each, seeds)
    lines += ["## Intervals, 90 %", "", *_intervals(studies)]
    lines += ["## SKAB valve1, outliers", "", "| detector | F1 | false alarms % |", "|---|---|---|"]
    lines += [f"| {name} | {f1:.3f} | {far:.1f} |" for name, f1, far in skab_rows]
    lines += ["", "## NAB subset, standard profile", "", "| detector | score |", "|---|---|"]
    lines += [f"| {name} | {score:.1f} |" for name, score in nab_rows]
    lines += [f"| {name}, published, whole corpus | {score} |" for name, score in _PUBLISHED]
    command = "python benchmarks/accuracy.py --data ../shared/data --markdown docs/accuracy.md"
    return "\n".join([*lines, "", f"Made by `{command} --png docs/accuracy.png`.", ""])


def _verdict(f: dict[str, float]) -> list[str]:
    ours, seasonal = f["zg111_rmse_mm"], f["zg111_seasonal_naive_rmse_mm"]
    beaten = "is beaten" if ours < seasonal else "is **not** beaten"
    said = f"The seasonal-naive forecast of ZG111 in 2012 ({seasonal:.1f} mm) {beaten}: the GRU "
    return [f"{said}has {ours:.1f} mm, persistence {f['zg111_persistence_rmse_mm']:.1f}."]


def _forecasts(study: Study, seeds: int) -> list[str]:
    kinds = [kind for kind, _ in study.skills[0].naive]
    lines = [f"## {_UNITS[study.name]}", "", f"RMSE in mm, rolling origin, {seeds} seeds.", ""]
    lines.append(f"| steps ahead | blocks | GRU | sd | {' | '.join(kinds)} | skill |")
    lines.append("|---" * (5 + len(kinds)) + "|")
    for name, rows in (("all", study.skills), ("last", (study.last,))):
        for s in rows:
            cells = " | ".join(f"{rmse:.2f}" for _, rmse in s.naive)
            lines.append(
                f"| {s.horizon} | {name} | {s.rmse:.2f} | {s.rmse_sd:.2f} | {cells} | "
                f"{s.skill:+.3f} ± {s.standard_error:.3f} |"
            )
    lines += ["", "One network in every form, last block:", "", "| form | RMSE mm |", "|---|---|"]
    lines += [f"| {form} | {rmse:.3f} |" for form, rmse in study.forms]
    return [*lines, ""]


def _intervals(studies: Sequence[Study]) -> list[str]:
    lines = ["| slope | steps | model | PICP fixed | PINAW | PICP adaptive | PINAW | Winkler |"]
    lines.append("|---" * 8 + "|")
    lines += [
        f"| {study.name} | {c.horizon} | {c.model} | {c.fixed.covered:.1%} | {c.fixed.width:.2f} "
        f"| {c.adaptive.covered:.1%} | {c.adaptive.width:.2f} | {c.adaptive.winkler:.2f} |"
        for study in studies
        for c in study.coverage
    ]
    return [*lines, ""]


def draw(
    studies: Sequence[Study], skab_rows: Sequence[tuple[str, float, float]], path: Path
) -> None:
    """Draw the forecasts of the judged blocks, and the detectors over their false alarms."""
    figure = Figure(figsize=(10, 3.0 * (len(studies) + 1)), layout="constrained")
    axes = figure.subplots(len(studies) + 1, 1)
    for axis, study in zip(axes[:-1], studies, strict=True):
        _draw_study(axis, study)
    for name, f1, far in skab_rows:
        axes[-1].plot(far, f1, "o")
        axes[-1].annotate(name, (far, f1), fontsize=8, xytext=(4, 3), textcoords="offset points")
    axes[-1].axhline(0.78, color="0.7", lw=0.8)
    axes[-1].axvline(13.6, color="0.7", lw=0.8)
    axes[-1].set_xlabel("SKAB valve1: false alarms, %")
    axes[-1].set_ylabel("F1")
    figure.savefig(path, dpi=110)


def _draw_study(axis: mpl.axes.Axes, study: Study) -> None:
    m, q = study.material, study.quantiles[0]
    rows = slice(m.folds[0].block.start, m.folds[-1].block.stop)
    when = m.history.time_ms[rows].astype("datetime64[ms]")
    middle = q.shape[-1] // 2
    axis.fill_between(when, q[rows, 0, 0, 0], q[rows, 0, 0, -1], alpha=0.2, lw=0, label="90 %")
    axis.plot(when, np.median(study.quantiles[:, rows, 0, 0, middle], axis=0), label="GRU")
    rival = study.skills[0].best_naive
    if rival in m.naive:
        axis.plot(when, m.naive[rival][rows, 0, 0], lw=0.9, label=rival)
    axis.plot(when, m.labels[rows, 0, 0], color="0.1", lw=0.9, label="happened")
    axis.set_ylabel(f"{study.name}\nmm a step")
    axis.legend(fontsize=8, ncol=4)
