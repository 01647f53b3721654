"""The pure core as a whole: the same readings give the same alarms, however it is run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import load_bundle
from edge.config import Config, load_config
from edge.message import change_values
from edge.pipeline import Pipeline
from edge.trust import ANY_SIGNER
from export.slope import CHANNELS, generate
from firmware_bridge.reading import Reading

BUNDLE = load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)
START_MS = 1_704_067_200_000


def config() -> Config:
    return load_config(demo_bundle().parent / "gateway.toml")


def readings(days: float = 9.9, *, arrive_every_ms: int = 600_000) -> list[Reading]:
    slope = generate(days, seed=7, failure_day=10.0)
    return [
        Reading("node", int(t), i, CHANNELS, tuple(row), START_MS + i * arrive_every_ms)
        for i, (t, row) in enumerate(zip(slope.time_ms, slope.values.tolist(), strict=True))
    ]


def alarms(pipeline: Pipeline, items: list[Reading], tick_every: int = 0) -> list[dict]:
    found = []
    for i, reading in enumerate(items):
        if tick_every and i and i % tick_every == 0:
            found += pipeline.tick(reading.received_ms - 1)
        found += pipeline.receive(reading).changes
    return [change_values(change, "g") for change in found]


def levelled(found: list[dict]) -> list[tuple]:
    keys = ("time_ms", "received_ms", "level", "previous_level", "reason", "evidence")
    return [tuple(a[k] for k in keys) for a in found if a["reason"].startswith("level")]


def fresh(settings_of: Config | None = None) -> Pipeline:
    settings_of = settings_of or config()
    return Pipeline(settings_of, {s.name: BUNDLE for s in settings_of.stations})


READINGS = readings()
EXPECTED = alarms(fresh(), READINGS)


def test_the_slope_fails_and_every_level_is_announced() -> None:
    levels = [a["level"] for a in EXPECTED]
    assert set(levels) == {0, 1, 2, 3, 4}
    assert levels[-4:] == [1, 2, 3, 4]
    assert len({a["id"] for a in EXPECTED}) == len(EXPECTED)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, len(READINGS) - 1))
def test_a_restart_at_any_reading_changes_nothing(cut: int) -> None:
    before = fresh()
    first = alarms(before, READINGS[:cut])
    kept = json.loads(json.dumps(before.snapshot(), allow_nan=False))
    after = fresh()
    assert after.restore(kept, READINGS[cut].received_ms) == []
    # Silence is measured anew from the restart; levels and their evidence are as if nothing was.
    assert levelled(first + alarms(after, READINGS[cut:])) == levelled(EXPECTED)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 50))
def test_how_often_one_looks_for_silence_changes_nothing(every: int) -> None:
    assert alarms(fresh(), READINGS, tick_every=every) == EXPECTED


def test_silence_is_announced_once_at_the_time_it_was_due() -> None:
    pipeline = fresh()
    alarms(pipeline, READINGS[:200])
    last_ms = READINGS[199].received_ms
    limit_ms = config().stations[0].no_data_after_ms
    assert pipeline.tick(last_ms + limit_ms) == []
    changes = pipeline.tick(last_ms + limit_ms + 1)
    assert [c.no_data for c in changes] == [True]
    assert changes[0].received_ms == last_ms + limit_ms
    assert set(CHANNELS) <= set(changes[0].silent)
    assert pipeline.tick(last_ms + 10 * limit_ms) == []


def test_one_channel_that_falls_silent_is_named_and_the_rest_is_watched() -> None:
    pipeline = fresh()
    alarms(pipeline, READINGS[:200])
    place = CHANNELS.index("tilt_y")
    without = [replace_value(reading, place, float("nan")) for reading in READINGS[200:216]]
    found = alarms(pipeline, without)
    named = [a for a in found if a["silent"] == ["tilt_y"]]
    assert len(named) == 1
    assert not named[0]["no_data"]
    back = alarms(pipeline, READINGS[216:218])
    assert back[0]["reason"] == "all channels and scores report again"


def replace_value(reading: Reading, place: int, value: float) -> Reading:
    values = list(reading.values)
    values[place] = value
    return Reading(
        reading.source, reading.time_ms, reading.sequence, reading.channels,
        tuple(values), reading.received_ms,
    )  # fmt: skip


def test_a_clock_that_is_set_does_not_make_the_slope_look_silent() -> None:
    pipeline = fresh()
    alarms(pipeline, READINGS[:200])
    years_ms = 20 * 366 * 86_400_000
    now_ms = READINGS[199].received_ms + years_ms
    pipeline.shift(years_ms)
    assert pipeline.tick(now_ms + 1000) == []
    limit_ms = config().stations[0].no_data_after_ms
    assert pipeline.tick(now_ms + limit_ms + 1000) != []


def test_a_station_without_a_bundle_says_so_and_the_others_go_on() -> None:
    both = config()
    other = replace(both.stations[0], name="other")
    both = replace(both, stations=(both.stations[0], other))
    pipeline = Pipeline(both, {"slope": BUNDLE, "other": "its bundle is damaged"})
    found = alarms(pipeline, READINGS)
    mine = [a for a in found if a["station"] == "other"]
    assert len(mine) == 1
    assert mine[0]["no_data"]
    assert "its bundle is damaged" in mine[0]["reason"]
    theirs = [a for a in found if a["station"] == "slope"]
    assert theirs == EXPECTED
    outcome = pipeline.receive(later(READINGS[-1]))
    assert [row.station for row in outcome.rows] == ["slope", "other"]


def later(reading: Reading) -> Reading:
    return Reading(
        reading.source, reading.time_ms + 600_000, reading.sequence + 1, reading.channels,
        reading.values, reading.received_ms + 600_000,
    )  # fmt: skip


def test_another_bundle_keeps_the_level_and_lets_it_fall_again() -> None:
    pipeline = fresh()
    alarms(pipeline, READINGS)
    kept = json.loads(json.dumps(pipeline.snapshot()))
    kept["stations"]["slope"]["bundle"] = "another v7"
    kept["stations"]["slope"]["alarm"]["scores"]["seen"].append(["autoencoder", ""])
    after = fresh()
    notes = after.restore(kept, READINGS[-1].received_ms)
    assert "the alarm level is kept" in notes[0]
    assert after.stations["slope"].alarm.level == 4
    calm, still = readings(5.0)[:700], READINGS[-1]
    moved = [
        Reading(
            "node", still.time_ms + (i + 1) * 600_000, still.sequence + i + 1, CHANNELS,
            r.values, still.received_ms + (i + 1) * 600_000,
        )
        for i, r in enumerate(calm)
    ]  # fmt: skip
    alarms(after, moved)
    assert after.stations["slope"].alarm.level < 4


def test_a_refused_reading_says_why_and_costs_the_next_nothing() -> None:
    pipeline = fresh()
    alarms(pipeline, READINGS[:10])
    wrong = Reading("node", 0, 11, CHANNELS, READINGS[10].values, READINGS[10].received_ms)
    assert pipeline.receive(wrong).reason == "time_range"
    assert pipeline.receive(wrong).rows == ()
    assert pipeline.receive(READINGS[10]).reason == ""


@pytest.mark.parametrize("columns", [CHANNELS[::-1], (*CHANNELS, "extra")])
def test_a_node_may_order_its_channels_as_it_likes(columns: tuple[str, ...]) -> None:
    pipeline, wanted = fresh(), []
    for reading in READINGS[:300]:
        by_name = dict(zip(CHANNELS, reading.values, strict=True))
        values = tuple(by_name.get(name, 9.9) for name in columns)
        moved = Reading(
            "node", reading.time_ms, reading.sequence, columns, values, reading.received_ms
        )
        wanted += pipeline.receive(moved).changes
    assert [change_values(c, "g") for c in wanted] == alarms(fresh(), READINGS[:300])


def test_paths_of_the_configuration_are_relative_to_its_folder() -> None:
    assert config().data_dir == Path(demo_bundle().parent.resolve() / "talus-data")
