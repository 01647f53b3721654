"""Time to failure on Voight creep: its interval, the exponent, and what has no failure."""

from __future__ import annotations

import numpy as np
import pytest

from edge.movement import NONE_H, Movement
from edge.movement_plan import HOUR_MS, MoveChannel, MovePlan
from export.generator.voight import Creep

T0_MS = 1_700_000_000_000
STEADY_D = 14.0
SENSORS = 12


def failing(alpha: float, life_d: float, noise: float = 0.03) -> tuple[np.ndarray, np.ndarray]:
    """Return x of many sensors, hourly until the failure, and the days left at each row."""
    fails = STEADY_D + life_d
    day = np.arange(int(fails * 24.0 - 1e-9) + 1) / 24.0
    creep = Creep(0.6, life_d, alpha)
    moved = 0.6 * np.minimum(day, STEADY_D) + creep.moved(np.maximum(day - STEADY_D, 0.0))
    random = np.random.default_rng(round(100 * alpha))
    return moved[:, None] + noise * random.standard_normal((len(day), SENSORS)), fails - day


def follow(x: np.ndarray, alpha: float | None = None) -> np.ndarray:
    """Return [rows, (best, low, high, exponent), sensors], times in days."""
    plan = MovePlan(tuple(MoveChannel(f"c{i}", "mm") for i in range(x.shape[1])), alpha=alpha)
    movement = Movement(plan, HOUR_MS)
    kinds = ("time_to_failure", "time_to_failure_low", "time_to_failure_high")
    series = {s.kind: s.values for s in movement.series()}
    out = []
    for i, row in enumerate(x.tolist()):
        movement.push(T0_MS + i * HOUR_MS, row)
        hours = [np.where(series[kind] < NONE_H, series[kind], np.nan) for kind in kinds]
        out.append([*(each / 24.0 for each in hours), movement.failure.alpha])
    return np.array(out)


@pytest.mark.parametrize("alpha", [1.5, 1.6, 2.0, 2.4])
def test_the_failure_lies_within_the_interval_and_comes_nearer(alpha: float) -> None:
    x, left = failing(alpha, 15.0)
    found = follow(x)
    last = slice(len(x) - 49, len(x) - 1)
    best, low, high = (found[last, k] for k in range(3))
    seen = np.isfinite(best)
    every = np.broadcast_to(left[last, None], best.shape)
    assert seen[-24:].mean() > 0.9
    assert ((low <= every) & (every <= high))[seen].mean() >= 0.8
    off = np.nanmedian(np.abs(best - every), axis=1)
    assert off[-6:].mean() < off[:12].mean()
    assert off[-12:].max() < 0.25


@pytest.mark.parametrize("alpha", [1.5, 2.0, 2.5])
def test_the_exponent_is_found(alpha: float) -> None:
    found = follow(failing(alpha, 18.0)[0])
    assert np.nanmedian(found[-12:-4, 3]) == pytest.approx(alpha, abs=0.13)


def test_a_fixed_exponent_is_kept() -> None:
    x, left = failing(2.0, 15.0)
    found = follow(x, alpha=2.0)
    assert (found[-12, 3] == 2.0).all()
    assert np.median(found[-12, 0]) == pytest.approx(left[-12], abs=0.2)


def test_the_interval_holds_the_estimate_and_is_never_below_now() -> None:
    found = follow(failing(2.2, 12.0)[0])
    best, low, high = found[:, 0], found[:, 1], found[:, 2]
    seen = np.isfinite(best)
    assert seen.any()
    assert (np.isfinite(low) == seen).all()
    assert (low[seen] >= 0.0).all()
    assert (low[seen] <= best[seen]).all()
    assert (best[seen] <= high[seen]).all()


def test_a_slope_that_creeps_steadily_has_no_failure_ahead() -> None:
    random = np.random.default_rng(0)
    n = 60 * 24
    x = 0.6 * np.arange(n)[:, None] / 24.0 + 0.03 * random.standard_normal((n, SENSORS))
    assert np.isfinite(follow(x)[:, 0]).mean() < 0.01


def test_a_failure_is_seen_as_soon_as_the_acceleration_is_believed() -> None:
    x, _ = failing(2.5, 8.0, noise=0.02)
    plan = MovePlan(tuple(MoveChannel(f"c{i}", "mm") for i in range(x.shape[1])))
    movement = Movement(plan, HOUR_MS)
    series = {s.kind: s.values for s in movement.series()}
    believed, seen = np.zeros(SENSORS), np.zeros(SENSORS)
    for i, row in enumerate(x.tolist()):
        movement.push(T0_MS + i * HOUR_MS, row)
        believed += series["stage"] >= 1
        seen += series["time_to_failure"] < NONE_H
    assert believed.min() > 6
    assert (believed - seen).max() <= 4  # the hours before count, though nothing was believed then
