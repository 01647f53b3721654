"""Lines over time as SVG, without any library: for a gateway that has none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, PANEL, LEFT, TOP, GAP = 900, 150, 90, 40, 24
MAX_POINTS = 1500
"""More points are thinned to the least and the greatest of each stretch."""
_COLOURS = ("#1f5fa8", "#b4451f", "#3c7d3a", "#7a4f9a", "#8a6d1d", "#2f8f8f")


@dataclass(frozen=True, slots=True)
class Line:
    """One series; NaN breaks it."""

    name: str
    times_ms: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines that share an axis."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    limit: float = math.nan
    """A threshold to draw."""


def draw(title: str, panels: Sequence[Panel], marks_ms: Sequence[tuple[int, str]]) -> str:
    """Give an SVG of panels below each other, with vertical marks (time, text)."""
    times = [t for panel in panels for line in panel.lines for t in line.times_ms]
    begin, end = (min(times), max(times)) if times else (0, 1)
    end = max(end, begin + 1)
    height = TOP + len(panels) * (PANEL + GAP) + 20
    size = f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>',
    ]
    for i, panel in enumerate(panels):
        parts += _panel(panel, TOP + i * (PANEL + GAP), begin, end)
    bottom = height - 20
    for at_ms, text in marks_ms:
        if begin <= at_ms <= end:
            x = _x(at_ms, begin, end)
            parts.append(f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}" stroke="#c00"/>')
            parts.append(f'<text x="{x + 3}" y="{TOP + 10}" fill="#c00">{escape(text)}</text>')
    for k in range(5):
        at_ms = begin + (end - begin) * k // 4
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
        anchor = "end" if k == 4 else "middle" if k else "start"
        label = moment.strftime("%Y-%m-%d %H:%M")
        x = _x(at_ms, begin, end)
        parts.append(f'<text x="{x}" y="{height - 6}" text-anchor="{anchor}">{label}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel, top: int, begin: int, end: int) -> list[str]:
    known = [v for line in panel.lines for v in line.values if math.isfinite(v)]
    if math.isfinite(panel.limit):
        known.append(panel.limit)
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high <= low:
        low, high = low - 0.5, high + 0.5

    def y(value: float) -> float:
        return round(top + PANEL - (value - low) / (high - low) * PANEL, 1)

    box = f'x="{LEFT}" y="{top}" width="{WIDTH - LEFT - 10}" height="{PANEL}"'
    parts = [
        f'<rect {box} fill="none" stroke="#ccc"/>',
        f'<text x="{LEFT}" y="{top - 5}">{escape(panel.title)} ({escape(panel.unit)})</text>',
        f'<text x="{LEFT - 5}" y="{top + 10}" text-anchor="end">{high:.4g}</text>',
        f'<text x="{LEFT - 5}" y="{top + PANEL}" text-anchor="end">{low:.4g}</text>',
    ]
    if math.isfinite(panel.limit):
        at = y(panel.limit)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{at}" y2="{at}" stroke="#c00" '
            'stroke-dasharray="4 3"/>'
        )
    for k, line in enumerate(panel.lines):
        colour = _COLOURS[k % len(_COLOURS)]
        for run in _runs(line):
            points = " ".join(f"{_x(t, begin, end)},{y(v)}" for t, v in run)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        name = f'<text x="{WIDTH - 15}" y="{top + 14 + 13 * k}" text-anchor="end" fill="{colour}">'
        parts.append(f"{name}{escape(line.name)}</text>")
    return parts


def _runs(line: Line) -> list[list[tuple[int, float]]]:
    """Part a line where it is not known, thinned."""
    runs: list[list[tuple[int, float]]] = [[]]
    for t, v in zip(line.times_ms, line.values, strict=True):
        if math.isfinite(v):
            runs[-1].append((t, v))
        elif runs[-1]:
            runs.append([])
    total = sum(map(len, runs))
    size = max(1, math.ceil(2 * total / MAX_POINTS))
    return [_thinned(run, size) for run in runs if run]


def _thinned(run: list[tuple[int, float]], size: int) -> list[tuple[int, float]]:
    if size <= 2:
        return run
    kept: list[tuple[int, float]] = []
    for at in range(0, len(run), size):
        part = run[at : at + size]
        both = {min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}
        kept += sorted(both)
    return kept


def _x(time_ms: int, begin: int, end: int) -> float:
    return round(LEFT + (time_ms - begin) / (end - begin) * (WIDTH - LEFT - 10), 1)
