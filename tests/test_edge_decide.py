"""Evidence and rules of a station on a grid: one decision, whatever else there is and breaks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import load_bundle
from edge.calibration import Board
from edge.config import load_config
from edge.rain_curves import CURVES
from edge.rainfall import Rainfall, RainPlan
from edge.station import Station
from edge.trust import ANY_SIGNER
from export.generator.site import generate_site
from export.generator.spec import SlopeSpec
from export.slope import CHANNELS, generate
from firmware_bridge.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edge.alarm import AlarmChange

HOUR_MS = 3_600_000
HEAD = """
[gateway]
name = "g"
[mqtt]
host = "h"
[[port]]
name = "node"
device = "/dev/null"
protocol = "tw1"
[[station]]
name = "s"
step_s = {step_s}
no_data_after_s = 86400
[station.decision]
profile = "{profile}"
"""
FAILING = generate_site(
    SlopeSpec(
        5, days=40.0, step_s=3600, behaviour="failure", failure_day=39.5, onset_days=15.0,
        rate_mm_per_day=0.8, cracks=3, pore_pressure=False, temperature_scale=0.0,
    )
)  # fmt: skip


def make(folder: Path, profile: str = "general", step_s: int = 3600, extra: str = "") -> Station:
    text = HEAD.format(profile=profile, step_s=step_s) + extra
    for channel in FAILING.channels:
        text += f'[[station.channel]]\nname = "{channel.name}"\nport = "node"\n'
        text += f'quantity = "{channel.quantity.name.lower()}"\nunit = "{channel.unit.text}"\n'
    path = folder / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    config = load_config(path)
    return Station(config.stations[0], "no bundle", Board(1000), frozenset())


def rows(values: np.ndarray | None = None) -> list[Reading]:
    given = FAILING.values if values is None else values
    times = FAILING.time_ms.tolist()
    return [
        Reading("node", t, i, FAILING.names, tuple(row), t)
        for i, (t, row) in enumerate(zip(times, given.tolist(), strict=True))
    ]


def run(station: Station, readings: Iterable[Reading]) -> list[AlarmChange]:
    found: list[AlarmChange] = []
    for reading in readings:
        found += station.receive(reading, rebased=False)[2]
    return found


def levels(changes: list[AlarmChange]) -> list[tuple[int, int]]:
    return [(c.time_ms, c.level) for c in changes if c.kind == "level"]


def test_a_slope_that_fails_raises_every_level_in_time_and_says_why(tmp_path: Path) -> None:
    changes = run(make(tmp_path), rows())
    found = levels(changes)
    assert FAILING.failure_ms is not None
    assert found[-1][1] == 4
    assert found[-1][0] < FAILING.failure_ms - 6 * HOUR_MS
    assert [level for _, level in found] == sorted(level for _, level in found)
    last = changes[-1] if changes[-1].kind == "level" else changes[-2]
    top = last.rules[0]
    assert top.level == 4
    assert {f.kind for f in top.findings} >= {"stage", "tangent_angle"}
    assert all(len(f.hits) >= 2 for f in top.findings if f.kind == "stage")


def test_one_sensor_alone_raises_no_alarm_beside_others_that_are_still(tmp_path: Path) -> None:
    values = FAILING.values.copy()
    random = np.random.default_rng(0)
    for i in range(1, 3):
        values[:, i] = np.round(0.05 * random.standard_normal(len(values)), 2)
    found = levels(run(make(tmp_path), rows(values)))
    assert max((level for _, level in found), default=0) <= 1


@pytest.mark.parametrize("cut", [100, 600, 880, 930])
def test_a_restart_changes_no_decision(tmp_path: Path, cut: int) -> None:
    readings = rows()
    expected = levels(run(make(tmp_path), readings))
    first = make(tmp_path)
    found = run(first, readings[:cut])
    now_ms = readings[cut].received_ms
    kept = json.loads(json.dumps(first.snapshot(now_ms), allow_nan=False))
    second = make(tmp_path)
    assert second.restore(kept, now_ms) == []
    assert levels(found + run(second, readings[cut:])) == expected


def test_silence_of_all_that_moves_lowers_nothing(tmp_path: Path) -> None:
    readings, station = rows(), make(tmp_path)
    before = run(station, readings[:940])
    level = station.alarm.level
    assert level >= 3, levels(before)
    nan = float("nan")
    for i in range(24 * 10):
        at = readings[939].time_ms + (i + 1) * HOUR_MS
        silent = tuple(
            nan if c.moves else v
            for c, v in zip(FAILING.channels, readings[939].values, strict=True)
        )
        station.receive(Reading("node", at, i, FAILING.names, silent, at), rebased=False)
    assert station.alarm.level >= level


def test_rain_after_a_very_wet_month_is_a_state_that_can_be_kept() -> None:
    plan = RainPlan(("rain",), (24 * HOUR_MS,), (CURVES["seattle_p3_p15"],))
    rain = Rainfall(plan, HOUR_MS)
    for hour in range(20 * 24):
        rain.push(hour * HOUR_MS, [2.0], [])
    ratio = next(s.values for s in rain.series() if s.kind == "rain_curve")
    assert ratio[0] > 10.0
    json.dumps(rain.snapshot(), allow_nan=False)


def test_rules_that_see_nothing_new_between_two_looks_decide_the_same(tmp_path: Path) -> None:
    # Ten-minute steps: movement is looked at once an hour, rules only then, or when rain falls.
    n = 12 * 144
    t = np.arange(n) / 144.0
    values = np.full((n, len(FAILING.channels)), np.nan)
    random = np.random.default_rng(1)
    moved = 0.5 * t + 6.0 * np.maximum(t - 9.0, 0.0) ** 3
    for i, channel in enumerate(FAILING.channels):
        values[:, i] = moved + 0.03 * random.standard_normal(n) if channel.moves else 0.0
    start = 1_700_000_000_000 // 86_400_000 * 86_400_000
    readings = [
        Reading("node", start + i * 600_000, i, FAILING.names, tuple(row), start + i * 600_000)
        for i, row in enumerate(values.tolist())
    ]
    lazy, eager = make(tmp_path, step_s=600), make(tmp_path, step_s=600)
    assert eager.rules is not None
    eager.rules.decider._each_step = True
    found = levels(run(lazy, readings))
    every = levels(run(eager, readings))
    assert [level for _, level in found] == [level for _, level in every]
    assert max(level for _, level in found) >= 1
    for (at, _), (often, _) in zip(found, every, strict=True):
        assert 0 <= at - often <= HOUR_MS


def demo(folder: Path, rule: str) -> Station:
    text = (demo_bundle().parent / "gateway.toml").read_text(encoding="utf-8")
    path = folder / "gateway.toml"
    path.write_text(text.replace("[station.alarm]", rule + "\n[station.alarm]", 1))
    config = load_config(path)
    bundle = load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)
    return Station(config.stations[0], bundle, Board(1000), frozenset())


FAST = '[[station.rule]]\nname = "cracks run"\nlevel = 2\nwhen = [{ evidence = "%s", %s }]\n'


def test_with_a_bundle_that_has_all_channels_rules_look_at_its_grid(tmp_path: Path) -> None:
    station = demo(tmp_path, FAST % ("velocity", "window_s = 21600, above = 15.0"))
    assert station.rules is not None
    assert station.rules.grid is None
    slope = generate(4.0, seed=7, failure_day=10.0)
    for i, (t, row) in enumerate(zip(slope.time_ms, slope.values.tolist(), strict=True)):
        station.receive(Reading("node", int(t), i, CHANNELS, tuple(row), int(t)), rebased=False)
    named = {s.kind for s in station.rules.decider.offered}
    assert {"velocity", "value", "rain_curve"} <= named
    assert named & {"forecast", "residual", "baseline", "detector"}
    speed = next(
        s.values
        for s in station.rules.decider.offered
        if s.kind == "velocity" and s.window_ms == 24 * HOUR_MS
    )
    assert np.isfinite(speed).all()


def test_scores_of_the_bundle_can_be_looked_at_by_a_rule(tmp_path: Path) -> None:
    station = demo(tmp_path, FAST % ("detector", "above = 0.0"))
    slope = generate(6.0, seed=7, failure_day=10.0)
    found: list[AlarmChange] = []
    for i, (t, row) in enumerate(zip(slope.time_ms, slope.values.tolist(), strict=True)):
        reading = Reading("node", int(t), i, CHANNELS, tuple(row), int(t))
        found += station.receive(reading, rebased=False)[2]
    raised = [c for c in found if c.rules and c.rules[0].rule == "cracks run"]
    assert raised
    assert raised[0].rules[0].findings[0].kind == "detector"
