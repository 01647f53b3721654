"""The tables and the picture of benchmarks/skill.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skill_events import HOUR_MS, TEST, TUNING, level_onsets

if TYPE_CHECKING:
    from pathlib import Path

    from skill_events import Record, Skill
    from skill_ttf import Public


@dataclass(frozen=True, slots=True)
class Page:
    """All that was measured."""

    figures: dict[str, float]
    skills: list[Skill]
    records: list[Record]
    ttf_rows: list[tuple[str, ...]]
    public: list[Public]
    replay: dict[str, int]
    costs: dict[str, float]
    stages: dict[str, dict[str, float]]
    struck: list[str]
    quality: list[str]


def markdown(page: Page) -> str:
    """Return the whole page."""
    f = page.figures
    lines = [
        "# Decisions, measured",
        "",
        (
            f"{f['station_years']:.0f} station-years that never fail, {f['failures']:.0f} "
            f"failures, generated, hourly, seeds {TEST}; constants and limits were set on seeds "
            f"{TUNING}."
        ),
        (
            "No series that ends in a real collapse can be had: lead time and time to failure are "
            "of synthetic creep with noise as measured on real sensors."
        ),
        "",
        *_events(page),
        "## Where everything breaks",
        "",
        *page.struck,
        "",
        *_ttf(page),
        *(
            ["## Quality", "", *page.quality, ""]
            if page.quality
            else ["Quality: not measured.", ""]
        ),
        *_rest(page),
    ]
    command = "python benchmarks/skill.py --data ../shared/data"
    return "\n".join([*lines, f"Made by `{command}`.", ""])


def _events(page: Page) -> list[str]:
    lines = [
        "## Events",
        "",
        (
            "False: onsets of red a station-year. Lead: t_f less the beginning of the alarm that "
            "stood until then, of the failures found. A baseline's alarm stands for 48 h, as a "
            "rule's does."
        ),
        "",
        "| alarm | limit | false | recall | lead median h | quartiles h | flips a day |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {s.name} | {s.limit} | {s.false_per_year:.3f} | {s.recall:.3f} | {s.lead(0.5):.1f} "
        f"| {s.lead(0.25):.1f} - {s.lead(0.75):.1f} | {s.flips_per_day:.4f} |"
        for s in page.skills
    ]
    onsets = level_onsets(page.records)
    said = ", ".join(f"level {level} {rate:.2f}" for level, rate in onsets.items())
    lines += ["", f"Onsets a station-year on slopes that never fail: {said}.", ""]
    by: dict[str, list[int]] = {}
    for each in page.records:
        if each.failure_ms is None:
            count = sum(change.previous < 4 <= change.level for change in each.onsets)
            by.setdefault(each.spec.behaviour, []).append(count)
    lines += ["| behaviour | station-years | false level 4 |", "|---|---|---|"]
    lines += [f"| {name} | {len(n)} | {sum(n)} |" for name, n in sorted(by.items())]
    return [*lines, ""]


def _ttf(page: Page) -> list[str]:
    f = page.figures
    lines = [
        "## Time to failure",
        "",
        (
            f"Of all statements after the onset {f['ttf_interval_cover']:.1%} of the 90 % "
            f"intervals hold t_f; {f['ttf_false_per_station_year']:.2f} times a station-year two "
            "sensors begin to state one on a slope that then comes to rest."
        ),
        "",
        "| days before | failures stated | median error h | error of alpha | interval holds |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in page.ttf_rows),
        "",
    ]
    if page.public:
        lines += [
            (
                "Public synthetic creep (Leinauer et al. 2023, pftf_synthetic), hours stated; its "
                "end is its last row, and its t_f may lie after that:"
            ),
            "",
            "| series | days before its end | stated h | interval h |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {each.name} | {days:.1f} | {best:.0f} | {low:.0f} - {high:.0f} |"
            for each in page.public
            for days, best, low, high in each.last_errors_h
            if best == best
        ]
        lines.append("")
    return lines


def _rest(page: Page) -> list[str]:
    ways = ", ".join(f"{way} {n}" for way, n in page.replay.items())
    names = list(dict.fromkeys(name for each in page.stages.values() for name in each))
    lines = [
        "## Replay",
        "",
        f"Changes of level that differ from the uninterrupted run: {ways}.",
        "",
        "## Cost",
        "",
        (
            "CPU time, us a reading, 32 channels, `Pipeline.receive` as a whole and its stages "
            "(timed in a run of their own, which costs more)."
        ),
        "",
        f"| cadence | whole | {' | '.join(names)} |",
        "|---" * (2 + len(names)) + "|",
    ]
    lines += [
        f"| {cadence} | {us:.0f} | "
        + " | ".join(f"{page.stages[cadence].get(name, 0.0):.0f}" for name in names)
        + " |"
        for cadence, us in page.costs.items()
    ]
    return [*lines, ""]


def draw(page: Page, path: Path) -> None:
    """Draw false alarms against lead time, and the lead times of each failure."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for skill in page.skills:
        ours = skill.name.startswith("Talus")
        x = max(skill.false_per_year, 0.01)
        left.scatter(x, skill.lead(0.5), s=20 + 80 * skill.recall, color="C3" if ours else "C0")
        left.annotate(skill.name, (x, skill.lead(0.5)), fontsize=7, xytext=(4, 3),
                      textcoords="offset points")  # fmt: skip
    left.set(xscale="log", yscale="log", xlabel="false red onsets a station-year",
             ylabel="median lead time, h")  # fmt: skip
    left.axhline(24.0, color="0.7", lw=0.8)
    left.axvline(0.1, color="0.7", lw=0.8)
    left.set_title("size: recall", fontsize=9)
    for level, colour in ((3, "C1"), (4, "C3")):
        leads = [
            (each.failure_ms - min(o.time_ms for o in each.onsets if o.level >= level)) / HOUR_MS
            for each in page.records
            if each.failure_ms is not None and any(o.level >= level for o in each.onsets)
        ]
        shares = np.arange(1, len(leads) + 1) / max(1, len(leads))
        right.step(sorted(leads), shares, color=colour, label=f"first level {level}")
    right.set(xscale="log", xlabel="h before failure", ylabel="share of failures")
    right.legend()
    figure.savefig(path, dpi=110)
