"""A calibration on one page: what moved, how fast, the seasons, and the set points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, NullFormatter

from export.calibrate.aside import put
from export.calibrate.onsets import peaks
from export.plots.history import thinned

if TYPE_CHECKING:
    from pathlib import Path

    from export.calibrate.calibration import Calibration
    from export.calibrate.channel import Measured
    from export.calibrate.groups import Group

_COLOURS = ("#3f7fbf", "#d9a400", "#d96c00", "#c62828")
_MOST = 8
_PAGE = (8.27, 11.69)


def plot(path: Path, found: Calibration) -> None:
    """Write one A4 page as PNG, aside first."""
    figure = Figure(figsize=_PAGE, layout="constrained")
    moving = [m for m in found.channels if m.moving and m.speed is not None][:_MOST]
    groups = found.groups[:2]
    heights = [1.4, *(1.4 for _ in groups), 1.2]
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _movement(axes[0], moving)
    for axis, group in zip(axes[1:], groups, strict=False):
        _speeds(axis, group)
    parts = axes[-1].get_subplotspec().subgridspec(1, 2)
    axes[-1].remove()
    _returns(figure.add_subplot(parts[0]), found.groups[0], found.years)
    _months(figure.add_subplot(parts[1]), moving)
    left = len([m for m in found.channels if m.moving]) - len(moving)
    more = f"; {left} channels not drawn" if left else ""
    figure.suptitle(
        f"{found.station}: calibration from {found.days:.0f} days, profile {found.profile}{more}",
        fontsize=11,
    )
    put(path, lambda aside: figure.savefig(aside, dpi=110, format="png"))


def _when(time_ms: Any) -> Any:
    return np.asarray(time_ms).astype("datetime64[ms]")


def _movement(axis: Any, moving: list[Measured]) -> None:
    for m in moving:
        y = m.y - m.track.known()[0]
        pick = thinned(y)
        label = f"{m.track.name}, {m.track.unit}"
        axis.plot(_when(m.track.time_ms)[pick], y[pick], lw=0.8, label=label)
    _dress(axis, "moved since the first reading")


def _speeds(axis: Any, group: Group) -> None:
    """Draw speeds on a scale that shows 0 and the greatest alike."""
    seen = group.seen
    top = max([p.threshold for p in group.points])
    for name in group.channels:
        i = seen.channels.index(name)
        column = seen.values[:, i]
        pick = thinned(column)
        axis.plot(_when(seen.time_ms)[pick], column[pick], lw=0.6, label=name)
    for point, rule in zip(group.points, group.rules, strict=True):
        colour = _COLOURS[point.level - 1]
        axis.axhline(point.threshold, color=colour, lw=1.2, ls="--")
        axis.annotate(
            f"{rule.name}: {point.threshold:g}", (0.995, point.threshold), color=colour, fontsize=7,
            xycoords=("axes fraction", "data"), va="bottom", ha="right",
        )  # fmt: skip
    axis.set_yscale("symlog", linthresh=max(1e-9, group.points[0].threshold / 4.0))
    axis.set_ylim(0.0, 1.6 * top)
    hours = seen.window_ms / 3.6e6
    _dress(axis, f"speed over {hours:g} h as the rules see it, {group.unit}")


def _returns(axis: Any, group: Group, years: float) -> None:
    """Draw how often a year each speed is passed, and the set points against their budgets."""
    for level in (1, 4):
        height = -np.sort(-peaks(group.traces[level - 1])[0])
        condition = group.rules[level - 1].when[0]
        rate = np.arange(1, len(height) + 1) / years
        label = f"history, {condition.at_least} of {len(condition.channels)} sensors"
        axis.plot(height, rate, ".", ms=4, color=_COLOURS[level - 1], label=label)
    for point in group.points:
        colour = _COLOURS[point.level - 1]
        axis.plot(point.threshold, point.budget, "D", color=colour, ms=6)
        if point.low == point.low and point.low > 0.0:
            axis.plot([point.low, point.high], [point.budget] * 2, "-", color=colour, lw=2)
    axis.axhline(3.0 / years, color="#777777", lw=0.8, ls=":")
    axis.annotate("what so long a history can exclude", (0.02, 3.0 / years), fontsize=6,
                  xycoords=("axes fraction", "data"), va="bottom", color="#555555")  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(LogFormatter())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_yscale("log")
    axis.set_xlabel(f"speed, {group.unit}", fontsize=7)
    _dress(axis, "onsets a year; diamonds: set point and budget")


def _months(axis: Any, moving: list[Measured]) -> None:
    drawn = False
    for m in moving[:4]:
        bands = m.speed.months if m.speed is not None else ()
        if not bands:
            continue
        drawn = True
        at = [b.month for b in bands]
        low, high = [b.low for b in bands], [b.high for b in bands]
        axis.fill_between(at, low, high, alpha=0.25, label=f"{m.track.name}, {m.track.unit}/d")
    if not drawn:
        axis.text(0.5, 0.5, "seasons: a year of\nhistory is needed", ha="center", va="center",
                  transform=axis.transAxes, fontsize=8)  # fmt: skip
    _dress(axis, "speed by month of the year, 5 to 95 %")


def _dress(axis: Any, title: str) -> None:
    axis.set_title(title, fontsize=8, loc="left")
    axis.tick_params(labelsize=7)
    axis.margins(x=0.01)
    handles, _ = axis.get_legend_handles_labels()
    if handles:
        axis.legend(fontsize=6, loc="upper left", ncols=2, frameon=False)
