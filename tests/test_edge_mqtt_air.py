"""What is on the air, what is refused, and when a connection that says nothing is given up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.message import ALARM, TELEMETRY
from edge.mqtt_air import MAX_AIR_BYTES, MAX_HELD, REFUSED_AGAIN_S, WINDOW, Air, Patience


def test_the_window_is_the_smaller_of_ours_and_the_brokers() -> None:
    air = Air()
    for given_, wanted in ((0, WINDOW), (20, 19), (1, 1), (65535, WINDOW)):
        air.begin(given_, 0)
        assert (air.window, air.room) == (wanted, wanted)


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9999), st.booleans())))
def test_the_accounts_of_the_air_close(events) -> None:
    """Each (packet, size, acknowledged?) once on the air, and then off it again."""
    air, flying = Air(), {}
    air.begin(0, 0)
    for mid, size, landed in events:
        if landed:
            assert air.landed(mid) == flying.pop(mid, (0, 0))[0]
        elif mid not in flying:
            air.sent(mid, 1000 + mid, size)
            flying[mid] = (1000 + mid, size)
        assert len(air) == len(flying)
        assert air.out() == {number for number, _ in flying.values()}
        assert air.bytes_left == max(1, MAX_AIR_BYTES - sum(s for _, s in flying.values()))
    air.end()
    assert (len(air), air.bytes_left) == (0, MAX_AIR_BYTES)


def test_what_is_refused_is_passed_over_for_a_while_and_bounded() -> None:
    air = Air()
    air.begin(0, 0)
    for number in range(MAX_HELD):
        assert air.takes(TELEMETRY)
        air.refuse(number, "quota", 0.0)
    assert air.why_refused == {"quota": MAX_HELD}
    assert not air.takes(TELEMETRY)
    assert air.takes(ALARM)
    for number in range(MAX_HELD, 4 * MAX_HELD):
        air.refuse(number, "quota", 1.0)
    assert not air.takes(ALARM)
    air.forgive(REFUSED_AGAIN_S)
    assert len(air.out()) == 3 * MAX_HELD
    air.forgive(REFUSED_AGAIN_S + 1.0)
    assert (air.out(), air.why_refused) == (frozenset(), {})


def test_the_air_is_silent_for_the_limit_and_not_longer() -> None:
    patience = Patience(10.0)
    assert not patience.over(0, None, 0.0)
    assert not patience.over(1, None, 100.0)  # from now on it waits for an answer
    assert not patience.over(2, None, 109.9)
    assert patience.over(2, None, 110.0)


def test_every_answer_starts_it_anew() -> None:
    patience = Patience(10.0)
    for second in range(100):
        assert not patience.over(3, None, float(second))
        if second % 9 == 8:
            patience.answered()


def test_a_slow_link_has_all_the_time_it_needs_and_then_the_limit() -> None:
    patience = Patience(10.0)
    for second in range(100):  # 640 bytes a second: one message, alive
        assert not patience.over(1, (64_000 - 640 * second, 640 * second), float(second))
    assert not patience.over(1, (0, 64_000), 100.0)
    assert not patience.over(2, (500, 64_500), 105.0)  # more is sent, and taken by whoever it is
    assert not patience.over(2, (0, 65_000), 109.0)
    assert patience.over(2, (0, 65_000), 110.0)


def test_a_link_on_which_nothing_moves_is_given_up_with_bytes_still_waiting() -> None:
    patience = Patience(10.0)
    for second in range(11):
        over = patience.over(1, (64_000, 1_000), float(second))
        assert over == (second == 10)
