"""Rain: sums over windows, curves, gauges that die, and what is not known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.rain_curves import CURVES, Curve, limit
from edge.rainfall import HOUR_MS, Rainfall, RainPlan

T0_MS = 1_700_006_400_000 // HOUR_MS * HOUR_MS
STEP_MS = HOUR_MS // 4
DAY_MS = 24 * HOUR_MS
NAN = float("nan")


def rainfall(*curves: Curve, gauges: tuple[str, ...] = ("near",), wet: bool = False) -> Rainfall:
    points = (("moisture", 0.4),) if wet else ()
    return Rainfall(RainPlan(gauges, (HOUR_MS, DAY_MS), curves, points), STEP_MS)


def series(of: Rainfall, kind: str, window_ms: int = 0) -> np.ndarray:
    (found,) = [s for s in of.series() if (s.kind, s.window_ms) == (kind, window_ms)]
    return found.values


def pour(of: Rainfall, steps: int, *mm: float, start: int = 0) -> int:
    for n in range(start, start + steps):
        of.push(T0_MS + n * STEP_MS, mm, ())
    return start + steps


@given(st.lists(st.sampled_from([0.0, 0.2, 1.4, 6.0, NAN]), min_size=1, max_size=300))
def test_sums_are_those_of_the_hours_they_say(rain: list[float]) -> None:
    of = rainfall()
    for n, mm in enumerate(rain):
        of.push(T0_MS + n * STEP_MS, (mm,), ())
    hours = [rain[i : i + 4] for i in range(0, len(rain), 4)]
    for window, kept in ((HOUR_MS, hours[-1:]), (DAY_MS, hours[-24:])):
        heard = [mm for hour in kept for mm in hour if mm == mm]
        value = series(of, "rain_sum", window)[0]
        if sum(heard) > 0:
            assert value == pytest.approx(sum(heard))
        elif value == value:
            assert value == 0.0


def test_a_dry_gauge_is_zero_and_a_silent_one_is_not_known() -> None:
    of = rainfall()
    n = pour(of, 96, 0.0)
    assert series(of, "rain_sum", DAY_MS)[0] == 0.0
    pour(of, 96, NAN, start=n)
    assert np.isnan(series(of, "rain_sum", DAY_MS)[0])


def at_least(of: Rainfall, kind: str, window_ms: int = 0) -> bool:
    (found,) = [s for s in of.series() if (s.kind, s.window_ms) == (kind, window_ms)]
    assert found.least is not None
    return bool(found.least[0])


def test_hours_not_heard_make_a_sum_and_a_curve_lower_bounds_for_as_long_as_they_count() -> None:
    of = rainfall(CURVES["guzzetti_3d"])
    n = pour(of, 4 * 80, 0.5)
    kinds = (("rain_sum", DAY_MS), ("rain_curve", 0))
    assert not any(at_least(of, *kind) for kind in kinds)
    n = pour(of, 4 * 12, NAN, start=n)
    assert all(at_least(of, *kind) for kind in kinds)
    n = pour(of, 4 * 13, 0.0, start=n)
    assert [at_least(of, *kind) for kind in kinds] == [True, True]
    n = pour(of, 4 * 12, 0.0, start=n)
    assert [at_least(of, *kind) for kind in kinds] == [False, True]
    again = rainfall(CURVES["guzzetti_3d"])
    again.restore(json.loads(json.dumps(of.snapshot(), allow_nan=False)))
    assert at_least(again, "rain_curve")
    pour(of, 4 * 48, 0.0, start=n)
    assert not at_least(of, "rain_curve")


def test_a_step_that_is_missing_now_and_then_does_not() -> None:
    of = rainfall(CURVES["guzzetti_3d"])
    for n in range(4 * 100):
        of.push(T0_MS + n * STEP_MS, (NAN if n % 40 == 7 else 0.5,), ())
    assert not at_least(of, "rain_sum", DAY_MS)


def test_the_next_gauge_counts_once_the_nearest_has_been_silent_for_a_day() -> None:
    of = rainfall(gauges=("near", "far"))
    n = pour(of, 4, 1.0, 9.0)
    assert of.gauge == "near"
    n = pour(of, 96, NAN, 2.0, start=n)
    assert of.gauge == "near"
    n = pour(of, 8, NAN, 2.0, start=n)
    assert of.gauge == "far"
    assert series(of, "rain_sum", HOUR_MS)[0] == 8.0
    pour(of, 1, 1.0, 2.0, start=n)
    assert of.gauge == "near"


@pytest.mark.parametrize("hours", [1, 6, 24, 72])
def test_a_curve_of_intensity_and_duration_gives_one_where_the_rain_stands_on_it(
    hours: int,
) -> None:
    """Caine 1980: I = 14.82 D^-0.39."""
    of = rainfall(CURVES["caine"])
    intensity = 14.82 * hours**-0.39
    n = pour(of, 40 * 96, 0.0)
    pour(of, 4 * hours, intensity / 4, start=n)
    assert series(of, "rain_curve")[0] == pytest.approx(1.0, abs=0.02)


def test_seattles_recent_rain_against_the_days_before() -> None:
    """P3 = 3.5 - 0.67 P15 inches."""
    of = rainfall(CURVES["seattle_p3_p15"])
    n = pour(of, 15 * 96, 2 * 25.4 / (15 * 96))  # P15 of 2 inches
    pour(of, 3 * 96, (3.5 - 0.67 * 2) * 25.4 / (3 * 96), start=n)
    assert series(of, "rain_curve")[0] == pytest.approx(1.0, abs=0.01)


def test_a_limit_of_the_site_and_a_second_condition_on_wet_ground() -> None:
    of = rainfall(limit("two days", 48, 60.0), wet=True)
    for n in range(4 * 48):
        of.push(T0_MS + n * STEP_MS, (60 / 4 / 48,), (0.3,))
    assert series(of, "rain_curve")[0] == pytest.approx(1.0)
    assert series(of, "wetness")[0] == pytest.approx(0.75)


def test_a_month_without_a_word_costs_no_month_of_work() -> None:
    of = rainfall(CURVES["caine"])
    of.push(T0_MS, (5.0,), ())
    of.push(T0_MS + 400 * DAY_MS, (0.0,), ())
    assert not series(of, "rain_sum", HOUR_MS)[0] > 0


@given(st.lists(st.sampled_from([0.0, 0.2, 6.0, NAN]), max_size=200), st.integers(0, 200))
def test_a_snapshot_continues_bit_for_bit(rain: list[float], cut: int) -> None:
    whole = rainfall(CURVES["caine"], CURVES["seattle_p3_p15"])
    first = rainfall(CURVES["caine"], CURVES["seattle_p3_p15"])
    second = rainfall(CURVES["caine"], CURVES["seattle_p3_p15"])
    for n, mm in enumerate(rain):
        whole.push(T0_MS + n * STEP_MS, (mm,), ())
        if n == cut:
            second.restore(json.loads(json.dumps(first.snapshot())))
        (first if n < cut else second).push(T0_MS + n * STEP_MS, (mm,), ())
    if len(rain) > cut:
        assert json.dumps(second.snapshot()) == json.dumps(whole.snapshot())
