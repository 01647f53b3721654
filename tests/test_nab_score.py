"""The scorer of NAB against cases done by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

PATH = Path(__file__).parent.parent / "benchmarks" / "nab_score.py"


def loaded() -> Any:
    spec = importlib.util.spec_from_file_location("nab_score", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nab_score"] = module
    spec.loader.exec_module(module)
    return module


nab = loaded()


def series(*windows: tuple[int, int], rows: int = 1000) -> Any:
    return nab.Series("made", np.zeros(rows), windows)


def rows(*places: int) -> np.ndarray:
    return np.array(places, dtype=np.intp)


def test_the_first_row_of_every_window_is_perfect_and_silence_is_nought() -> None:
    one = series((300, 399), (700, 799))
    assert nab.normalised(nab.score_rows(one, rows(300, 700)), 2) == pytest.approx(100.0)
    assert nab.normalised(nab.score_rows(one, rows()), 2) == 0.0


def test_a_late_detection_counts_less_and_a_second_one_nothing() -> None:
    one = series((300, 399))
    early, late = (nab.score_rows(one, rows(r)) for r in (310, 390))
    assert early > late > 0.0
    assert nab.score_rows(one, rows(310, 350, 399)) == early
    at_end = nab.score_rows(one, rows(399))
    assert at_end == pytest.approx((2 / (1 + np.exp(-0.05)) - 1) / (2 / (1 + np.exp(-5.0)) - 1))


def test_a_false_alarm_costs_its_weight_and_little_just_after_a_window() -> None:
    one = series((300, 399))
    assert nab.score_rows(one, rows(200)) == pytest.approx(-1.0 - 0.11)
    near = nab.score_rows(one, rows(401)) + 1.0
    far = nab.score_rows(one, rows(999)) + 1.0
    assert far == pytest.approx(-0.11)
    assert far < near < 0.0


def test_the_probation_is_not_judged() -> None:
    one = series((300, 399))
    assert one.probation == 150
    assert nab.score_rows(one, rows(10, 149)) == nab.score_rows(one, rows())
    assert series(rows=9000).probation == 750


def test_the_best_threshold_is_found_over_all_files() -> None:
    corpus = (series((300, 399)), series((500, 599)))
    scores = [np.zeros(1000), np.zeros(1000)]
    scores[0][300], scores[1][500], scores[1][200] = 0.9, 0.8, 0.7
    assert nab.standard(corpus, scores) == pytest.approx(100.0)
    assert nab.standard(corpus, [np.zeros(1000)] * 2) == 0.0


@given(st.sets(st.integers(0, 999), max_size=30))
def test_no_detection_scores_above_the_perfect_one(places: set[int]) -> None:
    one = series((300, 399), (700, 799))
    assert nab.score_rows(one, rows(*sorted(places))) <= 2.0 + 1e-9
