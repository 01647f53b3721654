"""Which times of readings are believed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.quality import ACCEPTED, CONFIRM, EARLIEST_MS, LATEST_MS, TimeGate, TimeRules, Verdict

T0_MS = 1_700_000_000_000
MINUTE_MS = 60_000
DAY_MS = 86_400_000
RULES = TimeRules(max_skew_ms=0, max_jump_ms=DAY_MS, lateness_ms=10 * MINUTE_MS)
TIMES = st.one_of(
    st.integers(T0_MS, T0_MS + 3 * DAY_MS),
    st.integers(0, 2**42),
    st.integers(0, 60).map(lambda n: T0_MS + n * MINUTE_MS),
    st.integers(0, 60).map(lambda n: T0_MS + 900 * DAY_MS + n * MINUTE_MS),
)


def gate(rules: TimeRules = RULES) -> TimeGate:
    return TimeGate(rules)


def verdicts(of: TimeGate, *times_ms: int) -> list[str]:
    found = (of.check(time_ms, time_ms) for time_ms in times_ms)
    return ["rebased" if v.rebased else v.reason or "accepted" for v in found]


@pytest.mark.parametrize("time_ms", [0, EARLIEST_MS - 1, LATEST_MS, 2**62, -1])
def test_a_clock_in_1970_or_2100_is_refused(time_ms: int) -> None:
    assert gate().check(time_ms, T0_MS) == Verdict("time_range")


@pytest.mark.parametrize("time_ms", [EARLIEST_MS, LATEST_MS - 1])
def test_the_first_and_last_believable_times_are_accepted(time_ms: int) -> None:
    assert gate().check(time_ms, T0_MS) == ACCEPTED


def test_times_that_rise_stand_still_or_are_a_little_late_are_accepted() -> None:
    late = T0_MS + 20 * MINUTE_MS - RULES.lateness_ms
    times = (T0_MS, T0_MS, T0_MS + 20 * MINUTE_MS, late)
    assert verdicts(gate(), *times) == ["accepted"] * 4


def test_a_time_later_than_the_lateness_allows_is_backwards() -> None:
    assert verdicts(gate(), T0_MS, T0_MS - RULES.lateness_ms - 1) == ["accepted", "time_backwards"]


def test_late_readings_do_not_push_the_gate_back_step_by_step() -> None:
    back = [T0_MS - n * 6 * MINUTE_MS for n in range(3)]
    assert verdicts(gate(), *back) == ["accepted", "accepted", "time_backwards"]


def test_a_jump_forward_is_accepted_up_to_the_limit_and_doubted_beyond() -> None:
    assert verdicts(gate(), T0_MS, T0_MS + DAY_MS) == ["accepted", "accepted"]
    assert verdicts(gate(), T0_MS, T0_MS + DAY_MS + 1) == ["accepted", "time_jump"]


@pytest.mark.parametrize(
    ("shift_ms", "reason"), [(90 * DAY_MS, "time_jump"), (-90 * DAY_MS, "time_backwards")]
)
def test_a_reset_clock_is_taken_over_after_enough_readings_in_a_row(
    shift_ms: int, reason: str
) -> None:
    doubtful = [T0_MS + shift_ms + n * MINUTE_MS for n in range(CONFIRM + 2)]
    wanted = ["accepted", *[reason] * (CONFIRM - 1), "rebased", "accepted", "accepted"]
    assert verdicts(gate(), T0_MS, *doubtful) == wanted


def test_a_good_reading_between_ends_the_doubt() -> None:
    far = T0_MS + 90 * DAY_MS
    doubtful = [far + n * MINUTE_MS for n in range(CONFIRM - 1)]
    times = [T0_MS, *doubtful, T0_MS + MINUTE_MS, far + CONFIRM * MINUTE_MS]
    wanted = ["accepted", *["time_jump"] * (CONFIRM - 1), "accepted", "time_jump"]
    assert verdicts(gate(), *times) == wanted


def test_readings_frozen_at_one_wrong_time_never_confirm_it() -> None:
    frozen = [T0_MS + 90 * DAY_MS] * (3 * CONFIRM)
    assert verdicts(gate(), T0_MS, *frozen) == ["accepted", *["time_jump"] * (3 * CONFIRM)]


def test_a_logger_of_two_lines_a_time_is_believed_again_after_a_reset_clock() -> None:
    of = gate()
    of.check(T0_MS, T0_MS)
    times = [T0_MS - DAY_MS + i // 2 * MINUTE_MS for i in range(2 * CONFIRM)]
    found = verdicts(of, *times)
    assert found == ["time_backwards"] * (2 * CONFIRM - 2) + ["rebased", "accepted"]


def test_wrong_times_that_do_not_follow_each_other_never_confirm_a_jump() -> None:
    wild = [T0_MS + (90 - 20 * n) * DAY_MS for n in range(4)] * CONFIRM
    assert "rebased" not in verdicts(gate(), T0_MS, *wild)


@given(st.integers(0, 2**42))
def test_one_bad_reading_does_not_poison_the_next(bad_ms: int) -> None:
    one = gate()
    one.check(T0_MS, T0_MS)
    if one.check(bad_ms, bad_ms) == ACCEPTED:
        assert T0_MS - RULES.lateness_ms <= bad_ms <= T0_MS + RULES.max_jump_ms
    else:
        assert one.check(T0_MS + MINUTE_MS, T0_MS) == ACCEPTED


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_too_far_from_the_arrival_is_skewed(sign: int) -> None:
    rules = TimeRules(max_skew_ms=MINUTE_MS, max_jump_ms=DAY_MS, lateness_ms=0)
    skewed = gate(rules)
    assert skewed.check(T0_MS + sign * (MINUTE_MS + 1), T0_MS) == Verdict("time_skew")
    assert skewed.check(T0_MS + sign * MINUTE_MS, T0_MS) == ACCEPTED


def test_zero_skew_switches_the_comparison_with_the_arrival_off() -> None:
    assert gate().check(T0_MS, T0_MS + 900 * DAY_MS) == ACCEPTED


@given(st.lists(TIMES, max_size=40), st.integers(0, 40))
def test_a_gate_restored_from_a_snapshot_continues_as_if_nothing_had_been(
    times: list[int], cut: int
) -> None:
    one, two = gate(), gate()
    verdicts(one, *times[:cut])
    two.restore(json.loads(json.dumps(one.snapshot())))
    assert verdicts(one, *times[cut:]) == verdicts(two, *times[cut:])


@given(st.lists(TIMES, max_size=60))
def test_accepted_times_never_leave_the_limits_around_the_newest_one(times: list[int]) -> None:
    one, newest = gate(), 0
    for time_ms in times:
        verdict = one.check(time_ms, time_ms)
        if verdict.rebased or not newest:
            newest = 0 if verdict.reason else time_ms
        elif not verdict.reason:
            assert -RULES.lateness_ms <= time_ms - newest <= RULES.max_jump_ms
            newest = max(newest, time_ms)
