"""Naive forecasts: what their names say, streaming, and across a restart."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.manifest import NAIVE
from edge.naive import Naive

HORIZONS = (1, 3)
NAN = float("nan")


def one(kind: str, *, drift: float = 0.5, window: int = 4, season: int = 4) -> Naive:
    return Naive((kind, kind), (drift,), HORIZONS, window, season)


def last(kind: str, series: list[float], **options: float) -> list[float]:
    naive = one(kind, **options)
    return [naive.push([value]) for value in series][-1]


def test_each_kind_is_what_its_name_says() -> None:
    series = [0.0, 1.0, 3.0, 6.0, 10.0, 15.0]
    assert last("persistence", series) == [0.0, 0.0]
    assert last("drift", series) == [0.5, 1.5]
    assert last("last_increment", series) == [5.0, 12.0]
    straight = [2.0 * i for i in range(6)]
    assert last("linear", straight) == pytest.approx([2.0, 6.0])


def test_a_season_is_what_followed_a_season_ago() -> None:
    series = [0.0, 1.0, 5.0, 6.0, 20.0]  # the season is 4: four steps ago stood 0.0
    assert last("seasonal", series) == [1.0, 6.0]


def test_a_horizon_beyond_a_season_repeats_it() -> None:
    naive = Naive(("seasonal",), (0.0,), (5,), 4, 2)
    found = [naive.push([v]) for v in (0.0, 1.0, 10.0)]  # a season brings +10, its first step +1
    assert found[-1] == [2 * 10.0 + 1.0]


def test_what_is_not_known_yet_is_nan_and_a_season_not_known_is_the_drift() -> None:
    assert all(math.isnan(v) for v in last("last_increment", [1.0]))
    assert all(math.isnan(v) for v in last("linear", [1.0, 2.0]))
    assert last("seasonal", [1.0, 2.0]) == [0.5, 1.5]
    assert last("seasonal", [NAN, 1.0, 2.0, 3.0, 4.0]) == [0.5, 1.5]


def test_a_reset_forgets_the_past() -> None:
    naive = one("last_increment")
    for value in (0.0, 1.0, 2.0, 3.0):
        naive.push([value])
    naive.reset()
    assert math.isnan(naive.push([4.0])[0])


@given(
    kind=st.sampled_from(NAIVE),
    series=st.lists(st.floats(-1e6, 1e6) | st.just(NAN), min_size=2, max_size=30),
    cut=st.integers(0, 29),
)
def test_a_restart_changes_nothing(kind: str, series: list[float], cut: int) -> None:
    whole, parted = one(kind), one(kind)
    expected = [whole.push([v]) for v in series]
    found = []
    for i, value in enumerate(series):
        if i == cut:
            state = json.loads(json.dumps(parted.snapshot()))
            parted = one(kind)
            parted.restore(state)
        found.append(parted.push([value]))
    assert repr(found) == repr(expected)
