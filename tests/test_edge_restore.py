"""What is restored after a restart: damage and change in one part cost no other part its state."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from edge.alarm import AlarmChange
from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import Bundle, load_bundle
from edge.config import Config, load_config
from edge.pipeline import Pipeline
from edge.trust import ANY_SIGNER
from export.slope import CHANNELS, generate
from firmware_bridge.reading import Reading

BUNDLE = load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)
START_MS = 1_704_067_200_000
STEP_MS = 600_000


def config() -> Config:
    one = load_config(demo_bundle().parent / "gateway.toml")
    return replace(one, stations=(replace(one.stations[0], name="another"), one.stations[0]))


def pipeline(bundle: Bundle | str = BUNDLE) -> Pipeline:
    return Pipeline(config(), {"another": bundle, "slope": BUNDLE})


def readings(start: int, end: int, away_ms: int = 0) -> list[Reading]:
    slope = generate(9.9, seed=7, failure_day=10.0)
    rows = list(zip(slope.time_ms.tolist(), slope.values.tolist(), strict=True))
    return [
        Reading("node", t, i, CHANNELS, tuple(row), START_MS + i * STEP_MS + away_ms)
        for i, (t, row) in enumerate(rows)
        if start <= i < end
    ]


def run(watch: Pipeline, items: list[Reading]) -> list[AlarmChange]:
    return [change for reading in items for change in watch.receive(reading).changes]


def saved(watch: Pipeline) -> dict[str, Any]:
    return dict(json.loads(json.dumps(watch.snapshot(), allow_nan=False)))


FAILED = pipeline()
run(FAILED, readings(0, 1425))
LAST = readings(1425, 1426)
NOW_MS = LAST[0].received_ms


def lose(state: dict[str, Any], path: str) -> None:
    *folders, name = path.split(".")
    for folder in folders:
        state = state[folder]
    del state[name]


@pytest.mark.parametrize(
    "path",
    [
        "stations.another.watch",
        "stations.another.watch.grid.cells",
        "stations.another.watch.features.held",
        "stations.another.watch.kinematics.medians",
        "stations.another.watch.forecaster.rows",
        "stations.another.watch.detectors",
        "stations.another.silence",
        "stations.another.silence.since_ms",
        "stations.another.bundle",
        "gates",
        "board",
        "gates.node.doubts",
    ],
)
def test_a_state_in_part_unusable_keeps_every_level(path: str) -> None:
    state = saved(FAILED)
    lose(state, path)
    after = pipeline()
    notes = after.restore(state, NOW_MS)
    assert len(notes) == 1
    assert [station.alarm.level for station in after.stations.values()] == [4, 4]
    assert after.receive(LAST[0]).reason == ""
    whole = saved(FAILED)["stations"]["slope"]
    restored = pipeline()
    restored.restore(state, NOW_MS)
    assert saved(restored)["stations"]["slope"] == whole


@pytest.mark.parametrize("path", ["level", "scores.above", "scores.seen", "silent", "no_data"])
def test_an_alarm_that_cannot_be_restored_costs_no_other_station_its_level(path: str) -> None:
    state = saved(FAILED)
    lose(state, f"stations.another.alarm.{path}")
    after = pipeline()
    notes = after.restore(state, NOW_MS)
    assert [note for note in notes if note.startswith("another: the saved alarm level")]
    assert [station.alarm.level for station in after.stations.values()] == [0, 4]
    assert saved(after)["stations"]["another"] == saved(pipeline())["stations"]["another"]


def test_a_bundle_made_anew_under_the_same_label_does_not_get_the_old_state() -> None:
    features = BUNDLE.manifest.features
    fewer = replace(
        features, terms=features.terms[:-1], mean=features.mean[:-1], sd=features.sd[:-1]
    )
    other = replace(BUNDLE, manifest=replace(BUNDLE.manifest, features=fewer, detectors=()))
    other = replace(other, detectors=())
    assert other.manifest.label == BUNDLE.manifest.label
    after = pipeline(other)
    notes = after.restore(saved(FAILED), NOW_MS)
    assert notes == ["another: bundle changed, models warm up anew; the alarm level is kept"]
    assert after.stations["another"].alarm.level == 4


@pytest.mark.parametrize("was", ["another bundle", "none"])
def test_no_data_over_a_change_of_bundle_ends_when_the_new_one_scores(was: str) -> None:
    before = pipeline("its bundle is damaged" if was == "none" else BUNDLE)
    run(before, readings(0, 200))
    limit_ms = config().stations[0].no_data_after_ms
    before.tick(readings(199, 200)[0].received_ms + limit_ms + 1)
    state = saved(before)
    assert state["stations"]["another"]["alarm"]["no_data"]
    if was != "none":
        state["stations"]["another"]["bundle"] = was
    after = pipeline()
    away_ms = 2 * limit_ms
    after.restore(state, readings(200, 201)[0].received_ms + away_ms)
    assert after.stations["another"].alarm.no_data
    found = [c for c in run(after, readings(200, 400, away_ms)) if c.station == "another"]
    # Its channels report at once, and that is told; it stays NO-DATA until there are scores.
    ended = [c.no_data for c in found].index(False)
    assert ended <= 1
    assert not any(c.no_data for c in found[ended:])
    assert found[-1].reason == "all channels and scores report again"
    assert not after.stations["another"].alarm.no_data


@pytest.mark.parametrize("ever", [0, 200])
def test_a_gateway_that_starts_over_and_over_does_not_put_silence_off(ever: int) -> None:
    limit_ms = config().stations[0].no_data_after_ms
    now_ms = readings(ever, ever + 1)[0].received_ms
    watch, found = pipeline(), []
    run(watch, readings(0, ever))
    for _ in range(5):
        for part in range(4):  # a quarter of the limit in all, then an hour without power
            found += watch.tick(now_ms + part * limit_ms // 12)
        state, now_ms = saved(watch), now_ms + limit_ms // 4 + 3_600_000
        watch = pipeline()
        watch.restore(state, now_ms)
    assert [(c.station, c.no_data) for c in found] == [("another", True), ("slope", True)]


def test_the_time_without_power_is_no_silence() -> None:
    watch = pipeline()
    run(watch, readings(0, 200))
    after = pipeline()
    away_ms = 30 * 86_400_000
    now_ms = readings(200, 201)[0].received_ms + away_ms
    after.restore(saved(watch), now_ms)
    assert after.tick(now_ms) == []
    assert run(after, readings(200, 210, away_ms)) == []
