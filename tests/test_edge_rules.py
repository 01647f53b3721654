"""Rules at work: persistence, validity, hysteresis, k of n, neighbours, and what is not known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.evidence import Series
from edge.rule import HALF, Condition, Rule
from edge.rule_state import RuleEngine, UnknownEvidenceError

HOUR_MS = 3_600_000
T0_MS = 1_700_000_000_000
NAN = float("nan")
NAMES = ("a", "b", "c", "d")
FAST = Condition("velocity", 24 * HOUR_MS, 10.0, 8.0, below=False, channels=(), at_least=1,
                 neighbours=False)  # fmt: skip
WARN = Rule("fast", 3, (FAST,), for_ms=2 * HOUR_MS, valid_ms=6 * HOUR_MS)


class Site:
    """An engine over two series, one step an hour."""

    def __init__(self, *rules: Rule) -> None:
        self.velocity = np.full(4, NAN)
        self.rain = np.full(1, NAN)
        self.missed_rain = np.zeros(1, dtype=bool)
        self.engine = RuleEngine(rules, self.series())
        self.hour = 0
        self.level = 0

    def series(self) -> tuple[Series, ...]:
        return (
            Series("velocity", 24 * HOUR_MS, NAMES, ("mm",) * 4, self.velocity),
            Series("rain_curve", 0, ("caine",), ("1",), self.rain, self.missed_rain),
        )

    def step(self, *velocity: float, rain: float = NAN) -> int:
        self.velocity[:] = velocity if len(velocity) == 4 else velocity * 4
        self.rain[0] = rain
        self.level = self.engine.step(T0_MS + self.hour * HOUR_MS, self.level)
        self.hour += 1
        return self.level


def levels(site: Site, *speeds: float) -> list[int]:
    return [site.step(v) for v in speeds]


def test_a_rule_must_hold_for_its_time_before_it_raises() -> None:
    assert levels(Site(WARN), 1, 11, 11, 11, 1) == [0, 0, 0, 3, 3]


def test_one_step_below_begins_the_time_anew() -> None:
    assert levels(Site(WARN), 11, 11, 9, 11, 11, 11) == [0, 0, 0, 0, 0, 3]


def test_it_stands_so_long_after_it_last_held_and_then_ends() -> None:
    assert levels(Site(WARN), 11, 11, 11, 1, 1, 1, 1, 1, 1) == [0, 0, 3, 3, 3, 3, 3, 3, 0]


def test_holding_again_renews_it() -> None:
    site = Site(WARN)
    levels(site, 11, 11, 11, 1, 1, 1, 11)
    assert levels(site, 1, 1, 1, 1, 1, 1) == [3, 3, 3, 3, 3, 0]


def test_what_is_too_short_to_raise_it_does_not_renew_it_by_staying_beyond_keep() -> None:
    site = Site(WARN)
    levels(site, 11, 11, 11)
    assert levels(site, 1, 8.5, 8.5, 1, 1, 1) == [3, 3, 3, 3, 3, 0]
    site = Site(WARN)
    levels(site, 11, 11, 11)
    assert levels(site, 1, 8.5, 8.5, 8.5, 1, 1, 1, 1, 1, 1) == [3] * 9 + [0]


def test_nor_does_time_that_is_not_known_count_for_it() -> None:
    site = Site(WARN)
    levels(site, 11, 11, 11)
    assert levels(site, 1, 8.5, *[NAN] * 5, 8.5, 1, 1, 1) == [3] * 10 + [0]


def test_while_it_stands_it_is_held_down_to_keep() -> None:
    site = Site(WARN)
    levels(site, 11, 11, 11)
    assert levels(site, *[8.5] * 24) == [3] * 24
    assert levels(site, *[7.9] * 6) == [3, 3, 3, 3, 3, 0]


def test_what_is_not_known_neither_raises_nor_ends_a_rule_however_long() -> None:
    site = Site(WARN)
    levels(site, 11, 11, 11, 1, 1)
    assert levels(site, *[NAN] * 200) == [3] * 200
    assert levels(site, 1, 1, 1, 1) == [3, 3, 3, 0]
    assert levels(site, *[NAN] * 10) == [0] * 10


@pytest.mark.parametrize(
    ("at_least", "neighbours", "speeds", "level"),
    [
        (2, False, (11, 1, 1, 11), 3),
        (2, True, (11, 1, 1, 11), 0),
        (2, True, (1, 11, 11, 1), 3),
        (2, True, (11, NAN, 11, 1), 3),  # a dead one between is stepped over
        (3, False, (11, 11, 1, 1), 0),
        (3, False, (11, NAN, NAN, NAN), 3),  # never more than are live
        (HALF, False, (11, 11, 1, 1), 3),
        (HALF, False, (11, 1, 1, 1), 0),
        (HALF, False, (11, 1, 1, NAN), 0),
        (HALF, False, (11, 1, NAN, NAN), 3),
    ],
)
def test_so_many_of_the_live_channels(
    at_least: int, neighbours: bool, speeds: tuple[float, ...], level: int
) -> None:
    condition = replace(FAST, at_least=at_least, neighbours=neighbours)
    assert Site(replace(WARN, when=(condition,), for_ms=0)).step(*speeds) == level


def test_a_channel_that_raised_a_level_and_fell_silent_keeps_it_though_others_are_calm() -> None:
    site = Site(replace(WARN, for_ms=0))
    assert site.step(11, 1, 1, 1) == 3
    assert [site.step(NAN, 1, 1, 1) for _ in range(100)] == [3] * 100
    assert [site.step(1, 1, 1, 1) for _ in range(6)] == [3, 3, 3, 3, 3, 0]


def test_one_that_fell_silent_is_remembered_while_others_keep_the_level() -> None:
    site = Site(replace(WARN, for_ms=0))
    assert site.step(11, 11, 1, 1) == 3
    assert [site.step(NAN, 11, 1, 1) for _ in range(3)] == [3] * 3
    assert [site.step(NAN, 1, 1, 1) for _ in range(100)] == [3] * 100
    assert [site.step(1, 1, 1, 1) for _ in range(6)] == [3, 3, 3, 3, 3, 0]
    # It is of that alarm alone: the next has nothing to do with one that is dead.
    assert [site.step(NAN, 11, 1, 1), site.step(NAN, 1, 1, 1)] == [3, 3]
    assert [site.step(NAN, 1, 1, 1) for _ in range(6)][-1] == 0


def test_rain_that_was_not_heard_is_no_want_of_rain() -> None:
    dry = Condition("rain_curve", 0, 0.2, 0.4, below=True, channels=(), at_least=1,
                    neighbours=False)  # fmt: skip
    site = Site(Rule("without rain", 4, (FAST, dry), valid_ms=HOUR_MS))
    site.missed_rain[0] = True
    assert [site.step(11, rain=0.1), site.step(11, rain=0.3)] == [0, 0]
    site.missed_rain[0] = False
    assert [site.step(11, rain=r) for r in (0.1, 0.3)] == [4, 4]
    site.missed_rain[0] = True
    assert [site.step(11, rain=r) for r in (0.3, 0.3, 0.3, 0.5)] == [4, 4, 4, 0]


def test_all_conditions_must_hold_and_rain_may_only_keep() -> None:
    wet = Condition("rain_curve", 0, 0.75, 0.75, below=False, channels=(), at_least=1,
                    neighbours=False)  # fmt: skip
    rain = Rule("rain goes on", 3, (wet,), 0, 0, only_keeps=True)
    site = Site(replace(WARN, for_ms=0, valid_ms=0), rain)
    assert site.step(1, rain=2.0) == 0
    assert site.step(11, rain=2.0) == 3
    assert [site.step(1, rain=r) for r in (0.8, 0.76, 0.7)] == [3, 3, 0]
    site = Site(replace(WARN, for_ms=0, valid_ms=0), rain)
    site.step(11, rain=0.8)
    site.missed_rain[0] = True  # it may have rained more than that
    assert [site.step(1, rain=0.1) for _ in range(20)] == [3] * 20
    site.missed_rain[0] = False
    assert site.step(1, rain=0.1) == 0
    both = Site(Rule("both", 2, (FAST, wet)))
    assert [both.step(11, rain=0.5), both.step(1, rain=1), both.step(11, rain=1)] == [0, 0, 2]


def test_a_break_of_the_time_line_ends_nothing_and_proves_nothing() -> None:
    site = Site(WARN)
    levels(site, 11, 11)
    site.hour += 500
    site.engine.restart(T0_MS + site.hour * HOUR_MS)
    assert levels(site, 11, 11, 11, 1, 1) == [0, 0, 3, 3, 3]
    site.hour += 500
    site.engine.restart(T0_MS + site.hour * HOUR_MS)
    assert levels(site, 1, 1, 1, 1, 1) == [3, 3, 3, 3, 0]


def test_a_rule_that_stands_says_what_it_sees() -> None:
    site = Site(replace(WARN, when=(replace(FAST, at_least=2),), for_ms=0))
    site.step(12, 15, 1, NAN)
    (found,) = site.engine.standing()
    assert (found.rule, found.level, found.holds) == ("fast", 3, True)
    assert found.valid_until_ms == T0_MS + 6 * HOUR_MS
    (seen,) = found.findings
    assert [(hit.channel, hit.value, hit.unit) for hit in seen.hits] == [
        ("a", 12.0, "mm"), ("b", 15.0, "mm"),
    ]  # fmt: skip
    assert found.text() == (
        "rule 'fast': velocity over 24 h above 10 mm: a 12, b 15 (2 of 3 live, 2 needed)"
    )


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (replace(FAST, channels=("a", "z")), "rule 'fast': no velocity of 'z'; there is: a, b, c"),
        (replace(FAST, window_ms=HOUR_MS), "velocity has no window_s = 3600; it has: 86400"),
        (replace(FAST, evidence="wetness"), "this station has no 'wetness'; it has: rain_curve, v"),
    ],
)
def test_a_rule_that_looks_at_what_is_not_there_is_named(condition: Condition, said: str) -> None:
    with pytest.raises(UnknownEvidenceError, match=said):
        Site(replace(WARN, when=(condition,)))


speeds = st.lists(st.sampled_from([1.0, 7.9, 8.5, 11.0, 50.0, NAN]), max_size=60)


@given(speeds, st.integers(0, 59))
def test_a_snapshot_continues_as_if_nothing_had_been(given_: list[float], cut: int) -> None:
    rules = (WARN, replace(WARN, name="faster", level=4, for_ms=0, valid_ms=3 * HOUR_MS))
    whole, first = Site(*rules), Site(*rules)
    expected = levels(whole, *given_)
    found = levels(first, *given_[:cut])
    second = Site(*rules)
    second.engine.restore(json.loads(json.dumps(first.engine.snapshot())))
    second.hour, second.level = first.hour, first.level
    assert found + levels(second, *given_[cut:]) == expected


@given(speeds, st.integers(0, 60), st.integers(1, 200))
def test_missing_data_lowers_no_level(given_: list[float], at: int, missing: int) -> None:
    site = Site(WARN)
    levels(site, *given_[:at])
    before = site.level
    assert levels(site, *[NAN] * missing) == [before] * missing


def test_what_is_not_known_does_not_count_towards_the_time_that_a_rule_must_hold() -> None:
    assert levels(Site(WARN), 11, NAN, NAN, NAN, 11, 11) == [0, 0, 0, 0, 0, 3]
