"""Drift: who leaves its neighbours, on ground at rest and on ground that moves."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qc_rows import HOUR_MS, START_MS, run, several

from edge.flags import Flag
from edge.qc import QualityControl

DAYS = 160
HOURS = 24 * DAYS
SD = 0.03


def readings(moved: np.ndarray, shares: list[float], seed: int = 2) -> np.ndarray:
    """Return rows of cracks that each show a share of the movement, mm."""
    random = np.random.default_rng(seed)
    return moved[:, None] * np.array(shares) + random.normal(10.0, SD, (len(moved), len(shares)))


def said(table: np.ndarray, control: QualityControl | None = None) -> dict[str, list[int]]:
    """Return the days on which each channel is told to leave its neighbours."""
    found: dict[str, set[int]] = {}
    control = control or several(table.shape[1])
    for i, row in enumerate(np.round(table, 2).tolist()):
        for each in control.apply(START_MS + i * HOUR_MS, row)[1]:
            if each.flags & Flag.DRIFT:
                found.setdefault(each.channel, set()).add(i // 24)
    return {channel: sorted(days) for channel, days in found.items()}


def ramp(first: int, days: int, size: float) -> np.ndarray:
    return size * np.clip((np.arange(HOURS) / 24.0 - first) / days, 0.0, 1.0)


REST = np.zeros(HOURS)
CREEP = 0.2 * np.arange(HOURS) / 24.0


@pytest.mark.parametrize("size", [-45.0, 45.0])
def test_a_slow_drift_on_ground_at_rest_is_found_within_weeks(size: float) -> None:
    table = readings(REST, [1.0, 0.7, 0.5])
    table[:, 1] += ramp(80, 40, size * SD)
    days = said(table)
    assert set(days) == {"c1"}
    assert 85 <= days["c1"][0] <= 110


def test_a_drift_smaller_than_what_noise_does_is_not_told() -> None:
    table = readings(REST, [1.0, 0.7, 0.5])
    table[:, 1] += ramp(80, 40, 3.0 * SD)
    assert said(table) == {}


def test_the_one_that_drifts_on_moving_ground_is_found_by_their_usual_shares() -> None:
    table = readings(CREEP + ramp(100, 20, 3.0), [1.0, 0.7, 0.5])
    table[:, 1] += ramp(98, 24, 4.0)
    assert set(said(table)) == {"c1"}


@pytest.mark.parametrize("shares", [[1.0, 0.5, 0.3], [1.0, 0.5], [0.2, 1.0, 0.4]])
def test_ground_that_speeds_up_is_no_drift_of_anyone(shares: list[float]) -> None:
    t = np.arange(HOURS) / 24.0
    assert said(readings(CREEP + 0.01 * np.maximum(0.0, t - 90.0) ** 2, shares)) == {}


def test_a_neighbour_that_stands_beside_what_moves_tells_nothing() -> None:
    t = np.arange(HOURS) / 24.0
    assert said(readings(CREEP + 0.01 * np.maximum(0.0, t - 90.0) ** 2, [1.0, 0.0])) == {}


def test_days_without_a_value_are_made_up_for_on_moving_ground() -> None:
    table = readings(CREEP + ramp(80, 8, 5.0), [1.0, 0.9, 0.8])
    table[24 * 81 : 24 * 86, 1] = np.nan
    assert said(table) == {}


def test_a_restart_within_a_drift_changes_nothing() -> None:
    table = readings(REST, [1.0, 0.7])
    table[:, 0] += ramp(80, 30, 2.0)
    whole, first, second = several(2), several(2), several(2)
    rows = np.round(table, 2).tolist()
    run(whole, rows)
    run(first, rows[:2200])
    second.restore(json.loads(json.dumps(first.snapshot(), allow_nan=False)))
    run(second, rows[2200:], 2200)
    assert second.notes == whole.notes != []
    assert second.snapshot() == whole.snapshot()
