"""A trial over a restart, and the bundle that has passed it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from trial_slope import BUNDLE, START, begin, config, jumpy, readings, saved, tried

from edge.pipeline import Pipeline


@pytest.mark.parametrize("at", [START + 1, START + 24, START + 100, START + 287])
def test_a_restart_goes_on_where_it_was(at: int) -> None:
    whole = tried(BUNDLE)
    pipeline = Pipeline(config(), {"slope": BUNDLE})
    trial = None
    for place, reading in enumerate(readings()):
        if place == START:
            trial = begin(pipeline, BUNDLE, 24.0)
        if place == at:
            state = saved(pipeline)
            pipeline = Pipeline(config(), {"slope": BUNDLE})
            trial = begin(pipeline, BUNDLE, 24.0)
            assert pipeline.restore(state, reading.received_ms) == []
        pipeline.receive(reading)
        if trial is not None and trial.verdict is not None:
            break
    assert trial is not None
    assert trial.verdict == whole.verdict
    assert trial.values() == whole.values()


def test_a_trial_of_another_bundle_or_length_begins_anew() -> None:
    pipeline = Pipeline(config(), {"slope": BUNDLE})
    begin(pipeline, BUNDLE, 24.0)
    for reading in readings()[:100]:
        pipeline.receive(reading)
    state = saved(pipeline)
    for bundle, hours, kept in (
        (BUNDLE, 24.0, True),
        (BUNDLE, 48.0, False),
        (jumpy(), 24.0, False),
    ):
        after = Pipeline(config(), {"slope": BUNDLE})
        trial = begin(after, bundle, hours)
        assert after.restore(state, 0) == []
        assert (trial.tally.seen > 0) == kept


@pytest.mark.parametrize("lost", ["watch", "tally", "errors", "verdict", "identity", "cost_s"])
def test_a_damaged_state_of_a_trial_costs_the_trial_alone(lost: str) -> None:
    pipeline = Pipeline(config(), {"slope": BUNDLE})
    begin(pipeline, BUNDLE, 24.0)
    for reading in readings()[:100]:
        pipeline.receive(reading)
    state = saved(pipeline)
    kept = json.loads(state["stations"]["slope"]["trial"])
    del kept[lost]
    state["stations"]["slope"]["trial"] = json.dumps(kept)
    after = Pipeline(config(), {"slope": BUNDLE})
    trial = begin(after, BUNDLE, 24.0)
    assert after.restore(state, 0) == []
    assert (trial.tally.seen, trial.verdict) == (0, None)
    kept, new = saved(pipeline), saved(after)
    assert new["stations"]["slope"]["watch"] == kept["stations"]["slope"]["watch"]


def test_what_has_passed_takes_over_with_warm_models() -> None:
    pipeline = Pipeline(config(), {"slope": BUNDLE})
    newer = replace(BUNDLE, manifest=replace(BUNDLE.manifest, version=2))
    for reading in readings()[:START]:
        pipeline.receive(reading)
    begin(pipeline, newer, 24.0)
    for reading in readings()[START : START + 400]:
        pipeline.receive(reading)
    after = Pipeline(config(), {"slope": newer})
    (note,) = after.restore(saved(pipeline), 0)
    assert note == "slope: bundle changed, models go on; the alarm level is kept"
    (step,) = after.receive(readings()[START + 400]).scored
    assert {score.kind for score in step.scores} > {"velocity", "forecast"}
    cold = Pipeline(config(), {"slope": newer})
    state = saved(pipeline)
    state["stations"]["slope"]["trial"] = None
    (note,) = cold.restore(state, 0)
    assert "models warm up anew" in note
    (step,) = cold.receive(readings()[START + 400]).scored
    assert "forecast" not in {score.kind for score in step.scores}


def test_a_good_verdict_with_a_state_that_is_damaged_is_none() -> None:
    pipeline = Pipeline(config(), {"slope": BUNDLE})
    trial = begin(pipeline, BUNDLE, 1.0)
    for reading in readings()[:100]:
        pipeline.receive(reading)
    assert trial.verdict is not None
    kept = json.loads(trial.snapshot())
    for lost in ("tally", "watch", "errors"):
        station = Pipeline(config(), {"slope": BUNDLE})
        again = begin(station, BUNDLE, 1.0)
        assert not again.restore(json.dumps(kept | {lost: {}}))
        assert (again.verdict, again.tally.seen) == (None, 0)
        assert again.restore(json.dumps(kept))
        assert again.verdict == trial.verdict


def test_what_was_silent_before_another_bundle_took_over_is_so_still() -> None:
    pipeline = Pipeline(config(), {"slope": BUNDLE})
    newer = replace(BUNDLE, manifest=replace(BUNDLE.manifest, version=2))
    begin(pipeline, newer, 24.0)
    told = []
    for place, reading in enumerate(readings()[:260]):
        values = reading.values if place < 200 else (*reading.values[:-1], float("nan"))
        told += pipeline.receive(replace(reading, values=values)).changes
    silent = pipeline.stations["slope"].alarm.silent
    assert silent
    after = Pipeline(config(), {"slope": newer})
    after.restore(saved(pipeline), readings()[259].received_ms)
    assert after.stations["slope"].alarm.silent == silent
    reading = readings()[260]
    values = (*reading.values[:-1], float("nan"))
    assert after.receive(replace(reading, values=values)).changes == ()
    changes = after.receive(readings()[261]).changes
    assert [change.kind for change in changes] == ["silence"]
