"""Quality control within a station: flags travel with rows, notes are told once, levels hold."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from edge.alarm import AlarmChange
from edge.batch import Batch
from edge.config import load_config
from edge.health import station_values
from edge.pipeline import Pipeline
from firmware_bridge.reading import Reading

HOUR_MS = 3_600_000
START_MS = 1_704_067_200_000
NAN = math.nan
PORT = """
[[port]]
name = "{name}"
device = "none"
baud = 115200
protocol = "tw1"
clock = "node"
"""
STATION = """
[[station]]
name = "slope"
step_s = 3600
no_data_after_s = 21600
[station.decision]
profile = "general"
"""
CHANNEL = """
[[station.channel]]
name = "{name}"
port = "{port}"
quantity = "crack_width"
unit = "mm"
low = -9000
high = 9000
"""


def pipeline(folder: Path, names: list[str], ports: list[str], more: str = "") -> Pipeline:
    text = "".join(PORT.format(name=port) for port in dict.fromkeys(ports)) + STATION
    pairs = zip(names, ports, strict=True)
    text += "".join(CHANNEL.format(name=name, port=port) for name, port in pairs) + more
    (folder / "gateway.toml").write_text(text, encoding="utf-8")
    return Pipeline(load_config(folder / "gateway.toml"), {"slope": "none"})


def three(folder: Path, more: str = "") -> Pipeline:
    return pipeline(folder, ["a", "b", "c"], ["node"] * 3, more)


def rows(n: int, channels: int = 3) -> np.ndarray:
    creep = 0.005 * np.arange(n)[:, None]
    return np.round(creep + np.random.default_rng(5).normal(10.0, 0.03, (n, channels)), 2)


def feed(to: Pipeline, table: np.ndarray, first: int = 0) -> list[AlarmChange]:
    found: list[AlarmChange] = []
    for i, row in enumerate(table.tolist(), first):
        at_ms = START_MS + i * HOUR_MS
        reading = Reading("node", at_ms, i, ("a", "b", "c"), tuple(row), at_ms)
        found += to.receive(reading).changes
    return found


def quality(changes: list[AlarmChange]) -> list[AlarmChange]:
    return [change for change in changes if change.kind == "quality"]


def test_a_step_is_an_event_of_its_own_once_and_leaves_the_level(tmp_path: Path) -> None:
    to, table = three(tmp_path), rows(600)
    table[400:, 1] += 5.0
    changes = feed(to, table)
    (told,) = quality(changes)
    assert (told.level, told.previous_level) == (0, 0)
    assert told.reason.startswith("b: +5")
    assert {c.level for c in changes if c.kind == "level"} <= {0}
    learned = station_values(to.stations["slope"])["channels"]["b"]
    assert learned["offset"] == pytest.approx(5.0, abs=0.1)
    json.dumps(station_values(to.stations["slope"]), allow_nan=False)


def test_flags_are_in_telemetry_only_where_there_are_some(tmp_path: Path) -> None:
    to, table, batch = three(tmp_path), rows(203), Batch("talus/g", "g")
    table[200, 1], table[201, 2] = 500.0, NAN
    payloads = []
    for i, row in enumerate(table.tolist()):
        at_ms = START_MS + i * HOUR_MS
        batch.add(to.receive(Reading("node", at_ms, i, ("a", "b", "c"), tuple(row), at_ms)))
        if i in (199, 202):
            payloads.append(json.loads(batch.flush(to.stations, at_ms)[0].payload))
    assert "flags" not in payloads[0]
    at = [START_MS + i * HOUR_MS for i in (200, 201)]
    assert payloads[1]["flags"] == [
        [at[0], "b", ["held"]], [at[1], "c", ["missing"]], [at[0], "b", ["spike"]],
    ]  # fmt: skip
    assert payloads[1]["rows"][0][3] == 500.0  # telemetry shows it as it came


def test_a_value_out_of_range_is_flagged(tmp_path: Path) -> None:
    to = three(tmp_path)
    outcome = to.receive(Reading("node", START_MS, 0, ("a", "b", "c"), (1.0, 99_999.0, 2.0), 0))
    assert [(f.channel, f.flags.texts) for f in outcome.rows[0].flags] == [("b", ("range",))]


def test_all_sensors_frozen_at_once_are_no_data_and_the_level_is_held(tmp_path: Path) -> None:
    to, table = three(tmp_path), rows(900)
    table[500:] += 0.002 * np.arange(400)[:, None] ** 2  # all accelerate
    feed(to, table)
    level = to.stations["slope"].alarm.level
    assert level >= 1
    changes = feed(to, np.repeat(table[-1:], 100, axis=0), 900)
    assert changes[-1].no_data
    assert set(changes[-1].silent) == {"a", "b", "c"}
    assert to.stations["slope"].alarm.level == level


def test_every_sensor_in_alarm_at_once_is_no_fault(tmp_path: Path) -> None:
    to, table = three(tmp_path), rows(700)
    table[600:] += 3.0 * np.arange(1, 101)[:, None]  # 3 mm an hour from one hour to the next
    changes = feed(to, table)
    assert quality(changes) == []
    assert to.stations["slope"].alarm.level >= 1
    assert not to.stations["slope"].quality.zeros.offset.any()


def test_sensors_of_different_cadence_on_ports_of_their_own(tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(5)]
    to = pipeline(tmp_path, names, names)
    every, random = (10, 15, 20, 30, 60), np.random.default_rng(3)
    found: list[AlarmChange] = []
    flagged = set()
    for minute in range(0, 30 * 1440, 5):
        for i, name in enumerate(names):
            if minute % every[i]:
                continue
            at_ms = START_MS + minute * 60_000 + i
            value = round(10.0 + random.normal(0.0, 0.03), 2)
            value += 4.0 * (i == 0 and minute >= 20 * 1440)
            outcome = to.receive(Reading(name, at_ms, minute, (name,), (value,), at_ms))
            found += outcome.changes
            flagged |= {(f.channel, f.flags.texts) for r in outcome.rows for f in r.flags}
    assert [change.reason.split(" ")[0] for change in quality(found)] == ["s0:"]
    assert flagged == {("s0", ("held",)), ("s0", ("step",))}


def test_a_jump_of_the_only_sensor_counts_as_movement(tmp_path: Path) -> None:
    to = pipeline(tmp_path, ["a"], ["node"])
    found: list[AlarmChange] = []
    values = rows(600, 1)[:, 0]
    values[400:] += 5.0
    for i, value in enumerate(values.tolist()):
        at_ms = START_MS + i * HOUR_MS
        found += to.receive(Reading("node", at_ms, i, ("a",), (value,), at_ms)).changes
    assert quality(found) == []
    assert to.stations["slope"].quality.jumps.believed[0][1] == pytest.approx(5.0, abs=0.1)


def test_an_order_re_zeroes_with_a_trail_and_survives_a_restart(tmp_path: Path) -> None:
    to, table = three(tmp_path), rows(420)
    table[400:, 0] -= 232.0
    feed(to, table[:400])
    station = to.stations["slope"]
    (ordered,) = station.rezero("a", START_MS + 400 * HOUR_MS, START_MS + 399 * HOUR_MS)
    assert ordered.kind == "quality"
    kept = json.loads(json.dumps(to.snapshot(), allow_nan=False))
    after = three(tmp_path)
    assert after.restore(kept, START_MS + 399 * HOUR_MS) == []
    (done,) = quality(feed(after, table[400:], 400))
    assert "by order" in done.reason
    assert after.stations["slope"].quality.learned()["a"]["offset"] == pytest.approx(-232, abs=0.2)


def test_a_refused_time_is_counted_and_the_next_row_says_so(tmp_path: Path) -> None:
    to, table = three(tmp_path), rows(50)
    feed(to, table)
    wrong = Reading("node", 0, 50, ("a", "b", "c"), (1.0, 1.0, 1.0), START_MS + 50 * HOUR_MS)
    assert to.receive(wrong).reason == "time_range"
    at_ms = START_MS + 51 * HOUR_MS
    row = to.receive(Reading("node", at_ms, 51, ("a", "b", "c"), tuple(table[49]), at_ms)).rows[0]
    assert row.flags[0].flags.texts == ("clock",)
    assert to.stations["slope"].rejected["port node", "time_range"] == 1


def test_a_late_order_takes_a_believed_jump_out_of_values_and_movement(tmp_path: Path) -> None:
    to = pipeline(tmp_path, ["a"], ["node"])
    values = rows(600, 1)[:, 0]
    values[400:] += 25.0
    station = to.stations["slope"]
    speeds, records = [], []
    for i, value in enumerate(values.tolist()):
        at_ms = START_MS + i * HOUR_MS
        to.receive(Reading("node", at_ms, i, ("a",), (value,), at_ms))
        if i == 410:
            (told,) = station.rezero("a", START_MS + 400 * HOUR_MS, at_ms)
            assert "by order" in told.reason
        assert station.rules is not None
        assert station.rules.decider.movement is not None
        records.append(float(station.rules.decider.movement.usual.record[0]))
        series = station.rules.decider.movement.series()
        speeds.append(float(next(s for s in series if s.window_ms == 24 * HOUR_MS).values[0]))
    assert max(speeds[401:410]) > 10.0  # a day: it was taken for movement
    assert np.nanmax(speeds[412:]) < 1.0  # no jump back when it is taken out, and none that stays
    # Nor is it what the slope is known to have done: level 4 asks for more than that.
    assert records[409] > 10.0
    assert max(records[480:]) < 2.0 * records[399]


def test_a_quality_state_of_an_older_program_begins_anew_is_told_and_keeps_the_level(
    tmp_path: Path,
) -> None:
    to, table = three(tmp_path), rows(420)
    table[400:, 0] += 5.0
    feed(to, table[:401])  # the jump waits for the next reading
    kept = json.loads(json.dumps(to.snapshot(), allow_nan=False))
    state = kept["stations"]["slope"]
    state["alarm"]["level"] = state["alarm"]["ruled"] = 2
    (trouble,) = state["quality"]["jumps"]["troubles"].values()
    assert len(trouble["around"]) == 2
    trouble["around"] = [[j, was] for j, was, *_ in trouble["around"]]
    after = three(tmp_path)
    (note,) = after.restore(kept, START_MS + 401 * HOUR_MS)
    assert "saved quality state cannot be used" in note
    assert after.stations["slope"].alarm.level == 2
    assert after.stations["slope"].quality.learned()["a"]["offset"] == 0.0
    feed(after, table[401:], 401)
    assert after.stations["slope"].quality.learned()["a"]["noise_sd"] > 0.0


def test_the_last_rows_of_a_port_that_fell_silent_after_a_hole_are_judged(tmp_path: Path) -> None:
    to = pipeline(tmp_path, ["a", "b"], ["one", "two"])
    lateness = "step_s = 3600\nlateness_s = 10800"
    text = (tmp_path / "gateway.toml").read_text(encoding="utf-8")
    (tmp_path / "gateway.toml").write_text(text.replace("step_s = 3600", lateness), "utf-8")
    to = Pipeline(load_config(tmp_path / "gateway.toml"), {"slope": "none"})

    def give(port: str, channel: str, hour: int) -> None:
        at_ms = START_MS + hour * HOUR_MS
        to.receive(Reading(port, at_ms, hour, (channel,), (10.0 + 0.01 * (hour % 7),), at_ms))

    for hour in range(40):
        give("one", "a", hour)
        give("two", "b", hour)
    give("one", "a", 43)  # and nothing more
    track = to.stations["slope"].quality.track
    for hour in range(40, 46):
        give("two", "b", hour)
    assert track.raw_ms[0] == START_MS + 39 * HOUR_MS
    give("two", "b", 46)
    assert track.raw_ms[0] == START_MS + 43 * HOUR_MS


@pytest.mark.parametrize("order_min", [10, 20])
@pytest.mark.parametrize("jump_min", [0, 30, 50])
def test_an_order_within_the_step_of_the_jump_leaves_neither_jump_nor_hole(
    tmp_path: Path, jump_min: int, order_min: int
) -> None:
    """Six readings a step: some of the open one hold the jump, those to come do not."""
    to = pipeline(tmp_path, ["a"], ["node"])
    station, minute = to.stations["slope"], HOUR_MS // 60
    values = np.random.default_rng(4).normal(10.0, 0.1, 6 * 700)
    at = 6 * 400 + jump_min // 10
    values[at:] += 25.0
    speeds = []
    for i, value in enumerate(values.tolist()):
        at_ms = START_MS + 10 * i * minute
        to.receive(Reading("node", at_ms, i, ("a",), (value,), at_ms))
        if i == at + 1 + order_min // 10:
            station.rezero("a", at_ms, at_ms)
        assert station.rules is not None
        assert station.rules.decider.movement is not None
        series = station.rules.decider.movement.series()
        speeds.append(float(next(s for s in series if s.window_ms == 6 * HOUR_MS).values[0]))
    assert station.quality.learned()["a"]["offset"] == pytest.approx(25.0, abs=0.3)
    after = np.array(speeds[at + 12 :])
    assert np.nanmax(after) < 3.0
    assert to.stations["slope"].alarm.level == 0
