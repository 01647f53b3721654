"""Tables and plots of benchmarks/peers.py, as Markdown and SVG; and what stands in RESULTS.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BAR, _GAP, _LEFT, _WIDTH, _TOP = 18, 6, 230, 560, 40
_OURS, _OTHERS = "#1f5fa8", "#9a9a9a"


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of figures: which way is better."""

    name: str
    text: str
    digits: int
    less_is_better: bool = True


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: names to the left, figures to the right."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def number(value: float | None, digits: int = 1) -> str:
    """Return a figure as it stands in a table; "-" where it was not measured."""
    if value is None:
        return "-"
    return "never" if math.isinf(value) else f"{value:,.{digits}f}"


def measured(
    figures: Mapping[str, float], names: Mapping[str, str], measures: Sequence[Measure]
) -> str:
    """Return the table of figures named ``NAME_MEASURE``; ``names`` maps NAME to its title."""
    rows = [
        [title, *(number(figures.get(f"{name}_{m.name}"), m.digits) for m in measures)]
        for name, title in names.items()
    ]
    return table(["", *(m.text for m in measures)], rows)


def behind(
    figures: Mapping[str, float], ours: str, names: Mapping[str, str], measures: Sequence[Measure]
) -> list[str]:
    """Return a line for each measure in which somebody is better than ``ours``, saying who."""
    lines = []
    for m in measures:
        mine = figures.get(f"{ours}_{m.name}")
        if mine is None:
            continue
        sign = 1 if m.less_is_better else -1
        better = [
            f"{title} {number(theirs, m.digits)}"
            for name, title in names.items()
            if (theirs := figures.get(f"{name}_{m.name}")) is not None
            and sign * theirs < sign * mine
        ]
        if better:
            lines.append(f"- {m.text}: {number(mine, m.digits)}; better: {', '.join(better)}")
    return lines


def bars(title: str, unit: str, rows: Sequence[tuple[str, float, bool]]) -> str:
    """Return horizontal bars as SVG over a logarithmic axis; the last of a row: whether ours."""
    known = [(name, value, ours) for name, value, ours in rows if math.isfinite(value)]
    positive = [value for _, value, _ in known if value > 0]
    low = math.floor(math.log10(min(positive))) if positive else 0
    high = math.ceil(math.log10(max(positive))) if positive else 1
    high = max(high, low + 1)
    scale = (_WIDTH - 90) / (high - low)
    height = _TOP + len(known) * (_BAR + _GAP) + 26
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH}" height="{height}" '
            'font-family="sans-serif" font-size="12">'
        ),
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="22" font-size="14">{escape(title)}</text>',
    ]
    bottom = height - 20
    for power in range(low, high + 1):
        x = _LEFT + (power - low) * scale
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle" fill="#777">'
                     f"{10.0**power:g}</text>")  # fmt: skip
    for i, (name, value, ours) in enumerate(known):
        y = _TOP + i * (_BAR + _GAP)
        length = max(2.0, (math.log10(value) - low) * scale) if value > 0 else 0.0
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" '
                     f'fill="{_OURS if ours else _OTHERS}"/>')  # fmt: skip
        parts.append(f'<text x="{_LEFT + length + 6:.1f}" y="{y + 13}">'
                     f"{value:,.4g} {escape(unit)}</text>")  # fmt: skip
    return "\n".join([*parts, "</svg>", ""])


def page(parts: Mapping[str, Mapping[str, Any]], order: Sequence[str]) -> str:
    """Return RESULTS.md of the parts kept: each with its machine, versions, tables and plots."""
    lines = [
        "# Side by side", "",
        ("Made by `python benchmarks/peers.py --results`, which measures it all anew; with "
        "`--only PART` that part alone. The figures are in `plots/peers.json`."), "",
    ]  # fmt: skip
    for name in order:
        kept = parts.get(name)
        if kept is None:
            continue
        how = "`--quick`: few readings, short outages" if kept["quick"] else "in full"
        lines += [f"## {kept['title']}", "", f"{kept['date']}, {how}. {kept['machine']}.", ""]
        lines += [kept["markdown"], ""]
        lines += [f"![{text}](plots/{file})\n" for file, text in kept["plots"].items()]
    return "\n".join(lines).rstrip() + "\n"
