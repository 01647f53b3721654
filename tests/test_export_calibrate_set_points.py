"""Set points: the onsets that are counted are those of the rule engine, and budgets are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.evidence import Series
from edge.rule import Condition, Rule
from edge.rule_state import RuleEngine
from export.calibrate.onsets import KEEP, onsets, peaks, trace
from export.calibrate.set_points import APART, choose, rounded_up

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
YEAR_H = 8766
BUDGETS = (4.0, 1.0, 0.3, 0.1)


def counted(time_ms: np.ndarray, values: np.ndarray, rule: Rule) -> list[int]:
    """When the rule of an engine begins to stand, as steps."""
    live = np.full(values.shape[1], np.nan)
    names = tuple(f"c{i}" for i in range(values.shape[1]))
    series = Series("velocity", DAY_MS, names, ("mm/d",) * len(names), live)
    engine = RuleEngine((rule,), (series,))
    found, stood = [], False
    for i, at in enumerate(time_ms.tolist()):
        live[:] = values[i]
        engine.step(at, 0)
        if engine.rules[0].stands and not stood:
            found.append(i)
        stood = engine.rules[0].stands
    return found


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    at_least=st.integers(1, 3),
    for_h=st.sampled_from([0, 3, 6]),
    valid_h=st.sampled_from([0, 12, 24]),
    threshold=st.floats(0.3, 3.0),
    gaps=st.booleans(),
)
def test_onsets_are_those_of_the_rule_engine(
    seed: int, at_least: int, for_h: int, valid_h: int, threshold: float, gaps: bool
) -> None:
    random = np.random.default_rng(seed)
    steps = np.cumsum(random.integers(1, 4, 400)) if gaps else np.arange(400)
    time_ms = steps * HOUR_MS
    shared = np.abs(np.cumsum(random.normal(0, 0.3, 400)))
    values = np.abs(shared[:, None] + random.normal(0, 0.3, (400, 3)))
    names = ("c0", "c1", "c2")
    condition = Condition(
        "velocity", DAY_MS, threshold, KEEP * threshold, False, names, at_least, False
    )
    rule = Rule("x", 1, (condition,), for_h * HOUR_MS, valid_h * HOUR_MS)
    each = trace(time_ms, values, at_least, for_h * HOUR_MS, valid_h * HOUR_MS)
    assert onsets(each, threshold) == counted(time_ms, values, rule)


def slope(years: float, seed: int, rate: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Speeds of two sensors every three hours: creep, and accelerations with heavy-tailed peaks."""
    random = np.random.default_rng(seed)
    n = round(years * YEAR_H / 3)
    speed = np.full(n, 0.3)
    for _ in range(random.poisson(rate * years)):
        at, days = int(random.integers(n)), random.uniform(1.0, 6.0)
        top = 0.5 * (1.0 + random.pareto(1.8))
        speed += top * np.exp(-(((np.arange(n) - at) / (8.0 * days)) ** 2))
    values = speed[:, None] * np.array([1.0, 0.8]) + random.normal(0, 0.02, (n, 2))
    return np.arange(n, dtype=np.int64) * 3 * HOUR_MS, values


def points_of(years: float, seed: int):
    time_ms, values = slope(years, seed)
    spans = ((1, 3, 24), (2, 3, 24), (2, 6, 48), (2, 6, 48))
    traces = tuple(trace(time_ms, values, k, f * HOUR_MS, v * HOUR_MS) for k, f, v in spans)
    return choose(traces, BUDGETS, years, 0.6), traces


def test_in_the_history_itself_no_level_has_more_onsets_than_it_may() -> None:
    for seed in range(6):
        points, traces = points_of(4.0, seed)
        for point, each in zip(points, traces, strict=True):
            assert point.onsets == len(onsets(each, point.threshold))
            assert point.onsets <= max(point.budget * 4.0, 0.0) + 1e-9


def test_budgets_are_kept_on_years_that_were_held_back() -> None:
    years, sites = 4.0, 16
    totals = np.zeros(4)
    for seed in range(sites):
        points, _ = points_of(years, seed)
        _, later = points_of(years, 1000 + seed)
        totals += [len(onsets(e, p.threshold)) for p, e in zip(points, later, strict=True)]
    yearly = totals / (years * sites)
    # 64 held-back years: the sd of a rate b is sqrt(b / 64).
    for rate, budget in zip(yearly, BUDGETS, strict=True):
        assert rate <= budget + 2.0 * np.sqrt(budget / (years * sites))
    assert yearly[0] > 1.0  # kept, and not by thresholds out of all reach


def test_levels_rise_and_say_what_they_rest_on() -> None:
    points, _ = points_of(4.0, 3)
    assert [p.level for p in points] == [1, 2, 3, 4]
    for lower, higher in zip(points, points[1:], strict=False):
        assert higher.threshold >= 0.999 * APART * lower.threshold
    assert points[0].basis == "history"
    assert points[0].low <= points[0].threshold
    assert points[3].basis in ("tail", "floor")
    assert not points[3].supported  # 4 years cannot show 0.1 a year
    assert points[3].bound == pytest.approx(3.0 / 4.0, rel=0.01)


def test_a_slope_at_rest_gets_its_points_from_noise_alone() -> None:
    time_ms = np.arange(YEAR_H, dtype=np.int64) * HOUR_MS
    each = trace(time_ms, np.zeros((YEAR_H, 2)), 1, 0, DAY_MS)
    points = choose((each,) * 4, BUDGETS, 1.0, 0.5)
    assert [p.basis for p in points] == ["floor"] * 4
    assert points[0].threshold == 0.5
    assert all(p.onsets == 0 for p in points)


def test_one_movement_is_one_peak_however_often_it_goes_up_and_down() -> None:
    hours = np.arange(30 * 24)
    wave = np.exp(-(((hours - 360) / 24.0) ** 2)) * (2.0 + np.sin(hours))
    height, when = peaks(trace(hours * HOUR_MS, wave[:, None], 1, 0, 10 * DAY_MS))
    large = height[height > 0.5]
    assert len(large) == 1
    assert abs(when[np.argmax(height)] - 360 * HOUR_MS) < DAY_MS


@given(st.floats(1e-6, 1e6))
def test_a_set_point_is_rounded_up_to_two_digits(value: float) -> None:
    rounded = rounded_up(value)
    assert value * (1 - 1e-9) <= rounded <= 1.1 * value * (1 + 1e-9)
    assert float(f"{rounded:.2g}") == pytest.approx(rounded)
