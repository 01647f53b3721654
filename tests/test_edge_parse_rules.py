"""[station.decision] and [[station.rule]]: what they say, every mistake named, and the profiles."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from edge.config import load_config
from edge.errors import ConfigError
from edge.fields import Mistakes, Table
from edge.parse_rules import HIGH_VALID_S, LOW_VALID_S, PROFILES, parse_decision, profile_rules
from edge.rule import HALF, NO_RULES
from edge.station import Station

if TYPE_CHECKING:
    from pathlib import Path

    from edge.config import Config
    from edge.rule import Decision

NAMED = ("general", "single", "tilt_columns", "markers")
FAST = '{ evidence = "velocity", window_s = 86400, above = 10.0 }'


def parse(text: str) -> Decision:
    mistakes = Mistakes("gateway.toml")
    root = Table(tomllib.loads(text), "station[0]", mistakes)
    decision = parse_decision(root.table("decision"), root.tables("rule"))
    mistakes.raise_if_any()
    return decision


def rule(*conditions: str, head: str = 'name = "fast"\nlevel = 3') -> str:
    return f"[[rule]]\n{head}\nwhen = [{', '.join(conditions)}]\n"


def test_nothing_said_is_no_rules() -> None:
    assert parse("") == NO_RULES


def test_a_rule_says_what_it_looks_at_and_how_long_it_stands() -> None:
    (high,) = parse(rule(FAST)).rules
    assert (high.name, high.level, high.for_ms, high.only_keeps) == ("fast", 3, 0, False)
    assert high.valid_ms == 1000 * HIGH_VALID_S
    (low,) = parse(rule(FAST, head='name = "slow"\nlevel = 2\nfor_s = 60')).rules
    assert (low.for_ms, low.valid_ms) == (60_000, 1000 * LOW_VALID_S)
    (condition,) = high.when
    assert (condition.evidence, condition.window_ms) == ("velocity", 86_400_000)
    assert (condition.threshold, condition.keep, condition.below) == (10.0, 10.0, False)
    assert (condition.channels, condition.at_least, condition.neighbours) == ((), 1, False)


def test_half_of_the_channels_is_a_number_of_its_own() -> None:
    text = rule('{ evidence = "stage", above = 2.0, at_least = "half", neighbours = true }')
    condition = parse(text).rules[0].when[0]
    assert (condition.at_least, condition.neighbours) == (HALF, True)


def test_below_is_held_up_to_a_higher_keep() -> None:
    text = rule('{ evidence = "time_to_failure", below = 24.0, keep = 72.0 }')
    condition = parse(text).rules[0].when[0]
    assert (condition.below, condition.threshold, condition.keep) == (True, 24.0, 72.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (rule(FAST) + rule(FAST), "'fast' is there twice"),
        (rule('{ evidence = "velocity", above = 1.0 }'), "window_s: needed"),
        (rule('{ evidence = "moved", above = 1.0 }'), "window_s: needed"),
        (rule('{ evidence = "speed", above = 1.0 }'), "evidence: 'speed'"),
        (rule('{ evidence = "stage" }'), "either above or below"),
        (rule('{ evidence = "stage", above = 1, below = 2 }'), "either above or below"),
        (rule('{ evidence = "stage", above = 2.0, keep = 3.0 }'), "keep: 3 must lie below 2"),
        (rule('{ evidence = "stage", below = 2.0, keep = 1.0 }'), "keep: 1 must lie above 2"),
        (
            rule('{ evidence = "stage", above = 2, channels = ["a", "b"], at_least = 3 }'),
            "at_least: 3 of 2 channels cannot be",
        ),
        (rule('{ evidence = "stage", above = 2, channels = ["a", "a"] }'), "a channel is there tw"),
        (rule('{ evidence = "stage", above = 2, at_least = "most" }'), "at_least: 'most'"),
        (rule('{ evidence = "stage", above = 2, abvoe = 1 }'), "abvoe"),
        (rule(FAST, head='name = "fast"\nlevel = 5'), "level"),
        (rule(FAST, head="level = 3"), "name"),
        (rule(FAST, head='name = "fast"\nlevel = 3\nfor_s = -1'), "for_s"),
        ('[[rule]]\nname = "fast"\nlevel = 3', "when"),
        ('[[rule]]\nname = "gone"\nlevel = 0', "takes a rule of the profile off; it has no 'gone'"),
        ('[decision]\nprofile = "alpine"', "profile: 'alpine'"),
        ("[decision]\nlatch_level = 0", "latch_level"),
        (rule(*[FAST] * 9), "9 conditions, at most 8"),
        (
            rule(FAST, head='name = "high"\nlevel = 4')
            + rule(FAST.replace("10.0", "20.0"), head='name = "low"\nlevel = 2'),
            "thresholds out of order: 'high' (level 4, 10) is reached before 'low' (level 2, 20)",
        ),
    ],
)  # fmt: skip
def test_every_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert said in str(caught.value)


def test_too_many_rules_are_refused() -> None:
    with pytest.raises(ConfigError, match="65 rules, at most 64"):
        parse("".join(rule(FAST, head=f'name = "r{i}"\nlevel = 3') for i in range(65)))


@pytest.mark.parametrize("profile", NAMED)
def test_the_profiles_brought_along_parse(profile: str) -> None:
    mistakes = Mistakes(profile)
    rules = profile_rules(profile, mistakes)
    mistakes.raise_if_any()
    assert len({each.name for each in rules}) == len(rules) > 0
    assert all(each.optional for each in rules)
    assert any(each.level >= 3 and not each.only_keeps for each in rules)


def test_every_profile_that_can_be_named_is_there() -> None:
    assert set(PROFILES) == {"none", *NAMED}


def test_a_rule_of_ones_own_replaces_that_of_the_profile_and_zero_takes_one_off() -> None:
    profile = '[decision]\nprofile = "general"\n'
    usual = {each.name: each for each in parse(profile).rules}
    own = rule(FAST, head='name = "accelerates"\nlevel = 3')
    changed = {each.name: each for each in parse(profile + own).rules}
    assert set(changed) == set(usual)
    assert changed["accelerates"] != usual["accelerates"]
    off = parse(profile + '[[rule]]\nname = "accelerates"\nlevel = 0')
    assert {each.name for each in off.rules} == set(usual) - {"accelerates"}


HEAD = """
[gateway]
name = "g"
[mqtt]
host = "h"
[[port]]
name = "node"
device = "/dev/null"
protocol = "tw1"
[[station]]
name = "s"
step_s = 3600
"""


def config(folder: Path, decision: str, *channels: tuple[str, str, str]) -> Config:
    text = HEAD + decision
    for name, quantity, unit in channels:
        text += f'\n[[station.channel]]\nname = "{name}"\nport = "node"\n'
        text += f'quantity = "{quantity}"\nunit = "{unit}"\n'
    path = folder / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def station(made: Config) -> Station:
    from edge.calibration import Board

    return Station(made.stations[0], "no bundle", Board(1000), frozenset())


CRACKS = (("a", "crack_width", "mm"), ("b", "crack_width", "mm"))
TILTS = tuple((f"t{i}", "tilt", "mrad") for i in range(4))
RAIN = ("rain", "rainfall", "mm")


@pytest.mark.parametrize(
    ("profile", "channels"),
    [
        ("general", (*CRACKS, RAIN)),
        ("single", (CRACKS[0], RAIN)),
        ("tilt_columns", (*TILTS, RAIN)),
        ("markers", (*CRACKS, RAIN)),
    ],
)
def test_a_station_of_its_kind_has_all_that_a_profile_looks_at(
    tmp_path: Path, profile: str, channels: tuple[tuple[str, str, str], ...]
) -> None:
    made = station(config(tmp_path, f'[station.decision]\nprofile = "{profile}"\n', *channels))
    assert made.rules is not None
    assert made.rules.decider.engine.left_out == {}


def test_without_a_gauge_the_rules_on_rain_are_left_out_and_named(tmp_path: Path) -> None:
    made = station(config(tmp_path, '[station.decision]\nprofile = "general"\n', *CRACKS))
    assert made.rules is not None
    left_out = made.rules.decider.engine.left_out
    assert set(left_out) == {
        "failure in sight without rain",
        "failure in sight of two sensors without rain",
        "rain goes on",
    }
    assert "has no 'rain_sum'" in left_out["failure in sight without rain"]


def test_a_profile_of_which_nothing_is_left_is_an_error(tmp_path: Path) -> None:
    made = config(tmp_path, '[station.decision]\nprofile = "general"\n', ("v", "other", "V"))
    with pytest.raises(ConfigError, match="this station has no"):
        station(made)


def test_a_rule_of_ones_own_that_names_an_absent_channel_is_an_error(tmp_path: Path) -> None:
    own = '[[station.rule]]\nname = "fast"\nlevel = 3\n'
    own += 'when = [{ evidence = "stage", above = 2.0, channels = ["a", "z"] }]\n'
    made = config(tmp_path, own, *CRACKS)
    with pytest.raises(ConfigError, match="rule 'fast': no stage of 'z'; there is: a, b"):
        station(made)
