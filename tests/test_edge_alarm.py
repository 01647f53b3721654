"""Set points, deadband, delays, silence: when the level of a station changes, and when not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.alarm import LEVELS, Alarm, AlarmChange, describe
from edge.config import AlarmConfig
from edge.score import Score

T0_MS = 1_700_000_000_000
STEP_MS = 60_000
POINTS = (1.0, 2.0, 4.0, 8.0)
BAND = 0.2
CEILING = (("velocity", 4), ("forecast", 4), ("residual", 2), ("autoencoder", 1), ("pca", 0))
NOW = AlarmConfig(POINTS, BAND, on_delay_ms=0, off_delay_ms=0, ceiling=CEILING)
SLOW = replace(NOW, on_delay_ms=2 * STEP_MS, off_delay_ms=3 * STEP_MS)

Scores = tuple[Score, ...]


def score(ratio: float, kind: str = "velocity", channel: str = "toe", armed: bool = True) -> Score:
    return Score(kind, channel, ratio * 5.0, 5.0, "mm", armed)


def alarm(rules: AlarmConfig = NOW) -> Alarm:
    return Alarm("slope", rules, "bundle v1")


def run(of: Alarm, *steps: float | Scores | None, start: int = 0) -> list[AlarmChange | None]:
    """Feed one step a minute: a ratio, several scores, or None for no score."""
    found = []
    for n, step in enumerate(steps, start=start):
        scores = () if step is None else step if isinstance(step, tuple) else (score(step),)
        time_ms = T0_MS + n * STEP_MS
        found.append(of.update(time_ms, time_ms + 500, scores))
    return found


def levels(of: Alarm, *steps: float | Scores | None, start: int = 0) -> list[int]:
    found = []
    for n, step in enumerate(steps, start=start):
        run(of, step, start=n)
        found.append(of.level)
    return found


def test_the_levels_have_names_from_normal_to_alarm() -> None:
    assert LEVELS == ("normal", "attention", "caution", "warning", "alarm")


@pytest.mark.parametrize(
    ("ratio", "level"),
    [(0.0, 0), (0.999, 0), (1.0, 1), (1.999, 1), (2.0, 2), (4.0, 3), (7.99, 3), (8.0, 4), (1e9, 4)],
)
def test_each_level_begins_at_its_set_point(ratio: float, level: int) -> None:
    assert levels(alarm(), ratio) == [level]


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_each_level_is_left_only_below_the_deadband_of_its_set_point(level: int) -> None:
    point = POINTS[level - 1]
    edge = point * (1 - BAND)
    assert levels(alarm(), point, edge, edge * 0.999) == [level, level, level - 1]


def test_the_reason_names_the_score_that_led_to_the_level_not_one_capped_below_it() -> None:
    (change,) = run(alarm(), (score(90.0, "residual"), score(4.0)))
    assert change is not None
    assert change.reason.startswith("level rose to 3 (warning): velocity of toe 20 mm")


def test_a_change_carries_its_evidence() -> None:
    evidence = (score(2.5), score(0.1, "residual"))
    (change,) = run(alarm(), evidence)
    assert change == AlarmChange(
        id=f"slope-{T0_MS}-1",
        station="slope",
        time_ms=T0_MS,
        received_ms=T0_MS + 500,
        level=2,
        previous_level=0,
        no_data=False,
        silent=(),
        reason="level rose to 2 (caution): velocity of toe 12.5 mm, 2.50 x its threshold 5 mm",
        evidence=evidence,
        bundle="bundle v1",
    )


def test_a_dimensionless_score_is_described_without_a_unit() -> None:
    text = describe(Score("pca", "toe", 0.5, 0.25, "1", armed=True))
    assert text == "pca of toe 0.5, 2.00 x its threshold 0.25"


def test_only_changes_are_told_and_their_ids_differ() -> None:
    found = [c for c in run(alarm(), 0.5, 1.0, 1.1, 8.0, 0.1, 0.1) if c is not None]
    assert [(c.previous_level, c.level) for c in found] == [(0, 1), (1, 4), (4, 0)]
    assert len({c.id for c in found}) == 3
    assert [c.reason.split(" (")[0] for c in found] == [
        "level rose to 1", "level rose to 4", "level fell to 0",
    ]  # fmt: skip


def test_a_level_rises_only_after_the_on_delay_above_its_set_point() -> None:
    assert levels(alarm(SLOW), 1.0, 1.0, 1.0) == [0, 0, 1]


def test_a_dip_below_the_set_point_starts_the_on_delay_anew() -> None:
    assert levels(alarm(SLOW), 1.0, 1.0, 0.9, 1.0, 1.0, 1.0) == [0, 0, 0, 0, 0, 1]


def test_each_level_has_an_on_delay_of_its_own() -> None:
    assert levels(alarm(SLOW), 1.0, 9.0, 9.0, 9.0) == [0, 0, 1, 4]


def test_a_level_falls_only_after_the_off_delay_below_its_deadband() -> None:
    one = alarm(SLOW)
    assert levels(one, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1) == [0, 0, 1, 1, 1, 1, 0]


def test_a_score_inside_the_deadband_starts_the_off_delay_anew() -> None:
    one = alarm(SLOW)
    levels(one, 1.0, 1.0, 1.0)
    assert levels(one, 0.1, 0.1, 0.8, 0.1, 0.1, 0.1, 0.1, start=3) == [1, 1, 1, 1, 1, 1, 0]


def test_a_level_falls_as_far_as_the_off_delays_allow() -> None:
    one = alarm(SLOW)
    levels(one, 8.0, 8.0, 8.0)
    assert levels(one, 3.0, 3.0, 0.1, 0.1, 0.1, 0.1, start=3) == [4, 4, 4, 2, 2, 0]


@pytest.mark.parametrize(("kind", "top"), CEILING)
def test_no_kind_of_score_raises_a_level_above_its_ceiling(kind: str, top: int) -> None:
    assert levels(alarm(), (score(1e9, kind),)) == [top]


def test_a_kind_without_a_ceiling_raises_nothing() -> None:
    assert levels(alarm(), (score(1e9, "unheard_of"),)) == [0]


def test_the_highest_level_that_any_score_may_raise_counts() -> None:
    assert levels(alarm(), (score(1e9, "residual"), score(4.0), score(9.0, "pca"))) == [3]


def test_no_kind_of_score_holds_a_level_above_its_ceiling() -> None:
    high = score(1e9, "residual")
    assert levels(alarm(), (score(8.0), high), (score(0.1), high)) == [4, 2]


def test_a_score_in_shadow_neither_raises_nor_holds_a_level() -> None:
    shadow = score(100.0, "forecast", armed=False)
    assert levels(alarm(), (shadow,), (shadow, score(1.0)), (shadow, score(0.1))) == [0, 1, 0]


def test_a_missing_score_never_lowers_a_level() -> None:
    one = alarm(SLOW)
    levels(one, 8.0, 8.0, 8.0)
    assert levels(one, *[None] * 50, start=3) == [4] * 50
    assert levels(one, 0.1, 0.1, 0.1, 0.1, start=53) == [4, 4, 4, 0]


@pytest.mark.parametrize("missing", ["other kind", "other channel"])
def test_a_level_falls_only_while_every_score_ever_seen_is_there(missing: str) -> None:
    other = score(0.1, "residual") if missing == "other kind" else score(0.1, channel="head")
    one = alarm()
    levels(one, (score(4.0), other))
    assert levels(one, 0.1, (other,), (score(0.1), other), start=1) == [3, 3, 0]


def test_a_score_seen_once_in_place_of_another_is_missed_from_then_on() -> None:
    toe, head = score(0.1), score(0.1, channel="head")
    assert levels(alarm(), (toe,), (head,), (score(1.0),), (toe,), (toe, head)) == [
        0, 0, 1, 1, 0,
    ]  # fmt: skip


def test_a_detector_may_blame_another_channel_and_is_still_the_same_score() -> None:
    one = alarm()
    blamed = [(score(4.0), score(0.1, "autoencoder", channel)) for channel in ("toe", "head")]
    low = (score(0.1), score(0.1, "autoencoder", "middle"))
    assert levels(one, *blamed, low) == [3, 3, 0]


def test_silence_lowers_no_level_and_the_off_delay_follows_the_readings_alone() -> None:
    one = alarm(SLOW)
    levels(one, 4.0, 4.0, 4.0, 0.1, 0.1, 0.1)
    change = one.silence(T0_MS, ("tilt",), no_data=False, why="nothing for 60 s from tilt")
    assert change is not None
    assert (change.level, change.previous_level, change.silent) == (3, 3, ("tilt",))
    assert change.reason == "silent: nothing for 60 s from tilt"
    assert levels(one, 0.1, start=6) == [0]


def test_no_data_is_entered_and_left_with_the_level_held_beside_it() -> None:
    one = alarm()
    levels(one, 2.0)
    entered = one.silence(T0_MS + 9, ("score velocity",), no_data=True, why="nothing")
    assert entered is not None
    assert (entered.no_data, entered.level, entered.received_ms) == (True, 2, T0_MS + 9)
    assert entered.reason == "NO-DATA: nothing; level 2 is held"
    left = one.silence(T0_MS + 99, (), no_data=False, why="")
    assert left is not None
    assert (left.no_data, left.level, left.silent, left.reason) == (False, 2, (), "watching")
    assert left.id != entered.id


def test_the_return_of_a_channel_is_told_and_an_unchanged_silence_is_not() -> None:
    one = alarm()
    assert one.silence(T0_MS, (), no_data=False, why="") is None
    assert one.silence(T0_MS, ("tilt",), no_data=False, why="x") is not None
    assert one.silence(T0_MS, ("tilt",), no_data=False, why="y") is None
    back = one.silence(T0_MS, (), no_data=False, why="")
    assert back is not None
    assert back.reason == "all channels and scores report again"


def test_clocks_restarted_make_both_delays_begin_anew() -> None:
    one = alarm(SLOW)
    levels(one, 1.0, 1.0)
    one.restart_clocks()
    assert levels(one, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, start=2) == [0, 0, 1, 1, 1, 1]
    one.restart_clocks()
    assert levels(one, 0.1, 0.1, 0.1, 0.1, start=8) == [1, 1, 1, 0]


def test_a_snapshot_is_not_changed_by_what_follows() -> None:
    one = alarm(SLOW)
    run(one, 8.0)
    kept = one.snapshot()
    as_written = json.dumps(kept)
    run(one, 0.1, start=1)
    assert json.dumps(kept) == as_written


RATIO = st.sampled_from([0.0, 0.5, 0.79, 0.8, 1.0, 1.6, 1.59, 2.0, 3.2, 4.0, 6.4, 7.9, 8.0, 50.0])
SCORE = st.builds(
    score, RATIO, st.sampled_from(["velocity", "residual", "autoencoder", "pca"]),
    st.sampled_from(["toe", "head"]), st.booleans(),
)  # fmt: skip
STEPS = st.lists(st.one_of(RATIO, st.none(), st.lists(SCORE, max_size=4).map(tuple)), max_size=50)


@given(st.lists(st.none() | RATIO, max_size=60))
def test_a_level_rises_only_after_the_on_delay_and_falls_only_after_the_off_delay(
    ratios: list[float | None],
) -> None:
    one, before = alarm(SLOW), 0
    on, off = SLOW.on_delay_ms // STEP_MS, SLOW.off_delay_ms // STEP_MS
    for n, level in enumerate(levels(one, *ratios), start=1):
        if level > before:
            held = ratios[max(0, n - 1 - on) : n]
            assert len(held) == on + 1
            assert all(r is not None and r >= POINTS[level - 1] for r in held)
        if level < before:
            low = ratios[max(0, n - 1 - off) : n]
            assert len(low) == off + 1
            assert all(r is not None and r < POINTS[level] * (1 - BAND) for r in low)
        before = level


@given(STEPS)
def test_a_longer_on_delay_never_alarms_sooner(steps: list[float | Scores | None]) -> None:
    quick, slow = alarm(replace(SLOW, on_delay_ms=0)), alarm(SLOW)
    assert all(a >= b for a, b in zip(levels(quick, *steps), levels(slow, *steps), strict=True))


@given(STEPS, st.integers(0, 50), st.booleans())
def test_an_alarm_restored_from_a_snapshot_continues_as_if_nothing_had_been(
    steps: list[float | Scores | None], cut: int, silent: bool
) -> None:
    one, two = alarm(SLOW), alarm(SLOW)
    run(one, *steps[:cut])
    if silent:
        one.silence(T0_MS, ("tilt",), no_data=True, why="x")
    kept = one.snapshot()
    after = run(one, *steps[cut:], start=cut)
    two.restore(json.loads(json.dumps(kept)))
    assert (two.silent, two.no_data) == (one.silent, one.no_data)
    assert run(two, *steps[cut:], start=cut) == after
    assert two.snapshot() == one.snapshot()
