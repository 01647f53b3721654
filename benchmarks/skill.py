"""Decisions measured: false alarms, lead time, time to failure, quality, replay, cost.

Everything on generated slopes (`export.generator`), by whole stations as a user has them; what was
set on which seeds is said in `skill_events`. With --data also public series, which are named.

  python benchmarks/skill.py --json skill.json
      writes docs/skill.md and docs/skill.png unless --quick; --data ../shared/data adds real data
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from figures import machine, parse, write

if TYPE_CHECKING:
    from skill_page import Page

DOCS = Path(__file__).resolve().parent.parent / "docs"
YEARS, FAILURES = 200, 80
QUICK_YEARS, QUICK_FAILURES = 2, 4
REPLAYED = 12


def quality(data: Path | None, *, quick: bool) -> tuple[dict[str, float], list[str]]:
    """Return the figures and lines of skill_quality; nothing where it is not there."""
    try:
        import skill_quality as judge
    except ImportError:
        print("quality: not measured, benchmarks/skill_quality.py is not there")
        return {}, []
    from export.generator.stations import failures, station_years

    n = 2 if quick else 40
    tally = judge.fault_figures(station_years(n, seed=87))
    # 51, 53 to 55, 61 to 64, 71, 81 to 86, 153 to 158 and 501 are spent: what was seen was mended.
    pairs = [*station_years(n // 2, seed=159), *failures(max(1, n // 4), seed=159)]
    changes = judge.level_changes_by_faults(pairs)
    rises, drops, missed = len(changes.rises), len(changes.drops), len(changes.missed)
    figures = {
        "fault_precision": tally.precision(),
        "fault_recall": tally.recall(),
        "fault_level_changes": float(rises + drops),
        "fault_levels_missed": float(missed),
        "chance_level_changes": float(len(changes.chance)),
    }
    years = changes.station_years
    lines = [
        judge.table(tally),
        "",
        (
            f"In {years:.1f} station-years with faults {rises} rises and {drops} drops of a level "
            f"that the same slope without faults does not have within 48 h; {missed} rises of it "
            "are missed, since the rows that would tell are not there or wrong. Without any fault, "
            "readings that are moved by a tenth of the sensors' own noise make "
            f"{len(changes.chance)} such rises and drops: limits met, or missed, by a hair."
        ),
        *(f"- {line}" for line in changes.rises + changes.drops + changes.missed),
    ]
    if data is not None:
        found = judge.marirong(data)
        figures |= {name: float(value) for name, value in found.items()}
        said = ", ".join(f"{name} {value:g}" for name, value in found.items())
        lines += ["", f"marirong_markers: {said}.", ""]
        lines += [
            f"- {name}: {share:.0%} of nodes never change, {hit:.0%} of them found frozen"
            for name, (share, hit) in judge.dynaslope(data).items()
        ]
    return figures, lines


def measure(data: Path | None, *, quick: bool) -> Page:
    """Measure everything."""
    import skill_cost
    import skill_events
    import skill_replay
    import skill_struck
    import skill_ttf
    from skill_page import Page

    years, failing = (QUICK_YEARS, QUICK_FAILURES) if quick else (YEARS, FAILURES)
    limits = skill_events.tuned_limits(10 if quick else FAILURES)
    specs = skill_events.specs_of(skill_events.TEST, years, failing)
    found = skill_events.records(specs, limits)
    skills = skill_events.skills(found, limits)
    by_name = {skill.name: skill for skill in skills}
    ours, tangent = by_name["Talus, level 4"], by_name["tangent"]
    ttf_specs = skill_events.specs_of(skill_events.TEST, 4 if quick else years, 8 if quick else 80)
    ttf, ttf_rows = skill_ttf.figures(skill_ttf.stated_all(ttf_specs))
    replayed = 1 if quick else REPLAYED
    again = skill_events.specs_of(skill_events.TEST[:1], 0 if quick else 2, replayed)
    differing = skill_replay.differences_all(again)
    struck, struck_lines = skill_struck.measure(quick=quick)
    costs, stages = skill_cost.costs(quick=quick)
    fault, fault_lines = quality(data, quick=quick)
    figures = {
        "station_years": float(years),
        "failures": float(failing),
        "false_red_per_station_year": ours.false_per_year,
        "tangent_false_red_per_station_year": tangent.false_per_year,
        "failure_recall": ours.recall,
        "lead_time_median_h": ours.lead(0.5),
        "level_changes_per_day": skill_events.changes_per_day(found),
        **ttf,
        **struck,
        **fault,
        "replay_differences": float(sum(differing.values())),
        "us_per_reading_32ch": costs["ten a step"],
        "us_per_reading_32ch_each_a_step": costs["per step"],
    }
    return Page(
        figures=figures,
        skills=skills,
        records=found,
        ttf_rows=ttf_rows,
        public=skill_ttf.public(data) if data is not None else [],
        replay=differing,
        costs=costs,
        stages=stages,
        struck=struck_lines,
        quality=fault_lines,
    )


def main() -> None:
    """Run the benchmark."""
    args = parse(__doc__, data=True, needed=False)
    print(machine())
    from skill_page import draw, markdown

    page = measure(args.data, quick=args.quick)
    text = markdown(page)
    print(text)
    if not args.quick:
        (DOCS / "skill.md").write_text(text, encoding="utf-8")
        draw(page, DOCS / "skill.png")
    write(page.figures, args.json)


if __name__ == "__main__":
    main()
