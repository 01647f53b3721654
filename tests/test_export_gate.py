"""What may be armed, and that nothing it is judged by has seen the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.history import History
from export.models.autoencoder import Layer, Reconstruction
from export.models.gate import (
    FALSE_ALARMS,
    Skill,
    channel_errors,
    detection_rate,
    faulty,
    judge_detectors,
    judge_forecaster,
    naive_forecasts,
)
from export.models.thresholds import MARGIN, movement_reference
from export.models.windows import increments, scales, sequences, split, stacked

HORIZONS = (1, 3, 7)


def skill(target: str, mae: float, naive: float, horizon: int = 36) -> Skill:
    return Skill(target, horizon, mae, naive, "drift", 0.8)


def history(values: list[float] | np.ndarray, breaks: tuple[int, ...] = ()) -> History:
    column = np.asarray(values, dtype=np.float64)
    reset = np.zeros(len(column), dtype=bool)
    reset[list(breaks)] = True
    return History(np.arange(len(column)) * 1000, column[:, None], reset, ("crack",), "", ())


@pytest.mark.parametrize(
    ("mae", "naive", "skill_is"), [(0.5, 1.0, 0.5), (1.0, 1.0, 0.0), (3.0, 1.0, -2.0), (1, 0, 0)]
)
def test_skill_is_one_less_the_error_over_the_naive_error(
    mae: float, naive: float, skill_is: float
) -> None:
    assert skill("a", mae, naive).skill == pytest.approx(skill_is)


def test_a_forecaster_that_beats_every_naive_forecast_is_armed() -> None:
    verdict = judge_forecaster((skill("a", 0.5, 1.0), skill("b", 0.9, 1.0)), ("a", "b"), 36)
    assert verdict.armed
    assert "b at 36 steps: error 0.9 against 1 of drift (skill +0.10)" in verdict.reason


@pytest.mark.parametrize("mae", [1.0, 1.2])
def test_one_target_no_better_than_naive_puts_the_forecaster_in_shadow(mae: float) -> None:
    verdict = judge_forecaster((skill("a", 0.1, 1.0), skill("b", mae, 1.0)), ("a", "b"), 36)
    assert not verdict.armed
    assert verdict.reason.startswith("no better than the best naive forecast; b at 36 steps")


def test_a_naive_forecast_without_error_cannot_be_beaten() -> None:
    assert not judge_forecaster((skill("a", 0.0, 0.0),), ("a",), 36).armed


def test_only_the_longest_horizon_decides() -> None:
    bad_near = (skill("a", 5.0, 1.0, horizon=1), skill("a", 0.5, 1.0))
    assert judge_forecaster(bad_near, ("a",), 36).armed
    good_near = (skill("a", 0.1, 1.0, horizon=1), skill("a", 1.5, 1.0))
    assert not judge_forecaster(good_near, ("a",), 36).armed


@pytest.mark.parametrize("skills", [(), (skill("a", 0.1, 1.0),), (skill("b", 0.1, 1.0, 1),)])
def test_a_target_that_could_not_be_judged_is_never_armed(skills: tuple[Skill, ...]) -> None:
    verdict = judge_forecaster(skills, ("a", "b"), 36)
    assert not verdict.armed
    assert "too little of" in verdict.reason
    assert "b" in verdict.reason


@pytest.mark.parametrize(
    ("autoencoder", "pca", "armed"),
    [
        (0.5, 0.4, (True, False)),
        (0.4, 0.5, (False, True)),
        (0.4, 0.4, (False, True)),
        (0.0, 0.0, (False, False)),
        (FALSE_ALARMS, FALSE_ALARMS, (False, False)),
    ],
)
def test_the_better_detector_is_armed_and_neither_when_both_find_nothing(
    autoencoder: float, pca: float, armed: tuple[bool, bool]
) -> None:
    verdicts = judge_detectors(autoencoder, pca)
    assert tuple(v.armed for v in verdicts) == armed
    for verdict in verdicts:
        assert f"{autoencoder:.0%} of injected faults against {pca:.0%} of PCA" in verdict.reason


def gives_back(share: float, window: int = 8, features: int = 3) -> Reconstruction:
    """A reconstruction that gives back a part of what it takes: 1.0 finds no fault at all."""
    size = window * features
    kernel = (share * np.eye(size)).astype(np.float32)
    layer = Layer(kernel, np.zeros(size, dtype=np.float32), relu=False)
    return Reconstruction(window, features, (layer,))


def test_a_detector_that_reconstructs_faults_finds_none_of_them() -> None:
    random = np.random.default_rng(0)
    clean, test = (random.normal(0, 0.1, (400, 8, 3)).astype(np.float32) for _ in range(2))
    weights = np.eye(3)
    blind = detection_rate(gives_back(1.0), clean, test, weights, 1)
    sharp = detection_rate(gives_back(0.0), clean, test, weights, 1)
    assert blind == 0.0
    assert sharp > 0.6
    assert channel_errors(gives_back(0.0), test, weights).shape == (400, 3)


def test_each_window_gets_a_fault_in_one_feature_and_the_clean_one_stays() -> None:
    clean = np.random.default_rng(1).normal(0, 1, (50, 10, 4)).astype(np.float32)
    kept = clean.copy()
    changed = (faulty(clean, 3) != clean).any(axis=1).sum(axis=1)
    assert changed.tolist() == [1] * 50
    assert np.array_equal(clean, kept)
    assert np.array_equal(faulty(clean, 3), faulty(clean, 3))


@given(st.integers(20, 59), st.floats(-1e3, 1e3))
def test_a_naive_forecast_does_not_know_the_future(now: int, jump: float) -> None:
    random = np.random.default_rng(2)
    y = np.cumsum(random.normal(0, 1, 60))
    train = slice(0, 20 - HORIZONS[-1])
    changed = y.copy()
    changed[now + 1 :] += jump
    before, after = (
        naive_forecasts(increments(history(v), ("crack",), HORIZONS), HORIZONS, train)
        for v in (y, changed)
    )
    assert set(before) == {"persistence", "last_increment", "drift"}
    for name in before:
        known = slice(0, now + 1)
        assert np.array_equal(before[name][known], after[name][known], equal_nan=True), name


def test_the_naive_forecasts_are_what_their_names_say() -> None:
    y = np.array([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])
    naive = naive_forecasts(increments(history(y), ("crack",), (1, 2)), (1, 2), slice(0, 2))
    assert (naive["persistence"] == 0).all()
    assert naive["last_increment"][3, 0].tolist() == [3.0, 5.0]
    assert np.isnan(naive["last_increment"][1, 0, 1])
    assert naive["drift"][5, 0].tolist() == [1.5, 4.0]


@given(st.sets(st.integers(1, 29), max_size=5))
def test_an_increment_over_a_break_or_the_end_is_unknown(breaks: set[int]) -> None:
    y = np.arange(30.0) ** 2
    found = increments(history(y, tuple(breaks)), ("crack",), HORIZONS)
    for t in range(30):
        for j, h in enumerate(HORIZONS):
            value = found[t, 0, j]
            if t + h >= 30 or any(t < b <= t + h for b in breaks):
                assert np.isnan(value), (t, h)
            else:
                assert value == y[t + h] - y[t], (t, h)


def test_a_horizon_longer_than_the_history_is_unknown_throughout() -> None:
    assert np.isnan(increments(history(np.arange(5.0)), ("crack",), (1, 5, 99))[:, :, 1:]).all()


@given(st.integers(200, 10_000), st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_the_parts_follow_one_another_in_time_without_overlap(
    steps: int, calibration: float, test: float
) -> None:
    parts = split(steps, calibration, test)
    assert (parts.train.start, parts.test.stop) == (0, steps)
    assert parts.train.stop == parts.calibration.start < parts.calibration.stop
    assert parts.calibration.stop == parts.test.start < steps


def test_a_scale_is_never_zero_however_still_the_slope() -> None:
    still = increments(history([1.0] * 30), ("crack",), (1, 3))
    assert (scales(still, slice(0, 20)) > 0).all()
    assert (scales(np.full((9, 1, 1), 2.0), slice(0, 9)) > 0).all()


def test_no_sequence_or_window_holds_an_unknown_step() -> None:
    x = np.arange(20, dtype=np.float32)[:, None]
    known = np.ones(20, dtype=bool)
    known[8] = False
    labels = np.zeros((20, 1, 1))
    found, wanted = sequences(x, known, labels, 5, 1)
    assert (len(found), wanted.shape) == (11, (11, 5, 1, 1))
    assert 8.0 not in found
    windows = stacked(x, known, 4)
    assert len(windows) == 13
    assert 8.0 not in windows
    assert stacked(x, ~known, 4).shape == (0, 4, 1)


def test_the_movement_reference_sees_its_own_part_alone() -> None:
    y = np.concatenate([np.arange(50) * 0.1, 5.0 + np.arange(50) * 9.0])
    quiet = movement_reference(history(y), ("crack",), 5, slice(0, 50))
    assert quiet == pytest.approx((MARGIN * 0.5,), rel=0.3)
    loud = movement_reference(history(y), ("crack",), 5, slice(50, 100))
    assert loud[0] > 50 * quiet[0]
