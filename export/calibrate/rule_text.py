"""Set points as [[station.rule]] tables, with what they are based on and how they would have done.

The words promise no more than the history shows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from export.calibrate.digits import line, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.rule import Rule
    from export.calibrate.calibration import Calibration
    from export.calibrate.groups import Group
    from export.calibrate.set_points import SetPoint

LEVELS = (1, 2, 3, 4)


def rule_lines(found: Calibration) -> Iterator[str]:
    """Give the lines of all rules, and of how they did in the history."""
    years = found.years
    yield (
        "# Speeds from which to alarm. Budget: "
        + ", ".join(f"{b:g}" for b in found.budgets)
        + " onsets a station-year of levels 1 to 4."
    )
    yield "# The history counts as one without failure: each onset in it is a false alarm. If it"
    yield "# holds a real one, end it before that (--until)."
    yield f"# Replayed with profile {found.profile!r} over {years:.2f} station-years, rises to a"
    yield "# level or above it, level 1 / 2 / 3 / 4:"
    yield f"#   the profile and your own rules     {_counts(found.profile_alone.onsets)}"
    yield f"#   with the rules below               {_counts(found.together.onsets)}"
    if years < 1.0:
        yield f"# {years:.2f} years cannot show that less than {3.0 / years:.2g} a year is kept."
    for group in found.groups:
        for point, rule in zip(group.points, group.rules, strict=True):
            yield ""
            yield from _rule(found, group, point, rule)


def _counts(onsets: dict[int, int]) -> str:
    return " / ".join(str(onsets.get(level, 0)) for level in LEVELS)


def _rule(found: Calibration, group: Group, point: SetPoint, rule: Rule) -> Iterator[str]:
    condition = rule.when[0]
    unit = group.unit
    yield "[[station.rule]]"
    yield f"name = {json.dumps(rule.name)}"
    yield f"level = {rule.level}"
    for text in basis(point, unit, found.together.by_rule[rule.name]):
        yield f"# {text}"
    yield line("for_s", rule.for_ms / 1000.0, "it must last")
    yield line("valid_s", rule.valid_ms / 1000.0, "it stands after it last held")
    names = json.dumps(list(condition.channels))
    yield (
        f'when = [{{ evidence = "velocity", window_s = {condition.window_ms / 1000:g}, '
        f"above = {number(condition.threshold)}, keep = {number(condition.keep)}, "
        f"at_least = {condition.at_least}, channels = {names} }}]"
    )


def basis(point: SetPoint, unit: str, replayed: int) -> Iterator[str]:
    """Say what a set point is based on, and what the history says of its budget."""
    budget, years = point.budget, point.years
    seen = f"{point.peaks} separate peaks in {years:.2f} years, fastest {point.fastest:.3g} {unit}"
    if point.basis == "history":
        yield f"{seen}; the least speed that keeps {budget:.3g} a year, upper quartile of months"
    elif point.basis == "tail":
        yield f"{seen}; their tail carried on to {budget:.3g} a year, upper quartile of months"
    elif point.basis == "fastest":
        yield f"{seen}: too few for a tail; a quarter above the fastest"
    else:
        yield f"{seen}; raised to what noise and creep do not reach, or 1.5 x the level below"
    if point.low == point.low:
        yield f"90 % interval {point.low:.3g} .. {point.high:.3g} {unit} (months drawn anew)"
    yield f"replayed: {replayed} onsets, {replayed / years:.2g} a year"
    bound = f"{point.bound:.2g} a year"
    if point.supported:
        yield f"with 95 % confidence the rate is below {bound}: within the budget of {budget:.3g}"
    elif point.onsets:
        kept = "kept" if point.onsets <= budget * years else "missed"
        yield f"the budget of {budget:.3g} is {kept} in it, not shown: 95 % confidence is {bound}"
    else:
        yield f"{years:.2f} years without one show {bound} at most (rule of three, 95 %):"
        yield f"  the budget of {budget:.3g} is aimed at; to show it takes {3.0 / budget:.3g} years"
