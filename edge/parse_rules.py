"""[station.decision] and [[station.rule]] of gateway.toml, and the profiles brought along."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

from edge.evidence import KINDS
from edge.rule import HALF, NO_RULES, Condition, Decision, Rule

if TYPE_CHECKING:
    from edge.fields import Mistakes, Table

PROFILES = ("none", "general", "single", "tilt_columns", "markers")
"""Files in edge/profiles, and "none"."""
HIGH_VALID_S, LOW_VALID_S = 172_800.0, 86_400.0
"""How long a rule stands after it last held: 48 h from level 3 on, 24 h below (PHIVOLCS)."""
MAX_RULES = 64
MAX_CONDITIONS = 8
NEVER = 5
_WINDOWED = ("velocity", "moved", "acceleration", "rain_sum")


def parse_decision(t: Table, own: list[Table]) -> Decision:
    """Read how a station decides. A rule of its own replaces the profile's of the same name."""
    profile = t.text("profile", "none", choices=PROFILES)
    latch = t.integer("latch_level", 4, low=1, high=NEVER)
    t.done()
    rules = {rule.name: rule for rule in profile_rules(profile, t.mistakes)}
    if len(own) > MAX_RULES:
        t.wrong("rule", f"{len(own)} rules, at most {MAX_RULES}")
    seen: set[str] = set()
    for table in own[:MAX_RULES]:
        rule = _rule(table)
        if rule is None:
            continue
        if rule.name in seen:
            table.wrong("name", f"{rule.name!r} is there twice: which of the two is meant?")
        seen.add(rule.name)
        if rule.level == 0:  # the profile's is not wanted here
            if rules.pop(rule.name, None) is None:
                table.wrong("level", f"0 takes a rule of the profile off; it has no {rule.name!r}")
            continue
        rules[rule.name] = rule
    found = tuple(rules.values())
    _contradictions(own, found)
    return Decision(found, latch, profile) if found else NO_RULES


def profile_rules(profile: str, mistakes: Mistakes) -> tuple[Rule, ...]:
    """Give the rules of a profile that Talus brings along."""
    import tomllib

    from edge.fields import Table

    if profile not in PROFILES or profile == "none":
        return ()
    text = files("edge").joinpath("profiles", f"{profile}.toml").read_text(encoding="utf-8")
    root = Table(tomllib.loads(text), f"profile {profile}", mistakes)
    found = (_rule(t) for t in root.tables("rule"))
    return tuple(replace(rule, optional=True) for rule in found if rule is not None)


def _rule(t: Table) -> Rule | None:
    name = t.text("name")
    level = t.integer("level", low=0, high=4)
    default_s = HIGH_VALID_S if level >= 3 else LOW_VALID_S
    for_ms = _ms(t, "for_s", 0.0)
    valid_ms = _ms(t, "valid_s", default_s)
    only_keeps = t.flag("only_keeps", default=False)
    tables = t.tables("when", at_least=1 if level else 0)
    if len(tables) > MAX_CONDITIONS:
        t.wrong("when", f"{len(tables)} conditions, at most {MAX_CONDITIONS}")
    when = tuple(c for each in tables[:MAX_CONDITIONS] if (c := _condition(each)) is not None)
    t.done()
    if not name or len(when) != len(tables[:MAX_CONDITIONS]):
        return None
    return Rule(name, level, when, for_ms, valid_ms, only_keeps)


def _condition(t: Table) -> Condition | None:
    kind = t.text("evidence", choices=tuple(KINDS))
    if t.has("above") == t.has("below"):
        t.wrong("above", "say either above or below, and one of them")
        return None
    below = t.has("below")
    threshold = t.number("below" if below else "above")
    keep = t.number("keep", threshold)
    if (keep < threshold) if below else (keep > threshold):
        side = "below" if not below else "above"
        t.wrong(
            "keep", f"{keep:g} must lie {side} {threshold:g}, or the rule would end as it began"
        )
    window_s = t.number("window_s", 0.0, low=0.0, high=60 * 86400.0)
    if kind in _WINDOWED and not window_s:
        t.wrong("window_s", f"needed: over how long {kind} is taken, in seconds")
    channels = t.texts("channels", [])
    if len(set(channels)) != len(channels):
        t.wrong("channels", "a channel is there twice")
    at_least = _at_least(t, len(channels))
    neighbours = t.flag("neighbours", default=False)
    t.done()
    if math.isnan(threshold) or kind not in KINDS:
        return None
    return Condition(
        kind, round(window_s * 1000), threshold, keep, below, channels, at_least, neighbours
    )


def _at_least(t: Table, channels: int) -> int:
    if not t.has("at_least"):
        return 1
    if t.is_text("at_least"):
        t.text("at_least", choices=("half",))
        return HALF
    at_least = t.integer("at_least", low=1, high=1024)
    if channels and at_least > channels:
        t.wrong("at_least", f"{at_least} of {channels} channels cannot be")
    return at_least


def _ms(t: Table, key: str, default: float) -> int:
    return round(1000 * t.number(key, default, low=0.0, high=366 * 86400.0))


def _contradictions(own: list[Table], rules: tuple[Rule, ...]) -> None:
    """Find rules whose thresholds are out of order: the higher level would come first."""
    if not own:
        return
    for lower in rules:
        for higher in rules:
            if lower.level >= higher.level or len(lower.when) != 1 or len(higher.when) != 1:
                continue
            a, b = lower.when[0], higher.when[0]
            if (a.evidence, a.window_ms, a.below, a.channels) != (
                b.evidence, b.window_ms, b.below, b.channels
            ):  # fmt: skip
                continue
            easier = b.threshold > a.threshold if b.below else b.threshold < a.threshold
            if easier and b.at_least <= a.at_least and higher.for_ms <= lower.for_ms:
                own[0].mistakes.add(
                    own[0].path.rpartition("[")[0],
                    f"thresholds out of order: {higher.name!r} (level {higher.level}, "
                    f"{b.threshold:g}) is reached before {lower.name!r} (level {lower.level}, "
                    f"{a.threshold:g})",
                )
