"""Velocity, its noise, onset and end of accelerations, and what is learned, on made slopes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.movement import NONE_H, Movement
from edge.movement_plan import HOUR_MS, MoveChannel, MovePlan
from edge.qc_zero import Rezeroed
from export.generator.voight import Creep, Stopping

T0_MS = 1_700_000_000_000
DAY_H = 24
PLAN = MovePlan((MoveChannel("a", "mm"), MoveChannel("b", "mm")), moved_windows_ms=(24 * HOUR_MS,))
NAN = float("nan")


def live(movement: Movement, kind: str, window_h: int = 0) -> np.ndarray:
    return next(
        s.values for s in movement.series() if s.kind == kind and s.window_ms == window_h * HOUR_MS
    )


def feed(movement: Movement, x: np.ndarray, step_ms: int = HOUR_MS, *, first: int = 0) -> None:
    for i, row in enumerate(x.tolist(), start=first):
        movement.push(T0_MS + i * step_ms, row)


def line(days: float, per_day: float, sd: float, seed: int = 0, a_day: int = DAY_H) -> np.ndarray:
    n = round(days * a_day)
    t = np.arange(n)[:, None] / a_day
    return 100.0 + per_day * t + sd * np.random.default_rng(seed).standard_normal((n, 2))


@pytest.mark.parametrize("per_day", [-5.0, 2.0, 40.0])
def test_the_speed_of_a_line_is_found_over_every_window(per_day: float) -> None:
    movement = Movement(PLAN, HOUR_MS)
    feed(movement, line(10, per_day, 0.02))
    for window_h, off in ((6, 0.5), (12, 0.2), (24, 0.07), (48, 0.04), (72, 0.03)):
        assert live(movement, "velocity", window_h) == pytest.approx([abs(per_day)] * 2, abs=off)


def test_missing_values_and_irregular_times_change_nothing_of_it() -> None:
    movement, random = Movement(PLAN, HOUR_MS), np.random.default_rng(3)
    for i in range(12 * DAY_H):
        if random.random() < 0.3:
            continue
        x = 3.0 * i / DAY_H + 0.02 * random.standard_normal(2)
        x[random.random(2) < 0.2] = np.nan
        movement.push(T0_MS + i * HOUR_MS, x.tolist())
    assert live(movement, "velocity", 24) == pytest.approx([3.0, 3.0], abs=0.1)


def test_what_does_not_stand_out_of_the_noise_is_no_speed() -> None:
    movement = Movement(PLAN, HOUR_MS)
    zeros = []
    for i, row in enumerate(line(40, 0.0, 0.5).tolist()):
        movement.push(T0_MS + i * HOUR_MS, row)
        if i > 5 * DAY_H:
            zeros.append(live(movement, "velocity", 24) == 0.0)
    assert np.mean(zeros) > 0.98


def test_the_noise_is_learned_and_a_configured_one_is_kept() -> None:
    own = replace(PLAN, channels=(MoveChannel("a", "mm"), MoveChannel("b", "mm", noise_sd=0.2)))
    movement = Movement(own, HOUR_MS)
    feed(movement, line(60, 0.5, 0.5))
    learned = movement.learned()
    assert learned["a"]["noise_sd"] == pytest.approx(0.5, rel=0.35)
    assert learned["b"]["noise_sd"] == 0.2


def test_nothing_is_known_before_there_is_a_line_nor_long_after_the_last_reading() -> None:
    movement = Movement(PLAN, HOUR_MS)
    feed(movement, line(0.2, 1.0, 0.01))
    assert np.isnan(live(movement, "velocity", 24)).all()
    assert np.isnan(live(movement, "tangent_angle")).all()
    feed(movement, line(3, 1.0, 0.01), first=5)
    assert (live(movement, "velocity", 24) > 0.5).all()
    feed(movement, np.full((40, 2), NAN), first=77)
    assert np.isnan(live(movement, "velocity", 24)).all()


def test_one_spike_moves_no_speed_and_a_step_that_stays_does() -> None:
    calm, spiked, stepped = (Movement(PLAN, HOUR_MS) for _ in range(3))
    x = line(8, 0.5, 0.02)
    feed(calm, x)
    one = x.copy()
    one[-10, 0] += 20.0
    feed(spiked, one)
    stays = x.copy()
    stays[-10:, 0] += 20.0
    feed(stepped, stays)
    expected = live(calm, "velocity", 24)[0]
    assert live(spiked, "velocity", 24)[0] == pytest.approx(expected, abs=0.5)
    assert live(stepped, "velocity", 24)[0] > 10.0


@pytest.mark.parametrize("late", [1, 3])
def test_a_step_of_the_instrument_can_be_taken_out_after_it_was_seen(late: int) -> None:
    movement, plain = Movement(PLAN, HOUR_MS), Movement(PLAN, HOUR_MS)
    x = line(8, 0.5, 0.02)
    feed(plain, x)
    feed(movement, x[:100])
    seen = x[100 : 100 + late].copy()
    seen[:, 0] += 30.0
    feed(movement, seen, first=100)
    movement.take_back("a", Rezeroed(30.0, T0_MS + 100 * HOUR_MS, HOUR_MS))
    assert live(movement, "moved", 24)[0] < 2.0
    feed(movement, x[100 + late :], first=100 + late)
    for kind, hours in (("velocity", 24), ("moved", 24)):
        assert live(movement, kind, hours) == pytest.approx(live(plain, kind, hours), abs=0.05)


def test_a_step_that_is_taken_out_late_begins_the_line_anew() -> None:
    movement = Movement(PLAN, HOUR_MS)
    x = line(12, 0.5, 0.02)
    stepped = x[:220].copy()
    stepped[200:, 0] += 30.0
    feed(movement, stepped)
    assert live(movement, "velocity", 24)[0] > 10.0
    movement.take_back("a", Rezeroed(30.0, T0_MS + 200 * HOUR_MS, HOUR_MS))
    assert live(movement, "moved", 24)[0] < 2.0
    feed(movement, x[220:222], first=220)
    assert np.isnan(live(movement, "velocity", 24)[0])
    assert live(movement, "velocity", 24)[1] == pytest.approx(0.5, abs=0.2)
    feed(movement, x[222:], first=222)
    assert live(movement, "velocity", 24) == pytest.approx([0.5, 0.5], abs=0.2)


def test_the_steady_speed_is_learned_and_shown_as_45_degrees() -> None:
    movement = Movement(PLAN, HOUR_MS)
    feed(movement, line(40, 0.8, 0.02))
    assert movement.learned()["a"]["v_eq_per_day"] == pytest.approx(0.8, rel=0.1)
    assert live(movement, "tangent_angle") == pytest.approx([45.0, 45.0], abs=4.0)
    assert (live(movement, "stage") == 0.0).all()


def test_a_configured_steady_speed_counts_from_the_first_line_on() -> None:
    own = replace(PLAN, channels=(MoveChannel("a", "mm", v_eq_per_day=0.1), MoveChannel("b", "mm")))
    movement = Movement(own, HOUR_MS)
    feed(movement, line(2, 1.0, 0.01))
    assert live(movement, "tangent_angle")[0] == pytest.approx(84.3, abs=0.5)
    assert np.isnan(live(movement, "tangent_angle")[1])


def accelerating(stop: Stopping, rate: float, days: float, seed: int = 1) -> np.ndarray:
    day = np.arange(round(days * DAY_H)) / DAY_H
    added, _ = stop.added(day)
    noise = 0.02 * np.random.default_rng(seed).standard_normal((len(day), 2))
    return (rate * day + added)[:, None] + noise


STOPS = Stopping(30.0, Creep(0.5, 12.0, 2.0), 15.0, 1.5, rain_driven=False)


def test_an_acceleration_that_stops_begins_and_ends() -> None:
    movement = Movement(PLAN, HOUR_MS)
    x = accelerating(STOPS, 0.5, 60.0)
    stages, foreseen = [], []
    for i, row in enumerate(x.tolist()):
        movement.push(T0_MS + i * HOUR_MS, row)
        stages.append(live(movement, "stage").max())
        foreseen.append(bool((live(movement, "time_to_failure") < NONE_H).any()))
    peak, end = round(STOPS.peak_day * DAY_H), round(STOPS.end_day * DAY_H)
    assert np.nanmax(stages[: 29 * DAY_H]) == 0.0
    assert np.nanmax(stages[: peak + DAY_H]) >= 2.0
    assert any(foreseen[:peak])
    assert max(stages[end:]) == 0.0
    assert not any(foreseen[end:])


def test_the_second_acceleration_is_imminent_only_beyond_the_first() -> None:
    movement = Movement(PLAN, HOUR_MS)
    first = accelerating(STOPS, 0.5, 70.0)
    again = accelerating(STOPS, 0.5, 70.0, seed=2) + first[-1]
    tops = []
    for i, row in enumerate(np.concatenate([first, again]).tolist()):
        movement.push(T0_MS + i * HOUR_MS, row)
        tops.append(live(movement, "stage").max())
    assert np.nanmax(tops[: len(first)]) == 3.0
    assert np.nanmax(tops[len(first) :]) == 2.0


@pytest.mark.parametrize("step_s", [60, 600, 3600])
def test_readings_that_come_more_often_tell_the_same(step_s: int) -> None:
    movement = Movement(PLAN, 1000 * step_s)
    feed(movement, line(4, 2.0, 0.02, a_day=86_400 // step_s), 1000 * step_s)
    assert live(movement, "velocity", 24) == pytest.approx([2.0, 2.0], abs=0.06)


def test_a_daily_slope_is_judged_over_longer_windows() -> None:
    movement = Movement(PLAN, 24 * HOUR_MS)
    feed(movement, line(200, 0.7, 0.3, a_day=1), 24 * HOUR_MS)
    assert live(movement, "velocity", 12 * 24) == pytest.approx([0.7, 0.7], abs=0.3)
    assert live(movement, "tangent_angle") == pytest.approx([45.0, 45.0], abs=15.0)


def test_a_sensor_that_sees_no_failure_says_so_and_one_that_is_not_known_does_not() -> None:
    movement = Movement(PLAN, HOUR_MS)
    x = line(20, 0.8, 0.02)
    x[:, 1] = NAN
    feed(movement, x)
    hours = live(movement, "time_to_failure")
    assert hours[0] == NONE_H
    assert np.isnan(hours[1])


def test_reset_forgets_all() -> None:
    movement, fresh = Movement(PLAN, HOUR_MS), Movement(PLAN, HOUR_MS)
    feed(movement, accelerating(STOPS, 0.5, 41.0))
    movement.reset()
    assert json.dumps(movement.snapshot()) == json.dumps(fresh.snapshot())


values = st.one_of(st.just(NAN), st.floats(-1e3, 1e3))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), values, values), min_size=2, max_size=80),
    st.integers(0, 79),
    st.sampled_from([HOUR_MS, HOUR_MS // 6]),
)
def test_a_snapshot_continues_bit_for_bit(
    rows: list[tuple[int, float, float]], cut: int, step_ms: int
) -> None:
    whole, first, second = (Movement(PLAN, step_ms) for _ in range(3))
    at, times = T0_MS, []
    for gap, _, _ in rows:
        at += gap * step_ms
        times.append(at)
    cut = min(cut, len(rows))
    for i, (_, *row) in enumerate(rows):
        whole.push(times[i], row)
        if i == cut:
            second.restore(json.loads(json.dumps(first.snapshot(), allow_nan=False)))
        (first if i < cut else second).push(times[i], row)
    kept = second if cut < len(rows) else first
    assert json.dumps(kept.snapshot()) == json.dumps(whole.snapshot())


@given(st.lists(st.tuples(st.integers(-10_000, 10_000), values, values), max_size=60))
@settings(max_examples=25, deadline=None)
def test_times_that_jump_leave_no_number_that_is_none(
    rows: list[tuple[int, float, float]],
) -> None:
    movement, at = Movement(PLAN, HOUR_MS), T0_MS
    for gap, *row in rows:
        at += gap * HOUR_MS
        movement.push(at, row)
        for series in movement.series():
            assert not np.isinf(series.values).any()
