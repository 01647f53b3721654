"""The picture of the Mukilteo run: converted channels, scores and levels, a row a station."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the backend is chosen

_INK = {"velocity": "#1f77b4", "forecast": "#2ca02c", "residual": "#9467bd", "pca": "#ff7f0e",
        "autoencoder": "#8c564b"}  # fmt: skip
_LEVELS = ("#4caf50", "#cddc39", "#ffc107", "#ff7043", "#c62828")


def draw(telemetry: list[dict[str, Any]], alarms: list[dict[str, Any]], path: Path) -> None:
    """Draw what the subscriber received."""
    names = sorted({message["station"] for message in telemetry})
    figure, axes = plt.subplots(
        len(names), 3, figsize=(17, 2.7 * len(names)), sharex=True, squeeze=False
    )
    for row, name in zip(axes, names, strict=True):
        mine = [message for message in telemetry if message["station"] == name]
        _channels(row[0], row[1], mine)
        _scores(row[2], mine, [a for a in alarms if a["station"] == name])
        row[0].set_title(name, loc="left", fontweight="bold")
    axes[0][1].set_title("rain, soil moisture")
    axes[0][2].set_title("scores over threshold (dashed: shadow), level below", fontsize=10)
    figure.autofmt_xdate()
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    print(f"wrote {path}")


def _channels(water: Any, weather: Any, mine: list[dict[str, Any]]) -> None:
    fields = mine[0]["fields"]
    rows = sorted((row for message in mine for row in message["rows"]), key=lambda row: row[0])
    times = [_when(row[0]) for row in rows]
    values = np.array([[np.nan if v is None else v for v in row[2:]] for row in rows])
    for i, name in enumerate(fields[2:]):
        if name.startswith(("head", "level")):
            water.plot(times, values[:, i], lw=0.9, label=name)
        elif name.startswith("soil_") and "temp" not in name:
            weather.plot(times, values[:, i], lw=0.7, alpha=0.7)
        elif name == "rain":
            rain = weather.twinx()
            rain.bar(times, values[:, i], width=0.02, color="#1565c0")
            rain.set_ylabel("rain, mm")
            rain.set_ylim(0, max(1.0, 1.05 * float(np.nanmax(values[:, i], initial=0.0))))
    weather.yaxis.set_visible(bool(weather.get_lines()))
    water.legend(fontsize=7, loc="best")
    water.set_ylabel("water level, m (MLP, MWWD: raw)", fontsize=7)


def _scores(axis: Any, mine: list[dict[str, Any]], alarms: list[dict[str, Any]]) -> None:
    lines: dict[tuple[str, bool], dict[int, float]] = {}
    for message in mine:
        for step in message["steps"]:
            for kind, _, value, threshold, armed in step["scores"]:
                worst = lines.setdefault((kind, armed), {})
                worst[step["time_ms"]] = max(worst.get(step["time_ms"], 0.0), value / threshold)
    for (kind, armed), points in sorted(lines.items()):
        times = sorted(points)
        style = "-" if armed else "--"
        axis.plot([_when(t) for t in times], [points[t] for t in times], style, lw=0.8,
                  color=_INK[kind], label=kind)  # fmt: skip
    axis.axhline(1.0, color="black", lw=0.5)
    axis.set_yscale("log")
    axis.set_ylim(0.02, 30)
    if not lines:
        return
    end = max(t for points in lines.values() for t in points)
    marks = sorted((a["time_ms"], a["level"]) for a in alarms)
    start = min(t for points in lines.values() for t in points)
    spans = [(start, 0), *marks, (end, 0)]
    for (begin, level), (until, _) in zip(spans, spans[1:], strict=False):
        if until > begin:
            axis.axvspan(_when(begin), _when(until), 0, 0.06, color=_LEVELS[level])
    axis.legend(fontsize=6, loc="upper left", ncol=3)


def _when(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
