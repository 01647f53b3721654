"""A history at a glance: every channel over time, what was found in it, and how it is split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from edge.calibration import MAX_RAW

mpl.use("Agg")

from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from export.history import Floats, History
    from export.models.windows import Split
    from export.quality.finding import Finding

_MOST_CHANNELS = 12
_MOST_POINTS = 4000
_MOST_MARKS = 40
_BROKEN = 5.0
"""Times the usual distance of two points: no line is drawn across."""
_COLOURS = {"error": "#c62828", "warning": "#e08a00"}
_PARTS = (("train", "#ffffff"), ("calibration", "#eef3f8"), ("test", "#dfe9f3"))


def plot_history(path: Path, history: History, findings: tuple[Finding, ...], parts: Split) -> None:
    """Write one PNG. Findings that ask for a look are marked, notes are not."""
    names = history.channels[:_MOST_CHANNELS]
    figure = Figure(figsize=(10.0, 1.1 * len(names) + 0.8), layout="constrained")
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    when = history.time_ms.astype("datetime64[ms]")
    for i, (axis, name) in enumerate(zip(axes, names, strict=True)):
        _shade(axis, when, parts)
        _draw(axis, when, history.values[:, i])
        _mark(axis, [f for f in findings if f.channel in ("", name) and f.severity in _COLOURS])
        axis.set_ylabel(name, rotation=0, ha="right", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.margins(x=0.01)
    left = len(history.channels) - len(names)
    text = "white: training, then calibration, then test; marked: what was found"
    axes[-1].set_xlabel(text + (f"; {left} more channels not drawn" if left else ""), fontsize=8)
    figure.savefig(path, dpi=100)


def _draw(axis: Any, when: npt.NDArray[np.datetime64], column: Floats) -> None:
    values = np.where(np.abs(column) <= MAX_RAW, column, np.nan)  # beyond: damage, as in a Trace
    pick = thinned(values)
    times, y = when[pick], values[pick]
    apart = np.diff(times).astype(np.int64)
    if len(apart):
        broken = np.flatnonzero(apart > _BROKEN * np.median(apart)) + 1
        times, y = np.insert(times, broken, times[broken]), np.insert(y, broken, np.nan)
    axis.plot(times, y, color="#1f5fa8", lw=0.7)


def _mark(axis: Any, findings: list[Finding]) -> None:
    for finding in findings[:_MOST_MARKS]:
        ends = np.array([finding.start_ms, finding.end_ms]).astype("datetime64[ms]")
        colour = _COLOURS[finding.severity]
        axis.axvspan(*ends, fc=to_rgba(colour, 0.2), ec=to_rgba(colour, 0.7), lw=0.8)


def _shade(axis: Any, when: npt.NDArray[np.datetime64], parts: Split) -> None:
    for name, colour in _PARTS:
        span = getattr(parts, name)
        if span.stop > span.start:
            axis.axvspan(when[span.start], when[span.stop - 1], color=colour, zorder=0)


def thinned(values: Floats) -> npt.NDArray[np.intp]:
    """Return the positions to draw: all, or the least and the most of each stretch."""
    if len(values) <= _MOST_POINTS:
        return np.arange(len(values))
    found: list[int] = []
    for part in np.array_split(np.arange(len(values)), _MOST_POINTS // 2):
        known = part[np.isfinite(values[part])]
        if len(known):
            ends = {int(known[values[known].argmin()]), int(known[values[known].argmax()])}
            found += sorted(ends)
        else:
            found.append(int(part[0]))  # a gap stays a gap
    return np.array(found, dtype=np.intp)
