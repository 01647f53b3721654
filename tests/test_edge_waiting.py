"""Rows that wait for others, where no others come: they are judged all the same, in time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.alarm import AlarmChange
from edge.config import Config, load_config
from edge.flags import Flag
from edge.pipeline import Pipeline
from firmware_bridge.reading import Reading

HOUR_MS = 3_600_000
LATENESS_H = 12
T0_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS
RECEIVED_MS = 5_000_000_000
"""Another clock than that of the rows."""
TOML = f"""\
[gateway]
name = "bluff"
[[port]]
name = "node"
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
[[station.rule]]
name = "wide"
level = 3
when = [{{ evidence = "value", above = 10.0 }}]
"""
LOST = 21
"""The row that is lost on the way; those after it are the last of the sensor."""
LAST_MM = (2.5, 4.0, 6.0, 8.5, 11.5, 15.0, 500.0)
END = LOST + len(LAST_MM)
DUE_MS = RECEIVED_MS + (LOST + 5 + LATENESS_H) * HOUR_MS
"""When the first above the limit has waited long enough."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = Path(tmp_path_factory.mktemp("site")) / "gateway.toml"
    path.write_text(TOML)
    return load_config(path)


def reading(hour: int, value: float) -> Reading:
    at = T0_MS + hour * HOUR_MS
    return Reading("node", at, hour, ("crack",), (value,), RECEIVED_MS + hour * HOUR_MS)


def carried_away(config: Config) -> tuple[Pipeline, list[AlarmChange]]:
    """A sensor that sees a crack open after a hole, and then nothing ever again."""
    pipeline = Pipeline(config, {"slope": "none"})
    rows = [*(reading(hour, 1.0 + hour % 2 * 0.1) for hour in range(LOST))]
    rows += [reading(LOST + 1 + i, value) for i, value in enumerate(LAST_MM)]
    return pipeline, [c for each in rows for c in pipeline.receive(each).changes]


def told(changes: list[AlarmChange]) -> list[tuple[str, int, int]]:
    return [(c.kind, c.level, c.received_ms) for c in changes]


def test_the_last_rows_before_a_sensor_is_gone_raise_the_level(config: Config) -> None:
    pipeline, before = carried_away(config)
    assert before == []  # it waits for the row that is lost
    assert pipeline.tick(DUE_MS) == []
    found = pipeline.tick(DUE_MS + 1000)
    assert told(found) == [("level", 3, DUE_MS)]
    assert pipeline.stations["slope"].alarm.level == 3


def test_what_comes_of_it_is_told_with_the_next_reading(config: Config) -> None:
    pipeline, _ = carried_away(config)
    pipeline.tick(DUE_MS + 30 * HOUR_MS)
    flags = pipeline.receive(reading(END + 40, 15.0)).rows[0].flags
    assert [(each.time_ms, each.channel) for each in flags if each.flags & Flag.RANGE] == [
        (T0_MS + END * HOUR_MS, "crack")
    ]


@settings(max_examples=60)
@given(
    looks_min=st.lists(st.integers(0, 60 * 30), max_size=12),
    restarts=st.sets(st.integers(0, 11), max_size=3),
    shift_ms=st.sampled_from([0, 0, 7 * HOUR_MS, -7 * HOUR_MS]),
)
def test_how_often_one_looks_a_restart_and_a_clock_that_is_set_change_nothing(
    config: Config, looks_min: list[int], restarts: set[int], shift_ms: int
) -> None:
    wanted, _ = carried_away(config)
    end_ms = RECEIVED_MS + (END + 60) * HOUR_MS
    expected = told(wanted.tick(end_ms))
    assert [(kind, level) for kind, level, _ in expected] == [("level", 3), ("silence", 3)]

    pipeline, _ = carried_away(config)
    pipeline.shift(shift_ms)
    found: list[AlarmChange] = []
    for i, minute in enumerate(sorted(looks_min)):
        now_ms = RECEIVED_MS + END * HOUR_MS + minute * 60_000 + shift_ms
        found += pipeline.tick(now_ms)
        if i in restarts:
            state = json.loads(json.dumps(pipeline.snapshot(), allow_nan=False))
            pipeline = Pipeline(config, {"slope": "none"})
            assert pipeline.restore(state, now_ms) == []
    found += pipeline.tick(end_ms + shift_ms)
    assert told(found) == [(kind, level, at + shift_ms) for kind, level, at in expected]
