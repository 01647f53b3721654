"""Rows that wait for others, where no others come: they are judged all the same, in time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.alarm import AlarmChange
from edge.config import Config, load_config
from edge.pipeline import Pipeline
from edge.replay import replay
from firmware_bridge.reading import Reading

HOUR_MS = 3_600_000
LATENESS_H = 12
T0_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS
RECEIVED_MS = 5_000_000_000
"""Another clock than that of the rows."""
TILT = """\
[[station.channel]]
name = "tilt"
port = "other"
quantity = "tilt"
unit = "mrad"
"""
TOML = f"""\
[gateway]
name = "bluff"
[[port]]
name = "node"
device = "none"
protocol = "tw1"
[[port]]
name = "other"
device = "none"
protocol = "tw1"
[[station]]
name = "slope"
step_s = 3600
lateness_s = {LATENESS_H * 3600}
no_data_after_s = 72000
[station.decision]
profile = "none"
[[station.channel]]
name = "crack"
port = "node"
quantity = "crack_width"
unit = "mm"
high = 100.0
{TILT}[[station.rule]]
name = "wide"
level = 3
when = [{{ evidence = "value", above = 10.0 }}]
"""
LOST = 21
"""The row that is lost on the way; those after it are the last of the sensor."""
LAST_MM = (2.5, 4.0, 6.0, 8.5, 11.5, 15.0, 500.0)
END = LOST + len(LAST_MM)
DUE_MS = RECEIVED_MS + (LOST + 1 + LATENESS_H) * HOUR_MS
"""When the first behind the hole has waited long enough; the others follow it without one."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = Path(tmp_path_factory.mktemp("site")) / "gateway.toml"
    path.write_text(TOML)
    return load_config(path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """With one port: rows wait as long as the site says."""
    path = Path(tmp_path_factory.mktemp("site")) / "gateway.toml"
    path.write_text(TOML.replace(TILT, ""))
    return load_config(path)


def reading(hour: int, value: float, away_h: int = 0) -> Reading:
    at, arrived = T0_MS + hour * HOUR_MS, RECEIVED_MS + (hour + away_h) * HOUR_MS
    return Reading("node", at, hour, ("crack",), (value,), arrived)


def tilt(hour: float) -> Reading:
    at_ms = round(hour * HOUR_MS)
    return Reading("other", T0_MS + at_ms, at_ms, ("tilt",), (0.0,), RECEIVED_MS + at_ms)


ROWS = (
    *(each for hour in range(LOST) for each in (reading(hour, 1 + hour % 2 / 10), tilt(hour))),
    *(reading(LOST + 1 + i, value) for i, value in enumerate(LAST_MM)),
)


def carried_away(config: Config) -> tuple[Pipeline, list[AlarmChange]]:
    """A sensor that sees a crack open after a hole, and then nothing ever again."""
    pipeline = Pipeline(config, {"slope": "none"})
    return pipeline, [c for each in ROWS for c in pipeline.receive(each).changes]


def told(changes: list[AlarmChange]) -> list[tuple[str, int, int]]:
    return [(c.kind, c.level, c.received_ms) for c in changes]


def restarted(config: Config, pipeline: Pipeline, now_ms: int, **damage: object) -> Pipeline:
    state = json.loads(json.dumps(pipeline.snapshot(), allow_nan=False))
    state["stations"]["slope"] |= damage
    again = Pipeline(config, {"slope": "none"})
    assert bool(again.restore(state, now_ms)) == bool(damage)
    return again


def test_the_last_rows_before_a_sensor_is_gone_raise_the_level(alone: Config) -> None:
    """Once they have waited for the lost one as long as any may."""
    pipeline, before = carried_away(alone)
    assert before == []
    assert pipeline.tick(DUE_MS) == []
    found = pipeline.tick(DUE_MS + 1)
    assert told(found) == [("level", 3, DUE_MS)]
    assert pipeline.stations["slope"].alarm.level == 3


def test_the_last_steps_of_a_slope_that_fell_silent_raise_the_level(config: Config) -> None:
    """They are open for what else may come of the same hours, as long as that may be late."""
    pipeline, before = carried_away(config)
    assert before == []
    over_ms = RECEIVED_MS + (LOST + 5 + 1 + LATENESS_H) * HOUR_MS
    assert pipeline.tick(over_ms) == []
    found = pipeline.tick(over_ms + 1)
    assert told(found) == [("level", 3, over_ms)]
    silent_ms = RECEIVED_MS + (END - 1 + 20) * HOUR_MS
    (first, last) = pipeline.tick(silent_ms + 1)
    assert [first.silent, last.silent] == [("tilt",), ("crack", "tilt")]
    assert [first.no_data, last.no_data] == [False, True]
    assert last.received_ms == silent_ms  # when its last good row came; the one after is no value


def test_what_is_wrong_with_it_is_told_with_the_next_reading_over_a_restart(alone: Config) -> None:
    pipeline, _ = carried_away(alone)
    now_ms = DUE_MS + 1  # all of them went on: what comes later is not waited for
    pipeline.tick(now_ms)
    again = restarted(alone, pipeline, now_ms)
    for one in pipeline, again:
        first = one.receive(reading(END + 40, 15.0)).rows[0].flags
        assert (T0_MS + END * HOUR_MS, "crack") in [(each.time_ms, each.channel) for each in first]
        second = one.receive(reading(END + 41, 15.0)).rows[0].flags
        assert (T0_MS + END * HOUR_MS, "crack") not in [(e.time_ms, e.channel) for e in second]


@pytest.mark.parametrize("no_data_h", [4, 20])
def test_a_sensor_that_is_gone_is_not_told_as_there_again(config: Config, no_data_h: int) -> None:
    """Neither where its last rows go on by the clock, nor where another port's rows push them."""
    station = replace(config.stations[0], no_data_after_ms=no_data_h * HOUR_MS)
    short = replace(config, stations=(station,))
    for others in (), [tilt(END - 1 + i) for i in range(40)]:
        pipeline, found = carried_away(short)
        for each in others:
            found += pipeline.receive(each).changes
        found += pipeline.tick(RECEIVED_MS + (END + 40) * HOUR_MS)
        gone_ms = RECEIVED_MS + END * HOUR_MS
        silent = [c.silent for c in found if c.kind == "silence" and c.received_ms > gone_ms]
        told_first = next((i for i, names in enumerate(silent) if "crack" in names), 0)
        assert all("crack" in names for names in silent[told_first:])
        assert "crack" in pipeline.stations["slope"].alarm.silent
        assert ("level", 3) in [(change.kind, change.level) for change in found]


def test_a_sensor_that_is_back_is_told_by_its_own_rows(config: Config) -> None:
    pipeline, found = carried_away(config)
    found += pipeline.tick(RECEIVED_MS + (END + 60) * HOUR_MS)
    assert "crack" in [c.silent for c in found if c.kind == "silence"][-1]
    back = [c for i in range(30) for c in pipeline.receive(reading(END + 61 + i, 15.0)).changes]
    assert ("silence", ()) in [(c.kind, tuple(set(c.silent) & {"crack"})) for c in back]


def test_what_waited_goes_on_where_nothing_waits_any_more(alone: Config) -> None:
    """The site sets lateness_s to 0, and starts again."""
    pipeline, _ = carried_away(alone)
    now_ms = RECEIVED_MS + END * HOUR_MS
    station = replace(alone.stations[0], lateness_ms=0)
    again = restarted(replace(alone, stations=(station,)), pipeline, now_ms)
    assert [c.level for c in again.tick(now_ms + 1) if c.kind == "level"] == [3]


def test_of_other_channels_nothing_that_waited_goes_on(config: Config) -> None:
    """The site has added one, and starts again."""
    pipeline, _ = carried_away(config)
    now_ms = RECEIVED_MS + END * HOUR_MS
    (station,) = config.stations
    more = replace(station.channels[1], name="tilt_2")
    other = replace(config, stations=(replace(station, channels=(*station.channels, more)),))
    again = restarted(other, pipeline, now_ms, quality={}, order_of=["crack", "tilt"])
    assert [c.level for c in again.tick(now_ms + 60 * HOUR_MS) if c.kind == "level"] == []


@pytest.mark.parametrize("row", [[T0_MS, [1.0], [], 0], [T0_MS, [1.0, 2.0], [[7, 1]], 0]])
def test_a_damaged_row_is_told_and_does_not_end_the_gateway(config: Config, row: list) -> None:
    pipeline, _ = carried_away(config)
    now_ms = RECEIVED_MS + END * HOUR_MS
    order = pipeline.snapshot()["stations"]["slope"]["order"]
    order["node"]["waiting"] = [row]
    again = restarted(config, pipeline, now_ms, order=order)
    again.tick(now_ms + 60 * HOUR_MS)


def test_a_shorter_lateness_lets_nothing_happen_before_the_restart(alone: Config) -> None:
    pipeline, _ = carried_away(alone)
    now_ms = RECEIVED_MS + END * HOUR_MS
    station = replace(alone.stations[0], lateness_ms=HOUR_MS)
    again = restarted(replace(alone, stations=(station,)), pipeline, now_ms)
    found = again.tick(now_ms + HOUR_MS)
    assert [c.received_ms for c in found if c.kind == "level"] == [now_ms]


def test_a_sensor_on_a_lossy_link_is_not_told_as_silent(config: Config) -> None:
    """Rows that wait for lost ones were heard when they came."""
    random = np.random.default_rng(1)
    pipeline, found = Pipeline(config, {"slope": "none"}), []
    for hour in range(60 * 24):
        if random.random() < 0.8:
            found += pipeline.receive(reading(hour, 1.0 + random.normal(0.0, 0.1))).changes
        noise = random.normal(0.0, 0.1)  # one that never changes is frozen, and is not heard
        found += pipeline.receive(replace(tilt(hour + 0.01), values=(noise,))).changes
    assert [c.silent for c in found] == []


def test_what_waited_outlives_a_damaged_quality_state(alone: Config) -> None:
    pipeline, _ = carried_away(alone)
    now_ms = RECEIVED_MS + END * HOUR_MS
    again = restarted(alone, pipeline, now_ms, quality={"no": "such"})
    found = again.tick(now_ms + LATENESS_H * HOUR_MS + 1)
    assert [c.level for c in found if c.kind == "level"] == [3]


def test_a_damaged_list_of_what_waits_costs_that_alone(alone: Config) -> None:
    pipeline, _ = carried_away(alone)
    now_ms = RECEIVED_MS + END * HOUR_MS
    again = restarted(alone, pipeline, now_ms, order={"node": {"last_ms": "?"}})
    found = again.tick(now_ms + LATENESS_H * HOUR_MS + 1)
    assert [c.level for c in found if c.kind == "level"] == []
    assert (
        again.stations["slope"].quality.snapshot() == pipeline.stations["slope"].quality.snapshot()
    )


@settings(max_examples=60)
@given(
    looks_min=st.lists(st.integers(0, 60 * 30), max_size=12),
    restarts=st.sets(st.integers(0, 11), max_size=3),
    shift_ms=st.sampled_from([0, 0, 7 * HOUR_MS, -7 * HOUR_MS]),
    tilts=st.lists(st.integers(END, END + 50), unique=True, max_size=4),
)
def test_how_often_one_looks_a_restart_and_a_clock_that_is_set_change_nothing(
    config: Config, looks_min: list[int], restarts: set[int], shift_ms: int, tilts: list[int]
) -> None:
    """The same changes at the same times, whoever asks, and whatever else comes in between."""
    end_ms = RECEIVED_MS + (END + 60) * HOUR_MS
    others = [tilt(hour + 0.01) for hour in sorted(tilts)]
    wanted, expected = carried_away(config)
    for each in others:
        expected += wanted.receive(each).changes
    expected += wanted.tick(end_ms)
    assert ("level", 3) in [(c.kind, c.level) for c in expected]

    pipeline, found = carried_away(config)
    pipeline.shift(shift_ms)
    looks = [RECEIVED_MS + END * HOUR_MS + minute * 60_000 for minute in sorted(looks_min)]
    for i, at in enumerate(sorted([*looks, *others], key=_arrival)):
        if isinstance(at, int):
            found += pipeline.tick(at + shift_ms)
        else:
            found += pipeline.receive(replace(at, received_ms=at.received_ms + shift_ms)).changes
        if i in restarts:
            pipeline = restarted(config, pipeline, _arrival(at) + shift_ms)
    found += pipeline.tick(end_ms + shift_ms)
    assert told(found) == [(kind, level, at + shift_ms) for kind, level, at in told(expected)]


def _arrival(at: int | Reading) -> int:
    return at if isinstance(at, int) else at.received_ms


def test_to_decide_anew_a_replay_goes_on_until_the_alarm(config: Config) -> None:
    pipeline, live = carried_away(config)
    end_ms = RECEIVED_MS + (END + 60) * HOUR_MS
    live += pipeline.tick(end_ms)
    for until_ms, expected in ((0, []), (end_ms, told(live))):
        again = replay(config, {"slope": "none"}, ROWS, until_ms)
        assert told([c for _, outcome in again if outcome for c in outcome.changes]) == expected
