"""Movement over gaps, and spikes that are known only afterwards."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edge.movement import Movement
from edge.movement_plan import HOUR_MS, MoveChannel, MovePlan
from edge.qc_zero import Rezeroed

T0_MS = 1_700_000_000_000 // (24 * HOUR_MS) * (24 * HOUR_MS)
PLAN = MovePlan((MoveChannel("a", "mm"), MoveChannel("b", "mm")))
DAYS = 30


def live(movement: Movement, kind: str, window_h: int = 0) -> np.ndarray:
    return next(
        s.values for s in movement.series() if s.kind == kind and s.window_ms == window_h * HOUR_MS
    )


def swinging(hours: int, per_day: float = 0.2, swing: float = 1.0) -> np.ndarray:
    """A slow slope whose sensors a day's temperature swings."""
    t = np.arange(hours)[:, None] / 24.0
    noise = 0.03 * np.random.default_rng(1).standard_normal((hours, 2))
    return per_day * t + swing * np.sin(2 * np.pi * t) + noise


def feed(movement: Movement, x: np.ndarray, first: int = 0) -> list[np.ndarray]:
    angles = []
    for i, row in enumerate(x.tolist(), start=first):
        movement.push(T0_MS + i * HOUR_MS, row)
        angles.append(live(movement, "tangent_angle").copy())
    return angles


def test_after_a_gap_half_a_day_of_warming_is_no_trend() -> None:
    x = swinging(DAYS * 24 + 72)
    movement = Movement(PLAN, HOUR_MS)
    feed(movement, x[: DAYS * 24])
    begin = DAYS * 24 + 48
    feed(movement, x[begin : begin + 12], begin)
    assert np.isnan(live(movement, "velocity", 24)).all()
    feed(movement, x[begin + 12 : begin + 24], begin + 12)
    assert (live(movement, "velocity", 24) < 2.0).all()  # the swing itself is up to 6.3 a day


def test_without_a_reading_nothing_is_known_of_now() -> None:
    movement = Movement(PLAN, HOUR_MS)
    feed(movement, swinging(DAYS * 24))
    assert not np.isnan(live(movement, "tangent_angle")).any()
    feed(movement, np.full((1, 2), np.nan), DAYS * 24)
    for kind in ("tangent_angle", "stage", "time_to_failure", "acceleration"):
        window_h = 24 if kind == "acceleration" else 0
        assert np.isnan(live(movement, kind, window_h)).all()
    feed(movement, swinging(DAYS * 24 + 2)[-1:], DAYS * 24 + 1)
    assert not np.isnan(live(movement, "tangent_angle")).any()


def test_one_silent_channel_is_known_for_a_little_while_and_then_not() -> None:
    movement = Movement(PLAN, HOUR_MS)
    x = swinging(DAYS * 24 + 8)
    feed(movement, x[: DAYS * 24])
    x[DAYS * 24 :, 1] = np.nan
    feed(movement, x[DAYS * 24 : DAYS * 24 + 2], DAYS * 24)
    assert not np.isnan(live(movement, "tangent_angle")[1])
    feed(movement, x[DAYS * 24 + 2 :], DAYS * 24 + 2)
    assert np.isnan(live(movement, "tangent_angle")[1])
    assert not np.isnan(live(movement, "tangent_angle")[0])


@pytest.mark.parametrize("restart", [False, True])
def test_a_spike_that_passed_is_taken_out_again(restart: bool) -> None:
    x = swinging(DAYS * 24 + 30, swing=0.0)
    clean, struck = Movement(PLAN, HOUR_MS), Movement(PLAN, HOUR_MS)
    feed(clean, x)
    bent, at = x.copy(), DAYS * 24
    bent[at : at + 3, 0] += 40.0
    feed(struck, bent[: at + 3])
    assert live(struck, "velocity", 12)[0] > 50.0
    if restart:
        kept = json.loads(json.dumps(struck.snapshot(), allow_nan=False))
        struck = Movement(PLAN, HOUR_MS)
        struck.restore(kept)
    struck.undo("a", [(T0_MS + i * HOUR_MS, 40.0) for i in range(at, at + 3)])
    feed(struck, x[at + 3 :], at + 3)
    for kind, window_h in (("velocity", 24), ("velocity", 48), ("tangent_angle", 0)):
        assert live(struck, kind, window_h) == pytest.approx(live(clean, kind, window_h), abs=0.2)
    assert struck.usual.record[0] == pytest.approx(clean.usual.record[0], rel=0.05)


def test_a_spike_on_a_slope_that_accelerates_is_not_the_fastest_it_has_been() -> None:
    x = failing(DAYS * 24, DAYS * 24 + 40, DAYS * 24 - 200.0)
    bent = x.copy()
    at = DAYS * 24 - 30
    bent[at : at + 2] += 40.0
    movement, clean = Movement(PLAN, HOUR_MS), Movement(PLAN, HOUR_MS)
    feed(clean, x)
    feed(movement, bent[: at + 4])
    assert not movement.onset.active.any()  # it fell back, as if it had come to rest
    for channel in ("a", "b"):
        movement.undo(channel, [(T0_MS + i * HOUR_MS, 40.0) for i in (at, at + 1)])
    assert movement.onset.active.all()
    feed(movement, x[at + 4 :], at + 4)
    assert movement.onset.active.all()
    assert movement.onset.fastest == pytest.approx(clean.onset.fastest, rel=0.3)
    assert movement.usual.record == pytest.approx(clean.usual.record, rel=0.3)


@pytest.mark.parametrize("restart", [False, True])
def test_what_was_no_movement_leaves_no_record(restart: bool) -> None:
    x = swinging(DAYS * 24 + 30, swing=0.0)
    movement = Movement(PLAN, HOUR_MS)
    feed(movement, x[: DAYS * 24])
    before = movement.usual.record.copy()
    x[DAYS * 24 :, 0] += 25.0  # the mount was knocked
    feed(movement, x[DAYS * 24 :], DAYS * 24)
    assert movement.usual.record[0] > 10.0 * before[0]
    if restart:
        kept = json.loads(json.dumps(movement.snapshot(), allow_nan=False))
        movement = Movement(PLAN, HOUR_MS)
        movement.restore(kept)
    movement.take_back("a", Rezeroed(25.0, T0_MS + DAYS * 24 * HOUR_MS, HOUR_MS))
    assert movement.usual.record == pytest.approx(before, rel=0.3)


def test_also_out_of_a_step_that_is_still_to_come() -> None:
    x = swinging(DAYS * 24 + 6, swing=0.0)
    clean, struck = Movement(PLAN, HOUR_MS), Movement(PLAN, HOUR_MS)
    feed(clean, x)
    at = DAYS * 24 + 2
    feed(struck, x[:at])
    struck.undo("a", [(T0_MS + at * HOUR_MS, 40.0)])
    bent = x.copy()
    bent[at, 0] += 40.0
    feed(struck, bent[at:], at)
    assert live(struck, "velocity", 24) == pytest.approx(live(clean, "velocity", 24), abs=1e-6)


def failing(hours: int, failure_h: float, start_h: float) -> np.ndarray:
    """Steady creep, and from ``start_h`` on towards a failure (Fukuzono: 1/v falls linearly)."""
    t = np.arange(hours, dtype=float)
    v_day = np.where(t < start_h, 0.5, 0.5 * (failure_h - start_h) / (failure_h - t))
    noise = 0.03 * np.random.default_rng(2).standard_normal((hours, 2))
    return np.cumsum(v_day / 24.0)[:, None] + noise


@pytest.mark.parametrize("gap_h", [30, 72, 300])
def test_an_end_that_comes_soon_after_a_gap_is_seen(gap_h: int) -> None:
    failure_h = 60 * 24
    end_h = failure_h - 30
    x = failing(failure_h, failure_h, failure_h - 20 * 24)
    movement = Movement(PLAN, HOUR_MS)
    feed(movement, x[: end_h - gap_h])
    record = movement.usual.record.copy()
    feed(movement, x[end_h : failure_h - 8], end_h)
    assert (live(movement, "stage") == 3.0).all()
    assert (live(movement, "tangent_angle") > 85.0).all()
    assert (live(movement, "time_to_failure") < 24.0).all()
    # What was fast after the gap is not what the slope usually does.
    assert movement.usual.record == pytest.approx(record)


def test_after_a_gap_a_slope_that_goes_on_as_before_is_steady() -> None:
    x = swinging(DAYS * 24 + 200)
    movement = Movement(PLAN, HOUR_MS)
    feed(movement, x[: DAYS * 24])
    begin = DAYS * 24 + 72
    for i, row in enumerate(x[begin:].tolist(), start=begin):
        movement.push(T0_MS + i * HOUR_MS, row)
        assert np.nanmax(live(movement, "stage"), initial=0.0) < 3.0
    assert (live(movement, "stage") == 0.0).all()


def test_a_window_is_known_again_soon_after_a_reading_is_missing_at_speed() -> None:
    failure_h = 60 * 24
    x = failing(failure_h, failure_h, failure_h - 10 * 24)
    movement = Movement(PLAN, HOUR_MS)
    missing = failure_h - 14
    x[missing] = np.nan
    feed(movement, x[: missing + 1])
    unknown = 0
    for i in range(missing + 1, failure_h - 1):
        movement.push(T0_MS + i * HOUR_MS, x[i].tolist())
        unknown += int(np.isnan(live(movement, "velocity", 6)).sum())
    assert unknown <= 8  # of 24: the line is not known while the missing one weighs


WARM = MovePlan(tuple(replace(c, v_eq_per_day=0.2) for c in PLAN.channels))


@pytest.mark.parametrize("phase_h", range(0, 24, 2))
def test_a_days_swing_is_no_end_in_the_first_days_nor_after_a_gap(phase_h: int) -> None:
    """With a steady speed that is configured there is something to compare with from the start."""
    x = swinging(DAYS * 24 + 200)[phase_h:]
    movement, top = Movement(WARM, HOUR_MS), 0.0
    for i, row in enumerate(x.tolist()):
        if DAYS * 24 - 60 <= i < DAYS * 24 + 12:
            continue
        movement.push(T0_MS + i * HOUR_MS, row)
        top = max(top, float(np.nanmax(live(movement, "stage"), initial=0.0)))
    assert top < 3.0


def test_a_step_taken_out_does_not_come_back_when_its_hour_leaves_the_window() -> None:
    plan = MovePlan(PLAN.channels, moved_windows_ms=(24 * HOUR_MS,))
    movement, x = Movement(plan, HOUR_MS), swinging(400, swing=0.0)
    at = 300
    x[at:, 0] += 25.0
    x[at, 0] = np.nan  # held: only the next bears it out
    feed(movement, x[: at + 3])
    movement.take_back("a", Rezeroed(25.0, T0_MS + (at + 1) * HOUR_MS, HOUR_MS))
    x[:, 0] -= 25.0
    for i in range(at + 3, 400):
        movement.push(T0_MS + i * HOUR_MS, x[i].tolist())
        assert live(movement, "moved", 24)[0] < 2.0
        assert not live(movement, "velocity", 24)[0] > 1.0


def test_what_the_movement_has_yet_to_see_is_not_its_to_take_out() -> None:
    movement, x = Movement(PLAN, HOUR_MS), swinging(400, swing=0.0)
    feed(movement, x[:300])
    movement.take_back("a", Rezeroed(25.0, T0_MS + 300 * HOUR_MS, HOUR_MS))
    feed(movement, x[300:], 300)
    assert live(movement, "velocity", 24) == pytest.approx([0.2, 0.2], abs=0.15)


def test_a_knock_on_the_first_day_leaves_nothing_of_what_is_usual() -> None:
    movement, x = Movement(PLAN, HOUR_MS), swinging(DAYS * 24, swing=0.0)
    x[8:, 0] += 25.0
    feed(movement, x[:10])
    movement.take_back("a", Rezeroed(25.0, T0_MS + 8 * HOUR_MS, HOUR_MS))
    x[:, 0] -= 25.0
    feed(movement, x[10:], 10)
    for seen in (movement.usual.record, movement.usual.v_eq, movement.usual.high()):
        assert seen[0] == pytest.approx(seen[1], rel=0.5)
