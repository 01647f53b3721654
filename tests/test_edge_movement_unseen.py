"""A slope that moves while nothing is heard of it: told when readings are there again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_edge_qc_station import HOUR_MS, START_MS, pipeline

from edge.config import load_config
from edge.movement import Movement
from edge.movement_plan import MoveChannel, MovePlan
from edge.pipeline import Pipeline
from firmware_bridge.reading import Reading

GAP_FROM = 40 * 24
RULE = "moved while nothing was heard"


def slope(hours: int, sensors: int = 3, *, swing: float = 0.0, phase_h: int = 0) -> np.ndarray:
    t = np.arange(hours)[:, None]
    day = swing * np.sin(2 * np.pi * (t + phase_h) / 24.0)
    noise = np.random.default_rng(4).normal(0.0, 0.03, (hours, sensors))
    return np.round(10.0 + 0.15 * t / 24.0 + day + noise, 2)


def raised(
    to: Pipeline, table: np.ndarray, gap_h: int, restart: Path | None = None, first: int = 0
) -> list[tuple[int, int, str]]:
    """Give (hours since the gap, level, why) of each rise."""
    names = ("a", "b", "c")[: table.shape[1]]
    found = []
    for hour in [*range(first, GAP_FROM), *range(max(first, GAP_FROM + gap_h), len(table))]:
        at_ms = START_MS + hour * HOUR_MS
        if restart is not None and hour == GAP_FROM + gap_h + 1:
            kept = json.loads(json.dumps(to.snapshot(), allow_nan=False))
            to = pipeline(restart, list(names), ["node"] * len(names))
            assert to.restore(kept, at_ms - HOUR_MS) == []
        values = tuple(table[hour].tolist())
        found += [
            (hour - GAP_FROM - gap_h, change.level, change.reason)
            for change in to.receive(Reading("node", at_ms, hour, names, values, at_ms)).changes
            if change.kind == "level" and change.level > change.previous_level
        ]
    return found


def of(folder: Path, sensors: int) -> Pipeline:
    names = ["a", "b", "c"][:sensors]
    return pipeline(folder, names, ["node"] * sensors)


@pytest.mark.parametrize("sensors", [1, 2, 3])
@pytest.mark.parametrize("gap_h", [6, 30, 72, 300])
@pytest.mark.parametrize("restart", [False, True])
def test_it_is_told_though_the_slope_rests_again(
    tmp_path: Path, sensors: int, gap_h: int, restart: bool
) -> None:
    table = slope(GAP_FROM + gap_h + 12, sensors)
    table[GAP_FROM + gap_h :] += 40.0
    found = raised(of(tmp_path, sensors), table, gap_h, tmp_path if restart else None)
    hour, level, why = found[0]
    assert (level, RULE in why) == (3, True)
    assert hour <= 3


@pytest.mark.parametrize("swing", [0.0, 0.1, 0.5, 3.0])
@pytest.mark.parametrize("gap_h", [6, 12, 30, 84])
@pytest.mark.parametrize("phase_h", [0, 6, 12, 18])
def test_a_days_swing_and_creep_are_nothing_that_moved(
    tmp_path: Path, swing: float, gap_h: int, phase_h: int
) -> None:
    table = slope(GAP_FROM + gap_h + 40, swing=swing, phase_h=phase_h)
    assert not [why for _, _, why in raised(of(tmp_path, 3), table, gap_h) if RULE in why]


def test_one_of_three_that_moved_is_not_the_slope(tmp_path: Path) -> None:
    table = slope(GAP_FROM + 72 + 30)
    table[GAP_FROM + 72 :, 1] += 40.0
    assert raised(of(tmp_path, 3), table, 72) == []


def test_a_spike_after_a_gap_is_nothing_that_moved(tmp_path: Path) -> None:
    table = slope(GAP_FROM + 72 + 30)
    table[GAP_FROM + 72] += 40.0
    assert raised(of(tmp_path, 3), table, 72) == []


def test_nor_is_what_was_moved_in_maintenance_that_was_told(tmp_path: Path) -> None:
    to, table = of(tmp_path, 3), slope(GAP_FROM + 12 + 30)
    table[GAP_FROM + 12 :] += 40.0
    assert raised(to, table[:GAP_FROM], 0) == []
    to.maintain("node", begun=True, now_ms=START_MS + GAP_FROM * HOUR_MS)
    to.maintain("node", begun=False, now_ms=START_MS + (GAP_FROM + 12) * HOUR_MS)
    later = raised(to, table, 12, first=GAP_FROM)
    assert not [why for _, _, why in later if RULE in why]


def test_nor_what_an_order_takes_out_again(tmp_path: Path) -> None:
    to, table = of(tmp_path, 2), slope(GAP_FROM + 72 + 2, 2)
    table[GAP_FROM + 72 :] += 40.0
    assert raised(to, table, 72) == []
    rules = to.stations["slope"].rules
    assert rules is not None
    at_ms = START_MS + (GAP_FROM + 73) * HOUR_MS
    for name in "ab":
        to.stations["slope"].rezero(name, at_ms, at_ms)
    later = slope(GAP_FROM + 72 + 30, 2)
    later[GAP_FROM + 72 :] += 40.0
    assert raised(to, later, 74, first=GAP_FROM) == []


@pytest.mark.parametrize("step_s", [600, 3600])
def test_maintenance_that_begins_within_a_step_is_as_good(tmp_path: Path, step_s: int) -> None:
    more = "" if step_s == 3600 else "readings_per_step = 1\n"
    pipeline(tmp_path, ["a", "b", "c"], ["node"] * 3)  # writes it
    text = (tmp_path / "gateway.toml").read_text(encoding="utf-8")
    text = text.replace("step_s = 3600\n", f"step_s = {step_s}\n{more}")
    (tmp_path / "gateway.toml").write_text(text, encoding="utf-8")
    to = Pipeline(load_config(tmp_path / "gateway.toml"), {"slope": "none"})
    minute_ms, table = HOUR_MS // 60, slope(10 * 24 + 24)
    began, ended = 10 * 24 * 60 + 20, 10 * 24 * 60 + 12 * 60 + 20
    table[10 * 24 + 12 :] += 40.0
    why: list[str] = []
    for minute in range(0, len(table) * 60, 10):
        now_ms = START_MS + minute * minute_ms
        if minute in (began, ended):
            to.maintain("node", begun=minute == began, now_ms=now_ms)
        if began <= minute < ended:
            continue
        values = tuple(table[minute // 60].tolist())
        reading = Reading("node", now_ms, minute, ("a", "b", "c"), values, now_ms)
        why += [change.reason for change in to.receive(reading).changes]
    assert not [each for each in why if RULE in each]


def test_a_channel_that_misses_a_reading_is_alive(tmp_path: Path) -> None:
    table = slope(GAP_FROM + 72 + 20, 2)
    table[GAP_FROM + 72 :, 0] += 40.0  # one of two was knocked
    table[GAP_FROM + 80, 1] = np.nan
    assert not [why for _, _, why in raised(of(tmp_path, 2), table, 72) if RULE in why]


def looked(values: np.ndarray, hours: list[int], **given: float) -> list[float]:
    movement = Movement(MovePlan((MoveChannel("a", "mm", **given),)), HOUR_MS)
    series = next(s for s in movement.series() if s.kind == "moved_unseen")
    found = []
    for hour in hours:
        movement.push(START_MS + hour * HOUR_MS, [float(values[hour])])
        found.append(float(series.values[0]))
    return found


@pytest.mark.parametrize("each_h", [5, 6, 7, 24])
def test_a_channel_that_is_read_seldom_has_no_gap_each_time(each_h: int) -> None:
    x = slope(80 * 24, 1, swing=1.0)[:, 0]
    assert max(np.nan_to_num(looked(x, list(range(0, len(x), each_h)), v_eq_per_day=0.1))) < 2.0


def test_on_the_first_days_nothing_is_told_though_a_steady_speed_is_configured() -> None:
    x = slope(60, 1, swing=1.0)[:, 0]
    found = looked(x, [*range(12), *range(24, 60)], v_eq_per_day=0.1)
    assert all(v != v for v in found)


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    movement = Movement(MovePlan((MoveChannel("a", "mm"),)), HOUR_MS)
    series = next(s for s in movement.series() if s.kind == "moved_unseen")
    x = slope(GAP_FROM + 40, 1)[:, 0]
    x[GAP_FROM + 12 :] += 40.0
    for hour in [*range(GAP_FROM), *range(GAP_FROM + 12, GAP_FROM + 16)]:
        movement.push(START_MS + hour * HOUR_MS, [float(x[hour])])
    assert series.values[0] > 2.0
    for hour in range(GAP_FROM + 16, GAP_FROM + 20):
        movement.push(START_MS + (hour - 200 * 24) * HOUR_MS, [float(x[hour])])
    assert series.values[0] == 0.0


@pytest.mark.parametrize("stop", [3, 5, 6, 8])
def test_a_restart_changes_nothing(stop: int) -> None:
    plan = MovePlan((MoveChannel("a", "mm"), MoveChannel("b", "mm")))
    x = slope(GAP_FROM + 60, 2)
    x[GAP_FROM + 24 :] += 30.0
    hours = [*range(GAP_FROM), *range(GAP_FROM + 24, GAP_FROM + 60)]
    whole, again = Movement(plan, HOUR_MS), Movement(plan, HOUR_MS)
    for n, hour in enumerate(hours):
        if n == GAP_FROM + stop - 4:
            kept = json.loads(json.dumps(again.snapshot(), allow_nan=False))
            again = Movement(plan, HOUR_MS)
            again.restore(kept)
        for each in whole, again:
            each.push(START_MS + hour * HOUR_MS, x[hour].tolist())
    assert json.dumps(whole.snapshot()) == json.dumps(again.snapshot())


def test_a_snapshot_of_a_release_that_kept_none_is_taken() -> None:
    plan = MovePlan((MoveChannel("a", "mm"),))
    movement = Movement(plan, HOUR_MS)
    kept = movement.snapshot()
    del kept["unseen"], kept["doubts"]
    movement.restore(kept)
    movement.push(START_MS, [1.0])
