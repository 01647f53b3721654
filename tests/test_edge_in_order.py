"""Rows in the order of their times: at once where nothing is missing, else within the lateness."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from edge.flags import Flag
from edge.in_order import MAX_WAITING, InOrder, Row

HOUR_MS = 3_600_000
T0_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS


def row(hour: int) -> Row:
    return Row(T0_MS + hour * HOUR_MS, (float(hour), float("nan")), ((1, Flag.MISSING),))


def hours(rows: list[Row]) -> list[int]:
    return [(each.time_ms - T0_MS) // HOUR_MS for each in rows]


def give(order: InOrder, *arriving: int) -> list[list[int]]:
    return [hours(order.take("port", row(hour))) for hour in arriving]


def warm(lateness_h: int = 3) -> InOrder:
    order = InOrder(lateness_h * HOUR_MS)
    give(order, *range(20))
    return order


def test_rows_in_order_go_on_at_once() -> None:
    assert give(warm(), 20, 21, 22) == [[20], [21], [22]]


def test_without_a_lateness_every_row_goes_on_as_it_comes() -> None:
    assert give(InOrder(0), 0, 1, 5, 3, 3, 2) == [[0], [1], [5], [3], [3], [2]]


def test_a_row_after_a_hole_waits_for_what_fills_it() -> None:
    assert give(warm(), 20, 22, 23, 21, 24) == [[20], [], [], [21, 22, 23], [24]]


def test_and_no_longer_than_the_lateness() -> None:
    assert give(warm(), 22, 23, 24, 25, 26) == [[], [], [], [22, 23, 24, 25], [26]]


def test_what_comes_later_than_that_goes_on_at_once_for_others_to_judge() -> None:
    order = warm()
    give(order, 22, 23, 24, 25)
    assert give(order, 21) == [[21]]


def test_each_port_has_its_own_order() -> None:
    order = warm()
    assert give(order, 22) == [[]]
    assert hours(order.take("other", row(22))) == [22]


def test_what_waits_at_a_port_that_fell_silent_goes_on_by_the_rows_of_another() -> None:
    order = warm()
    give(order, 22, 23)
    assert order.past(T0_MS + 24 * HOUR_MS) == []
    assert [(port, *hours([each])) for port, each in order.past(T0_MS + 25 * HOUR_MS)] == [
        ("port", 22)
    ]
    assert [*hours([each for _, each in order.past(T0_MS + 26 * HOUR_MS)])] == [23]
    assert give(order, 24) == [[24]]


def test_a_sensor_read_less_often_from_now_on_waits_for_ever_shorter() -> None:
    order = warm(48)
    given_on = sum(len(each) for each in give(order, *range(20, 20 + 400, 4)))
    assert given_on >= 80


def test_what_waits_is_bounded() -> None:
    order = InOrder(10_000 * HOUR_MS)
    give(order, *range(20))
    give(order, *range(100, 100 + MAX_WAITING))
    assert give(order, 100 + MAX_WAITING)[-1] != []


def test_all_that_waits_is_given_when_the_time_line_begins_anew() -> None:
    order = warm()
    give(order, 23, 22)
    assert [hours([each])[0] for _, each in order.let_go()] == [22, 23]
    assert give(order, 500) == [[500]]


@given(st.permutations(range(20, 32)), st.integers(0, 12))
def test_any_disorder_within_the_lateness_gives_the_rows_in_order_over_a_restart(
    arriving: list[int], cut: int
) -> None:
    order, found = warm(12), []
    for i, hour in enumerate([*arriving, *range(32, 60)]):
        if i == cut:
            kept = json.loads(json.dumps(order.snapshot(0), allow_nan=False))
            order = InOrder(12 * HOUR_MS)
            order.restore(kept, 0, 2)
        found += [each for rows in give(order, hour) for each in rows]
    assert found == sorted(found)
    assert found[:12] == list(range(20, 32))


def test_a_snapshot_keeps_values_and_what_is_told_of_them() -> None:
    order = warm()
    give(order, 22)
    again = InOrder(3 * HOUR_MS)
    again.restore(json.loads(json.dumps(order.snapshot(0), allow_nan=False)), 0, 2)
    ((_, kept),) = again.let_go()
    assert kept.values[0] == 22.0
    assert kept.values[1] != kept.values[1]
    assert kept.told == ((1, Flag.MISSING),)


def test_a_slower_cadence_is_taken_over_after_some_rows() -> None:
    order = warm(lateness_h=3)
    gone = give(order, *range(20 + 12, 20 + 12 * 9, 12))
    assert gone[-2:] == [[20 + 12 * 7], [20 + 12 * 8]]  # each as it comes again
