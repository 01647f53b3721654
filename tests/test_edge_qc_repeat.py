"""Rows of long ago that come once more: the table finds what a plain search finds."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.qc_repeat import ALL_ROWS, MIN_ROWS, RECENT, ROWS, Repeats, rows_each

SURE = 100.0


class Plain:
    """What `Repeats` is to say, by searching all rows there are."""

    def __init__(self, rows: int) -> None:
        self.rows, self.kept = rows, []

    def look(self, value: int) -> bool:
        window = self.kept[-self.rows :]
        at = max((i for i, each in enumerate(window) if each == value), default=None)
        if at is not None and len(window) - at > RECENT:
            return True
        self.kept.append(value)
        return False


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(0, 90), max_size=1200),
    rows=st.integers(RECENT + 1, 200),
    cut=st.integers(0, 1200),
)
def test_what_is_found_is_what_a_search_of_all_rows_finds(values, rows, cut) -> None:
    plain, repeats = Plain(rows), Repeats(rows)
    for i, value in enumerate(values):
        if i == cut:
            state = json.loads(json.dumps(repeats.snapshot()))
            repeats = Repeats(rows)
            repeats.restore(state)
        assert repeats.look([float(value)], SURE, jumps=False) == plain.look(value), i


@pytest.mark.parametrize("before", [30, 200, 5000])
@pytest.mark.parametrize("after", [40, 1000, ROWS])
def test_a_station_that_may_remember_more_or_fewer_keeps_the_newest(before, after) -> None:
    old, new = Repeats(before), Repeats(after)
    for i in range(7000):
        old.look([float(i)], SURE, jumps=False)
    new.restore(old.snapshot())
    kept = min(before, after)
    for i in range(7000 - kept + 1, 7000 - RECENT):  # the oldest of all goes with the first look
        assert new.look([float(i)], SURE, jumps=False), i
    assert not new.look([7000.0 - kept - 1], SURE, jumps=False)


def test_as_many_rows_as_may_be_kept_are_kept_and_no_more() -> None:
    old, new = Repeats(10_000), Repeats(5000)
    for i in range(5000):
        old.look([float(i)], SURE, jumps=False)
    new.restore(old.snapshot())
    for i in range(5000, 10_010):
        new.look([float(i)], SURE, jumps=False)
    assert len(new._ring) == 5000
    assert not new.look([5000.0], SURE, jumps=False)
    assert new.look([6000.0], SURE, jumps=False)


def test_memory_is_bounded_however_long_it_runs() -> None:
    repeats = Repeats(600)
    for i in range(50_000):
        assert not repeats.look([float(i)], SURE, jumps=False)
    assert len(repeats._ring) == 600
    assert len(repeats._table) <= 2048


def test_a_gateway_of_many_stations_bounds_what_all_of_them_remember() -> None:
    assert rows_each(1) == rows_each(50) == ROWS
    assert rows_each(1000) * 1000 <= ALL_ROWS
    assert rows_each(1_000_000) == MIN_ROWS


def test_a_state_that_is_none_is_refused() -> None:
    state = Repeats(50).snapshot() | {"next": -1}
    with pytest.raises(ValueError, match="ring"):
        Repeats(50).restore(state)
