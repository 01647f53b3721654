"""Which broker is tried next, and when: the rules, over any course of failures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.mqtt_choice import (
    PROVEN_PROBES,
    RETRY_ALONE_MAX_S,
    RETRY_MAX_S,
    RETRY_MIN_S,
    STABLE_S,
    Choice,
)


def longest(low: float, high: float) -> float:
    return high


def fail(choice: Choice, now_s: float) -> float:
    """One attempt that fails at once; returns when the next is due."""
    choice.tried(now_s)
    choice.failed(now_s)
    return max(now_s, choice.not_before_s)


def test_the_delay_doubles_up_to_its_bound_and_starts_anew_when_the_broker_works() -> None:
    choice = Choice(1, 30.0, longest)
    now_s, waits = 0.0, []
    for _ in range(7):
        due_s = fail(choice, now_s)
        waits.append(due_s - now_s)
        now_s = due_s
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    choice.tried(now_s)
    choice.works()
    choice.failed(now_s + STABLE_S)
    assert choice.not_before_s == now_s + STABLE_S + RETRY_MIN_S


def test_two_that_throw_each_other_out_do_it_ever_more_slowly() -> None:
    choice = Choice(1, 30.0, longest)
    now_s = 0.0
    for _ in range(8):
        choice.tried(now_s)
        choice.works()
        choice.failed(now_s + 0.1)
        now_s = choice.not_before_s
    assert now_s > 40.0


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60), st.integers(1, 4))
def test_any_draw_is_within_the_bounds(draws, count) -> None:
    drawn = iter(draws * 2)
    choice = Choice(count, 30.0, lambda low, high: low + next(drawn) * (high - low))
    now_s = 0.0
    for _ in draws:
        due_s = fail(choice, now_s)
        longest_s = RETRY_ALONE_MAX_S if count == 1 else RETRY_MAX_S
        assert 0.0 <= due_s - now_s <= longest_s + 1e-9
        now_s = due_s
        assert 0 <= choice.at < count


def test_gateways_that_lost_it_together_come_back_at_different_times() -> None:
    times = set()
    for _ in range(200):
        choice = Choice(1, 30.0)
        for _ in range(6):
            fail(choice, 0.0)
        times.add(round(choice.not_before_s, 2))
    assert len(times) > 150
    assert max(times) - min(times) > 5.0  # over the whole delay, and not around its end


@given(st.floats(1.0, 300.0), st.integers(2, 5))
def test_each_broker_has_its_patience_and_the_next_is_tried_at_once(patience_s, count) -> None:
    choice = Choice(count, patience_s, longest)
    now_s = 0.0
    for place in range(count):
        assert choice.at == place
        began_s = now_s
        while choice.at == place:
            tried_s, now_s = now_s, fail(choice, now_s)
        # No longer, whatever the delay was.
        assert patience_s * 0.999 <= tried_s - began_s <= patience_s * 1.001
        assert now_s == tried_s or place == count - 1
    assert choice.at == 0  # round about


def test_a_broker_that_lets_in_and_throws_out_is_no_better_than_one_that_is_away() -> None:
    choice = Choice(2, 20.0, longest)
    now_s = 0.0
    while choice.at == 0:  # each time it is connected, but no message is acknowledged
        now_s = fail(choice, now_s)
        assert now_s <= 20.0


def test_one_that_works_keeps_its_place_however_often_it_drops() -> None:
    choice = Choice(2, 20.0, longest)
    for hour in range(100):
        choice.tried(hour * 3600.0)
        choice.works()
        choice.failed(hour * 3600.0 + 3599.0)
    assert choice.at == 0


@given(st.lists(st.booleans(), max_size=30))
def test_a_preferred_broker_is_gone_back_to_when_it_has_answered_twice_in_a_row(answers) -> None:
    choice = Choice(2, 1.0, longest)
    now_s = 0.0
    while choice.at == 0:
        now_s = fail(choice, now_s)
    choice.tried(now_s)
    choice.works()
    run = 0
    for answered in answers:
        run = run + 1 if answered else 0
        assert choice.probed(0, answered=answered) == (run >= PROVEN_PROBES)
    choice.go_back(0, now_s)
    assert (choice.at, choice.not_before_s) == (0, now_s)
    assert not choice.probed(0, answered=True)  # there is nothing to go back to
