"""Readings of any cadence onto a fixed time grid."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.grid import MAX_FILL, MAX_OPEN, Grid, Observation

STEP_MS = 60_000
T0_MS = 1_700_000_040_000  # a whole number of steps
NAN = math.nan
AGGREGATES = ("mean", "last", "sum", "max")
VALUE = st.floats(-1e6, 1e6) | st.just(NAN)
TIME = st.one_of(
    st.integers(0, 40 * STEP_MS).map(lambda ms: T0_MS + ms),
    st.integers(0, 300).map(lambda n: T0_MS + n * STEP_MS),
    st.integers(0, 2**45),
)
PUSHES = st.lists(st.tuples(TIME, st.tuples(*[VALUE] * 4)), max_size=60)
LATENESS = st.sampled_from([0, STEP_MS // 2, 3 * STEP_MS, 1000 * STEP_MS])


def grid(*aggregates: str, readings: int = 1, lateness_ms: int = 0) -> Grid:
    return Grid(
        "slope", STEP_MS, aggregates or ("mean",), readings_per_step=readings,
        lateness_ms=lateness_ms,
    )  # fmt: skip


def pushed(to: Grid, *readings: tuple[float, float]) -> list[Observation]:
    """Push (step, value) pairs: step 1.5 is half a step after the start of step 1."""
    return [
        seen for at, value in readings for seen in to.push(T0_MS + round(at * STEP_MS), [value])
    ]


def steps(seen: list[Observation]) -> list[tuple[int, float | None]]:
    """Give (step, value) of a grid of one channel, None for missing."""
    found = []
    for o in seen:
        value = o.values[0]
        found.append(((o.time_ms - T0_MS) // STEP_MS, None if math.isnan(value) else value))
    return found


def total(seen: list[Observation]) -> float:
    return sum(value or 0.0 for _, value in steps(seen))


def plain(seen: list[Observation]) -> list[Any]:
    return [(o.station, o.time_ms, o.reset, repr(o.values)) for o in seen]


def test_a_step_is_given_as_soon_as_every_channel_has_reported() -> None:
    both = grid("mean", "mean")
    assert both.push(T0_MS, [1.0, NAN]) == []
    (seen,) = both.push(T0_MS + 5, [NAN, 2.0])
    assert (seen.station, seen.time_ms, seen.reset) == ("slope", T0_MS, True)
    assert list(seen.values) == [1.0, 2.0]


def test_each_aggregate_sums_a_step_up_in_its_own_way() -> None:
    four = grid(*AGGREGATES, readings=3)
    values = [4.0, -1.0, 3.0]
    seen = [o for n, v in enumerate(values) for o in four.push(T0_MS + n, [v] * 4)]
    assert [list(o.values) for o in seen] == [[2.0, 3.0, 6.0, 4.0]]


def test_max_of_negative_values_is_negative() -> None:
    (seen,) = pushed(grid("max", readings=2), (0.0, -9.0), (0.5, -3.0))
    assert list(seen.values) == [-3.0]


@given(st.lists(VALUE, min_size=1, max_size=12))
def test_missing_values_take_no_part_in_any_aggregate(values: list[float]) -> None:
    four = grid(*AGGREGATES, readings=99)
    for n, value in enumerate(values):
        assert four.push(T0_MS + n, [value] * 4) == []
    (seen,) = four.push(T0_MS + STEP_MS, [NAN] * 4)
    known = [v for v in values if not math.isnan(v)]
    wanted = [NAN] * 4
    if known:
        wanted = [sum(known) / len(known), known[-1], sum(known), max(known)]
    assert list(seen.values) == pytest.approx(wanted, nan_ok=True, rel=1e-9, abs=1e-6)


def test_a_short_gap_gives_empty_steps() -> None:
    seen = pushed(grid(), (0, 1.0), (3, 2.0))
    assert steps(seen) == [(0, 1.0), (1, None), (2, None), (3, 2.0)]
    assert [o.reset for o in seen] == [True, False, False, False]


def test_a_gap_of_max_fill_steps_is_filled_and_one_more_breaks_the_grid() -> None:
    filled = pushed(grid(), (0, 1.0), (MAX_FILL + 1, 2.0))
    assert len(filled) == MAX_FILL + 2
    assert [o.reset for o in filled] == [True] + [False] * (MAX_FILL + 1)
    broken = pushed(grid(), (0, 1.0), (MAX_FILL + 2, 2.0))
    assert steps(broken) == [(0, 1.0), (MAX_FILL + 2, 2.0)]
    assert [o.reset for o in broken] == [True, True]


def test_an_open_step_is_given_before_a_break() -> None:
    seen = pushed(grid(readings=2), (0, 1.0), (5000, 2.0), (5000.5, 4.0))
    assert steps(seen) == [(0, 1.0), (5000, 3.0)]
    assert [o.reset for o in seen] == [True, True]


def test_a_break_leaves_no_hole_before_it() -> None:
    open_steps = grid(readings=2, lateness_ms=10 * STEP_MS)
    seen = pushed(open_steps, (0, 1.0), (2, 3.0), (9000, 5.0))
    assert steps(seen) == [(0, 1.0), (1, None), (2, 3.0)]


def test_a_reading_of_a_step_already_given_is_late_and_counted() -> None:
    one = grid()
    pushed(one, (0, 1.0), (1, 2.0))
    assert pushed(one, (0.9, 7.0), (1.9, 7.0)) == []
    assert one.late == 2
    assert steps(pushed(one, (2, 3.0))) == [(2, 3.0)]


def test_lateness_holds_a_step_open_for_readings_out_of_order() -> None:
    patient = grid(readings=2, lateness_ms=STEP_MS)
    seen = pushed(patient, (0, 1.0), (1.2, 10.0), (0.4, 3.0), (1.9, 20.0))
    assert steps(seen) == [(0, 2.0), (1, 15.0)]
    assert patient.late == 0


def test_a_step_is_given_when_its_lateness_is_over() -> None:
    patient = grid(readings=2, lateness_ms=STEP_MS)
    assert pushed(patient, (0, 1.0), (1.99, 2.0)) == []
    assert steps(pushed(patient, (2.0, 3.0))) == [(0, 1.0)]


def test_no_more_than_max_open_steps_wait() -> None:
    patient = grid(readings=2, lateness_ms=1000 * STEP_MS)
    assert pushed(patient, *[(n, float(n)) for n in range(MAX_OPEN)]) == []
    assert steps(pushed(patient, (MAX_OPEN, 4.0))) == [(0, 0.0)]


def test_rebase_gives_what_is_open_and_starts_anew_even_in_the_past() -> None:
    one = grid(readings=2)
    assert pushed(one, (0, 1.0)) == []
    assert steps(one.rebase()) == [(0, 1.0)]
    seen = pushed(one, (-5000, 2.0), (-4999.5, 4.0))
    assert [(*step, o.reset) for step, o in zip(steps(seen), seen, strict=True)] == [
        (-5000, 3.0, True)
    ]
    assert one.late == 0


def test_rebase_of_an_empty_grid_gives_nothing() -> None:
    assert grid().rebase() == []


@given(st.integers(0, 2**62), st.integers(0, 2**62), LATENESS)
def test_no_jump_of_the_clock_makes_a_flood_of_steps(first: int, second: int, late: int) -> None:
    one = grid(lateness_ms=late)
    assert len(one.push(first, [1.0])) <= 1
    assert len(one.push(second, [1.0])) <= MAX_FILL + 2


@given(PUSHES, LATENESS, st.integers(1, 3))
def test_steps_are_bounded_by_readings_and_rise_one_by_one_between_resets(
    readings: list[tuple[int, tuple[float, ...]]], late: int, full: int
) -> None:
    one = grid(*AGGREGATES, readings=full, lateness_ms=late)
    previous: int | None = None
    total = 0
    for n, (time_ms, values) in enumerate(readings, start=1):
        seen = one.push(time_ms, list(values))
        total += len(seen)
        assert len(seen) <= (MAX_FILL + 1) * (MAX_OPEN + 1)
        assert total <= (MAX_FILL + 1) * n
        for o in seen:
            assert o.time_ms % STEP_MS == 0
            assert o.reset or previous is not None
            if previous is not None:
                assert o.time_ms > previous
                assert o.reset or o.time_ms == previous + STEP_MS
            previous = o.time_ms


@given(PUSHES, LATENESS)
def test_a_sum_loses_nothing_but_what_is_counted_late(
    readings: list[tuple[int, tuple[float, ...]]], late: int
) -> None:
    one = grid("sum", lateness_ms=late)
    given_out, taken = 0.0, 0
    for time_ms, _ in readings:
        before = one.late
        given_out += total(one.push(time_ms, [1.0]))
        taken += one.late == before
    given_out += total(one.rebase())
    assert given_out == taken == len(readings) - one.late


def test_a_snapshot_is_not_changed_by_what_follows() -> None:
    one = grid("mean", "last", readings=9)
    one.push(T0_MS, [1.0, 2.0])
    kept = one.snapshot()
    as_written = json.dumps(kept)
    one.push(T0_MS + 1, [3.0, NAN])
    assert json.dumps(kept) == as_written


@given(PUSHES, st.integers(0, 60), LATENESS, st.integers(1, 3))
def test_a_grid_restored_from_a_snapshot_continues_as_if_nothing_had_been(
    readings: list[tuple[int, tuple[float, ...]]], cut: int, late: int, full: int
) -> None:
    one = grid(*AGGREGATES, readings=full, lateness_ms=late)
    two = grid(*AGGREGATES, readings=full, lateness_ms=late)
    for time_ms, values in readings[:cut]:
        one.push(time_ms, list(values))
    kept = one.snapshot()
    after = [plain(one.push(time_ms, list(values))) for time_ms, values in readings[cut:]]
    two.restore(json.loads(json.dumps(kept)))
    assert after == [plain(two.push(t, list(values))) for t, values in readings[cut:]]
    assert plain(one.rebase()) == plain(two.rebase())
    assert one.late == two.late
