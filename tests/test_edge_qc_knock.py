"""A knock on a sensor that no neighbour can speak for: believed, but not usual from then on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_edge_qc_station import HOUR_MS, START_MS, pipeline

from edge.movement import Movement
from edge.pipeline import Pipeline
from firmware_bridge.reading import Reading

KNOCK_H, FAILURE_H = 30 * 24, 60 * 24
FAILING_D = 16


def lonely(failure_h: int = FAILURE_H) -> np.ndarray:
    """One crack meter: steady creep, and in the last days towards a failure (1/v falls)."""
    t = np.arange(failure_h - 4)
    left_d = np.minimum((failure_h - t) / 24.0, FAILING_D)
    v_per_day = 0.15 * FAILING_D / left_d
    noise = np.random.default_rng(7).normal(0.0, 0.03, len(t))
    return np.round(10.0 + np.cumsum(v_per_day / 24.0) + noise, 2)


def feed(to: Pipeline, values: np.ndarray, first: int = 0) -> dict[int, int]:
    """Give the hour of each change of level."""
    found = {}
    for i, value in enumerate(values.tolist(), first):
        at_ms = START_MS + i * HOUR_MS
        for change in to.receive(Reading("node", at_ms, i, ("a",), (value,), at_ms)).changes:
            if change.kind == "level":
                found[i] = change.level
    return found


def movement_of(to: Pipeline) -> Movement:
    rules = to.stations["slope"].rules
    assert rules is not None
    movement = rules.decider.movement
    assert movement is not None
    return movement


def learned(to: Pipeline) -> tuple[float, float, float]:
    """Give steady speed, high speed and record, units a day."""
    usual = movement_of(to).usual
    return float(usual.v_eq[0]), float(usual.high()[0]), float(usual.record[0])


@pytest.mark.parametrize("by", [0.0, 3.0, -5.0, 80.0])
@pytest.mark.parametrize("restart", [False, True])
def test_an_end_is_seen_also_after_a_knock(tmp_path: Path, by: float, restart: bool) -> None:
    values = lonely()
    values[KNOCK_H:] += by
    to = pipeline(tmp_path, ["a"], ["node"])
    before = feed(to, values[:KNOCK_H])
    assert before == {}
    usual = learned(to)
    calm = feed(to, values[KNOCK_H : KNOCK_H + 20], KNOCK_H)
    if restart:
        kept = json.loads(json.dumps(to.snapshot(), allow_nan=False))
        to = pipeline(tmp_path, ["a"], ["node"])
        assert to.restore(kept, START_MS + (KNOCK_H + 19) * HOUR_MS) == []
    calm |= feed(to, values[KNOCK_H + 20 : KNOCK_H + 40], KNOCK_H + 20)
    assert max(calm.values(), default=0) <= 3  # a lonely sensor is believed, but not that far
    assert learned(to) == pytest.approx(usual, rel=0.3)
    found = feed(to, values[KNOCK_H + 40 :], KNOCK_H + 40)
    fours = [hour for hour, level in found.items() if level == 4]
    assert fours
    assert FAILURE_H - 48 < fours[0] < FAILURE_H - 6


def test_a_sensor_that_jumps_again_and_again_does_so_usually(tmp_path: Path) -> None:
    values = lonely()[: FAILURE_H - FAILING_D * 24]
    to = pipeline(tmp_path, ["a"], ["node"])
    for hour in range(20 * 24, len(values), 30):
        values[hour:] += 2.0
    feed(to, values)
    assert learned(to)[2] > 2.0


def test_what_goes_on_after_a_jump_is_usual(tmp_path: Path) -> None:
    values = lonely()[: FAILURE_H - FAILING_D * 24]
    hours = np.arange(len(values) - KNOCK_H)
    values[KNOCK_H:] += 3.0 + 1.5 / 24.0 * hours  # it slipped, and creeps ten times as fast since
    to = pipeline(tmp_path, ["a"], ["node"])
    feed(to, values)
    assert 1.2 < learned(to)[2] < 4.0


def test_a_knock_on_one_that_accelerates_while_nobody_can_speak_for_it(tmp_path: Path) -> None:
    values, to = lonely(), pipeline(tmp_path, ["a"], ["node"])
    start_h = FAILURE_H - FAILING_D * 24
    feed(to, values[:start_h])
    stage = next(s for s in movement_of(to).series() if s.kind == "stage")
    knock_h = start_h
    while stage.values[0] < 1:  # from then on nothing is put down to the instrument
        feed(to, values[knock_h : knock_h + 1], knock_h)
        knock_h += 1
    assert knock_h < FAILURE_H - 60
    record = learned(to)[2]
    values[knock_h:] += 1000.0
    feed(to, values[knock_h : knock_h + 30], knock_h)
    assert learned(to)[2] < 10.0 * record
    feed(to, values[knock_h + 30 :], knock_h + 30)
    rules = to.stations["slope"].rules
    assert rules is not None
    holding = {each.level for each in rules.decider.standing() if each.holds}
    assert max(holding) == 4  # by what it does now, not by the knock


@pytest.mark.parametrize("apart_h", [16, 18, 20, 22, 30])
@pytest.mark.parametrize(("first", "second"), [(5.0, 5.0), (3.0, 10.0), (20.0, -20.0)])
def test_two_knocks_are_no_end(tmp_path: Path, first: float, second: float, apart_h: int) -> None:
    values = lonely()[: KNOCK_H + 120]
    values[KNOCK_H:] += first
    values[KNOCK_H + apart_h :] += second
    to = pipeline(tmp_path, ["a"], ["node"])
    assert max(feed(to, values).values(), default=0) <= 3
    assert learned(to)[2] < 1.0


def test_what_all_see_is_not_in_doubt_whenever_it_comes(tmp_path: Path) -> None:
    hours = KNOCK_H + 60
    noise = np.random.default_rng(8).normal(0.0, 0.03, (hours, 3))
    table = np.round(10.0 + 0.15 / 24.0 * np.arange(hours)[:, None] + noise, 2)
    for at_h in (0, 3, 19, 22):
        table[KNOCK_H + at_h :] += [5.0, 4.5, 5.5]
    to = pipeline(tmp_path, ["a", "b", "c"], ["node"] * 3)
    for i, row in enumerate(table.tolist()):
        at_ms = START_MS + i * HOUR_MS
        to.receive(Reading("node", at_ms, i, ("a", "b", "c"), tuple(row), at_ms))
    assert (movement_of(to).usual.record > 10.0).all()
    assert to.stations["slope"].alarm.level <= 3
