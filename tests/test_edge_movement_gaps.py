"""Movement over gaps, and spikes that are known only afterwards."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge.movement import Movement
from edge.movement_plan import HOUR_MS, MoveChannel, MovePlan

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
