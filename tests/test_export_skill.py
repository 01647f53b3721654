"""What may be armed, and what its intervals are worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.history import History
from export.models.folds import folds
from export.models.gate import Skill, forecast_skill, judge_forecaster
from export.models.intervals import adapted, judged, margins
from export.models.naives import drifts, naive_forecasts
from export.models.windows import increments

HORIZONS = (1, 3, 7)
LEVELS = (0.05, 0.5, 0.95)


def skill(target: str, rmse: float, naive: float, horizon: int = 36, error: float = 0.0) -> Skill:
    rivals = (("persistence", naive * 2), ("drift", naive))
    return Skill(target, horizon, rmse, 0.0, rmse, rivals, naive, (0.1, 0.2), error)


def history(values: np.ndarray) -> History:
    reset = np.zeros(len(values), dtype=bool)
    return History(np.arange(len(values)) * 1000, values[:, None], reset, ("crack",), "", ())


@pytest.mark.parametrize(
    ("rmse", "naive", "skill_is"), [(0.5, 1.0, 0.5), (1.0, 1.0, 0.0), (3.0, 1.0, -2.0), (1, 0, 0)]
)
def test_skill_is_one_less_the_error_over_the_best_naive_error(
    rmse: float, naive: float, skill_is: float
) -> None:
    assert skill("a", rmse, naive).skill == pytest.approx(skill_is)


def test_a_forecaster_that_beats_every_naive_forecast_is_armed() -> None:
    verdict = judge_forecaster((skill("a", 0.5, 1.0), skill("b", 0.9, 1.0)), ("a", "b"), 36)
    assert verdict.armed
    assert "b at 36 steps: RMSE 0.9 against 1 of drift (skill +0.10" in verdict.reason


@pytest.mark.parametrize("rmse", [1.0, 1.2])
def test_one_target_no_better_than_naive_puts_the_forecaster_in_shadow(rmse: float) -> None:
    verdict = judge_forecaster((skill("a", 0.1, 1.0), skill("b", rmse, 1.0)), ("a", "b"), 36)
    assert not verdict.armed
    assert verdict.reason.startswith("no better than the best naive forecast; b at 36 steps")


def test_a_skill_within_its_own_error_arms_nothing() -> None:
    assert judge_forecaster((skill("a", 0.9, 1.0, error=0.05),), ("a",), 36).armed
    assert not judge_forecaster((skill("a", 0.9, 1.0, error=0.15),), ("a",), 36).armed


def test_one_block_held_back_arms_nothing() -> None:
    lucky = replace(skill("a", 0.5, 1.0), by_fold=(0.5,))
    verdict = judge_forecaster((lucky,), ("a",), 36)
    assert not verdict.armed
    assert "one block held back" in verdict.reason


def test_a_naive_forecast_without_error_cannot_be_beaten() -> None:
    assert not judge_forecaster((skill("a", 0.0, 0.0),), ("a",), 36).armed


def test_only_the_longest_horizon_decides() -> None:
    bad_near = (skill("a", 5.0, 1.0, horizon=1), skill("a", 0.5, 1.0))
    assert judge_forecaster(bad_near, ("a",), 36).armed
    good_near = (skill("a", 0.1, 1.0, horizon=1), skill("a", 1.5, 1.0))
    assert not judge_forecaster(good_near, ("a",), 36).armed


def test_a_skill_one_step_ahead_on_an_interpolated_series_is_refused() -> None:
    made = frozenset({"a"})
    verdict = judge_forecaster((skill("a", 0.1, 1.0, horizon=1),), ("a",), 1, made)
    assert not verdict.armed
    assert "a is interpolated" in verdict.reason
    assert judge_forecaster((skill("a", 0.1, 1.0),), ("a",), 36, made).armed


@pytest.mark.parametrize("skills", [(), (skill("a", 0.1, 1.0),), (skill("b", 0.1, 1.0, 1),)])
def test_a_target_that_could_not_be_judged_is_never_armed(skills: tuple[Skill, ...]) -> None:
    verdict = judge_forecaster(skills, ("a", "b"), 36)
    assert not verdict.armed
    assert "too little of" in verdict.reason
    assert "b" in verdict.reason


def test_skill_is_measured_on_the_rows_that_every_forecast_has() -> None:
    random = np.random.default_rng(1)
    labels = random.normal(0, 1, (100, 1, 1))
    naive = {"persistence": np.zeros_like(labels), "last_increment": np.full_like(labels, np.nan)}
    naive["last_increment"][60:] = 0.5
    ours = np.stack([0.9 * labels, 0.8 * labels])
    found = forecast_skill(ours, labels, naive, folds(100, 0.5, 2, 1), ("a",), (1,))[0]
    truth = labels[60:, 0, 0]
    assert found.naive_rmse == pytest.approx(np.sqrt((truth**2).mean()))
    assert found.rmse == pytest.approx(0.15 * np.sqrt((truth**2).mean()))
    assert found.best_naive == "persistence"
    assert len(found.by_fold) == 2
    assert found.standard_error > 0.0


@given(st.integers(20, 59), st.floats(-1e3, 1e3))
def test_a_naive_forecast_does_not_know_the_future(now: int, jump: float) -> None:
    y = np.cumsum(np.random.default_rng(2).normal(0, 1, 60))
    changed = y.copy()
    changed[now + 1 :] += jump
    before, after = (
        naive_forecasts(history(v), ("crack",), HORIZONS, (0.1,), 12) for v in (y, changed)
    )
    assert set(before) == {"persistence", "last_increment", "drift", "linear", "seasonal"}
    for name in before:
        known = slice(0, now + 1)
        assert np.array_equal(before[name][known], after[name][known], equal_nan=True), name


def test_the_drift_is_the_mean_step_of_the_training_part() -> None:
    y = np.array([0.0, 1.0, 3.0, 6.0, 10.0, 150.0])
    labels = increments(history(y), ("crack",), (1, 2))
    assert drifts(labels, slice(0, 4)) == (2.5,)
    assert drifts(labels, slice(0, 0)) == (0.0,)


def test_margins_make_intervals_cover_what_they_claim_on_new_data() -> None:
    random = np.random.default_rng(3)
    truth = random.normal(0, 3.0, (4000, 1, 1))
    quantiles = np.tile(np.array([-1.0, 0.0, 1.0]), (4000, 1, 1, 1))
    margin = margins(quantiles[:2000], truth[:2000], LEVELS, np.ones((1, 1)))
    wide = quantiles[2000:, 0, 0] + np.array([-margin[0, 0, 0], 0.0, margin[0, 0, 0]])
    found = judged(wide[:, 0], wide[:, 2], truth[2000:, 0, 0], 0.9)
    assert 0.88 < found.covered < 0.92


def test_a_margin_from_few_errors_is_the_worst_of_them_and_from_none_is_zero() -> None:
    truth = np.array([1.0, 2.0, 5.0])[:, None, None]
    quantiles = np.zeros((3, 1, 1, 3))
    assert margins(quantiles, truth, LEVELS, np.full((1, 1), 2.0)) == pytest.approx(2.5)
    assert margins(quantiles, truth * np.nan, LEVELS, np.ones((1, 1))) == 0.0


def test_the_adapting_intervals_follow_a_slope_that_wakes_up() -> None:
    random = np.random.default_rng(4)
    y = np.cumsum(np.concatenate([random.normal(0, 0.5, 1000), random.normal(0, 4.0, 3000)]))
    truth = np.append(np.diff(y), np.nan)
    quantiles = np.tile(np.array([-1.0, 0.0, 1.0]), (len(y), 1, 1, 1))
    fixed, adaptive = (
        adapted(y[:, None], quantiles, LEVELS, (1,), np.ones((1, 1)), np.zeros((1, 1, 1)), rate)
        for rate in (0.0, 0.05)
    )
    late = slice(2000, None)
    found = [
        judged(q[late, 0, 0, 0], q[late, 0, 0, 2], truth[late], 0.9) for q in (fixed, adaptive)
    ]
    assert found[0].covered < 0.4
    assert 0.86 < found[1].covered < 0.94
    assert found[1].winkler < found[0].winkler
