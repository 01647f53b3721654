"""Margins that learn: coverage comes back after the slope changes, and nothing runs away."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.conformal import Conformal, widened

LEVELS = (0.05, 0.5, 0.95)
NAN = float("nan")


def fresh(rate: float = 0.05, margin: float = 0.0, horizons: tuple[int, ...] = (1,)) -> Conformal:
    n = len(horizons)
    return Conformal(LEVELS, horizons, 1, (1.0,) * n, (margin,) * n, rate)


def covered(conformal: Conformal, sd: float, steps: int, seed: int) -> float:
    """Walk with increments of this spread against a forecast of -1 .. 1; the share inside."""
    random = np.random.default_rng(seed)
    value, inside = 0.0, []
    for _ in range(steps):
        conformal.push([value], [[-1.0, 0.0, 1.0]])
        low, _, high = widened([-1.0, 0.0, 1.0], conformal.margins[0])
        step = random.normal(0.0, sd)
        inside.append(low <= step <= high)
        value += step
    return float(np.mean(inside[steps // 2 :]))


def test_coverage_comes_back_when_the_slope_moves_more_than_in_training() -> None:
    assert covered(fresh(rate=0.0), 3.0, 2000, seed=1) < 0.4
    assert 0.86 < covered(fresh(), 3.0, 2000, seed=1) < 0.94


def test_intervals_that_are_too_wide_become_narrower() -> None:
    calm = fresh(margin=5.0)
    assert 0.86 < covered(calm, 0.2, 4000, seed=2) < 0.96
    assert calm.margins[0][0] < 0.0


def test_rate_zero_never_moves() -> None:
    fixed = fresh(rate=0.0, margin=0.3)
    covered(fixed, 9.0, 50, seed=3)
    assert fixed.margins == ((0.3,),)


def test_a_forecast_is_judged_at_its_horizon_not_before() -> None:
    conformal = fresh(rate=1.0, horizons=(3,))
    values = [0.0, 50.0, 50.0, 0.0, 50.0, 50.0, 50.0]  # back at 0.0 when the first comes due
    seen = []
    for value in values:
        conformal.push([value], [[-1.0, 0.0, 1.0]])
        seen.append(conformal.margins[0][0])
    assert seen[:3] == [0.0] * 3
    assert seen[3] < 0.0  # inside: narrower
    assert seen[6] > seen[3]  # 50 in three steps: missed


def test_a_missing_value_drops_the_forecast_and_a_reset_all_of_them() -> None:
    conformal = fresh(rate=1.0)
    for value in (0.0, NAN, 100.0):
        conformal.push([value], [[-1.0, 0.0, 1.0]])
    assert conformal.margins == ((0.0,),)
    conformal.reset()
    conformal.push([1e9], [[-1.0, 0.0, 1.0]])
    assert conformal.margins == ((0.0,),)


def test_a_broken_sensor_does_not_widen_without_end() -> None:
    conformal = fresh(rate=0.5)
    for i in range(2000):
        conformal.push([1e9 * (i % 2)], [[-1.0, 0.0, 1.0]])
    assert conformal.margins[0][0] <= 50.0


@given(
    row=st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=5),
    margins=st.lists(st.floats(-1e7, 1e7), min_size=2, max_size=2),
)
def test_published_quantiles_always_rise_around_the_median(
    row: list[float], margins: list[float]
) -> None:
    found = widened(row, margins)
    assert list(found) == sorted(found)
    assert found[2] == sorted(row)[2]


@given(st.lists(st.floats(-10, 10) | st.just(NAN), min_size=2, max_size=30), st.integers(0, 29))
def test_a_restart_changes_nothing(series: list[float], cut: int) -> None:
    whole, parted = fresh(horizons=(1, 4)), fresh(horizons=(1, 4))
    rows = [[-1.0, 0.0, 1.0], [-2.0, 0.5, 3.0]]
    for i, value in enumerate(series):
        whole.push([value], rows)
        if i == cut:
            state = json.loads(json.dumps(parted.snapshot()))
            parted = fresh(horizons=(1, 4))
            parted.restore(state)
        parted.push([value], rows)
        assert parted.margins == whole.margins
