"""Labels, splits, sequences: nothing a model is trained on or judged by has seen the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.history import History
from export.models.folds import folds
from export.models.thresholds import MARGIN, movement_reference
from export.models.windows import increments, runs, scales, sequences, split, stacked

HORIZONS = (1, 3, 7)


def history(values: list[float] | np.ndarray, breaks: tuple[int, ...] = ()) -> History:
    column = np.asarray(values, dtype=np.float64)
    reset = np.zeros(len(column), dtype=bool)
    reset[list(breaks)] = True
    return History(np.arange(len(column)) * 1000, column[:, None], reset, ("crack",), "", ())


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


@given(st.integers(100, 5000), st.floats(0.1, 0.6), st.integers(1, 6), st.integers(1, 20))
def test_no_label_of_a_fold_reaches_into_its_block(
    steps: int, share: float, count: int, longest: int
) -> None:
    found = folds(steps, share, count, longest)
    assert len(found) == count
    assert found[-1].block.stop == steps
    for before, after in zip(found, found[1:], strict=False):
        assert before.block.stop == after.block.start
    for fold in found:
        assert fold.train.start == 0
        assert fold.train.stop + longest <= fold.block.start or fold.train.stop == 0


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.sets(st.integers(1, 39), max_size=4))
def test_every_known_step_is_in_one_run_and_no_run_goes_over_a_break(
    known: list[bool], breaks: set[int]
) -> None:
    steps = len(known)
    x = np.arange(1, steps + 1, dtype=np.float32)[:, None]
    reset = np.zeros(steps, dtype=bool)
    reset[[b for b in breaks if b < steps]] = True
    labels = np.arange(steps, dtype=np.float64)[:, None, None]
    xs, ys = runs(x, np.array(known), reset, labels)
    inside = xs[..., 0][np.isfinite(ys[..., 0, 0])]
    assert sorted(inside.tolist()) == [i + 1 for i in range(steps) if known[i]]
    for row in xs[..., 0]:
        run = [int(v) - 1 for v in row if v]
        assert run == list(range(run[0], run[0] + len(run)))
        assert not reset[run[1:]].any()
