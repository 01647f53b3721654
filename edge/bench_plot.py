"""Boards side by side as SVG: percentiles on a logarithmic scale, and soaks over their time."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError
from edge.picture import WIDTH, Line, Panel, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge.bench_compare import Board

LEFT, TOP, ROW, HEAD = 260, 56, 14, 18
COLOURS = ("#1f5fa8", "#b4451f", "#3c7d3a", "#7a4f9a", "#8a6d1d", "#2f8f8f")
_MARKS = (("p50_us", 4.0, True), ("p99_us", 3.0, False), ("p99_9_us", 2.0, False))


def write_plot(path: Path, boards: Sequence[Board]) -> None:
    """Draw what the boards have. Raises TalusError."""
    groups = _groups(boards)
    soaks = _soaks(boards)
    if not groups and not soaks:
        raise TalusError(f"{path}: nothing to draw: no result holds runs, paced runs or soaks")
    parts, height = _spreads(groups, boards) if groups else ([], 0)
    if soaks:
        over_time = draw("Soaks, all put at the start of the first", soaks, [])
        tall = int(over_time.partition('height="')[2].partition('"')[0])
        parts.append(over_time.replace("<svg ", f'<svg y="{height}" ', 1).rstrip())
        height += tall
    size = f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    background = '<rect width="100%" height="100%" fill="white"/>'
    try:
        path.write_text("\n".join([head, background, *parts, "</svg>\n"]), encoding="utf-8")
    except OSError as error:
        raise TalusError(f"{path}: {error.strerror or error}: give another place") from error


def _groups(boards: Sequence[Board]) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the percentiles of each way, by place of the board."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for place, board in enumerate(boards):
        v = board.values
        pairs = [(each["way"], "", each["readings"]) for each in v["runs"]]
        pairs += [
            (each["way"], f" at {each['rate_hz']:g} Hz", each["latency"]) for each in v["paced"]
        ]
        for way, pace, spread in pairs:
            name = f"{way['bundle']} {way['runtime']} {way['precision']}{pace}"
            found.setdefault(name, {})[place] = spread
    return found


def _spreads(
    groups: dict[str, dict[int, dict[str, Any]]], boards: Sequence[Board]
) -> tuple[list[str], int]:
    every = [s for group in groups.values() for s in group.values()]
    known = [s[key] for s in every for key, _, _ in _MARKS if s[key]]
    low = math.floor(math.log10(max(0.01, min(known, default=1.0))))
    high = max(low + 1, math.ceil(math.log10(max(known, default=10.0))))

    def x(us: float) -> float:
        share = (math.log10(max(us, 10.0**low)) - low) / (high - low)
        return round(LEFT + share * (WIDTH - LEFT - 20), 1)

    rows = sum(map(len, groups.values()))
    bottom = TOP + rows * ROW + len(groups) * HEAD
    title = "Reading to decision, us: p50 (full), p99, p99.9 (smallest)"
    parts = [f'<text x="10" y="18" font-size="14">{title}</text>']
    for place, board in enumerate(boards):
        mark = f'fill="{_colour(place)}"'
        parts.append(f'<text x="{10 + 140 * place}" y="36" {mark}>{escape(board.name[:22])}</text>')
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(f'<line x1="{at}" x2="{at}" y1="{TOP}" y2="{bottom}" stroke="#ccc"/>')
        parts.append(
            f'<text x="{at}" y="{bottom + 14}" text-anchor="middle">{10.0**power:g}</text>'
        )
    y = TOP
    for name, group in groups.items():
        parts.append(f'<text x="10" y="{y + HEAD - 3}">{escape(name[:44])}</text>')
        y += HEAD - ROW
        for place, spread in group.items():
            y += ROW
            parts += _marks(spread, y - 4, _colour(place), x)
        y += ROW
    return parts, bottom + 30


def _marks(spread: dict[str, Any], y: float, colour: str, x: Any) -> list[str]:
    known = [(x(spread[key]), r, full) for key, r, full in _MARKS if spread[key] is not None]
    parts = [f'<line x1="{known[0][0]}" x2="{known[-1][0]}" y1="{y}" y2="{y}" stroke="{colour}"/>']
    for at, r, full in known:
        fill = colour if full else "white"
        parts.append(f'<circle cx="{at}" cy="{y}" r="{r:g}" fill="{fill}" stroke="{colour}"/>')
    return parts


def _soaks(boards: Sequence[Board]) -> list[Panel]:
    wanted: tuple[tuple[str, str, Callable[[dict[str, Any]], float | None]], ...] = (
        ("p50 of an interval", "us", lambda part: part["p50_us"]),
        ("p99 of an interval", "us", lambda part: part["p99_us"]),
        ("temperature", "degC", lambda part: part["conditions"]["temperature_c"]),
        ("frequency", "MHz", lambda part: part["conditions"]["frequency_mhz"]),
    )
    runs = [(f"{b.name} {s['way']['runtime']} {s['way']['precision']}", s)
            for b in boards for s in b.values["soaks"] if s["intervals"]]  # fmt: skip
    if not runs:
        return []
    began_ms = runs[0][1]["began_ms"]
    panels = []
    for title, unit, of in wanted:
        lines = [
            Line(
                name,
                [began_ms + round(1000 * (p["began_s"] + p["took_s"])) for p in soak["intervals"]],
                [_or_nan(of(p)) for p in soak["intervals"]],
            )
            for name, soak in runs
        ]
        if any(math.isfinite(v) for line in lines for v in line.values):
            panels.append(Panel(title, unit, tuple(lines)))
    return panels


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]
