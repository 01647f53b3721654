"""A bundle beside the one that watches: it changes no alarm, and what it does ends its trial."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from trial_slope import (
    BUNDLE,
    START,
    begin,
    bent,
    config,
    frozen,
    jumpy,
    readings,
    saved,
    tried,
)

from edge.bundle import Bundle
from edge.config import Config
from edge.parse_station import StationConfig
from edge.pipeline import Pipeline


def test_a_bundle_as_good_as_the_other_passes_after_its_time() -> None:
    trial = tried(BUNDLE)
    assert trial.verdict is not None
    assert trial.verdict.healthy, trial.verdict
    values = trial.values()
    # A day to settle, as its features remember a day, and the day asked for.
    assert (values["steps"], values["of_steps"]) == (288, 288)
    assert (values["lacking"], values["onsets"], values["high"]) == (0, 0, 0)
    for each in values["errors"].values():
        assert 0.8 < each["error"] / each["error_beside"] < 1.25
    assert "288 steps (48 h), 0 without a score" in trial.verdict.text


def test_a_trial_changes_nothing_of_what_watches() -> None:
    rows = readings(10.0, 9.9)
    without, beside = (Pipeline(config(), {"slope": BUNDLE}) for _ in range(2))
    for place, reading in enumerate(rows):
        if place == START:
            begin(beside, bent(lambda y: y * np.nan), 24.0)
        if place == 900:
            begin(beside, jumpy(), 240.0)
        one, other = beside.receive(reading), without.receive(reading)
        assert (one.changes, one.rows) == (other.changes, other.rows)
        assert [tuple(s.scores) for s in one.scored] == [tuple(s.scores) for s in other.scored]
    one, other = saved(beside), saved(without)
    assert one["stations"]["slope"].pop("trial") is not None
    assert other["stations"]["slope"].pop("trial") is None
    assert one == other
    assert without.stations["slope"].alarm.level == 4


def test_while_a_slope_fails_a_bundle_that_sees_it_too_is_not_blamed() -> None:
    trial = tried(BUNDLE, hours=72.0, rows=readings(10.0, 9.9), start=900)
    assert trial.verdict is None or trial.verdict.healthy
    assert (trial.tally.onsets, trial.tally.high) == (0, 0)
    assert trial.tally.top_mine > 4


@pytest.mark.parametrize(
    ("bundle", "said"),
    [
        (bent(lambda y: y * np.nan), "it gave no score on"),
        (bent(lambda y: y * np.inf), "it gave no score on"),
        (frozen(), "forecast crack_1, forecast tilt_x stood still while the values moved"),
        (bent(lambda y: y + 1.0), "its forecasts of crack_1 are off by"),
        (bent(lambda y: y + 5.0), "would have raised level 2 1 times where nothing else did"),
        (jumpy(), "would have raised level 2 1 times where nothing else did"),
        (bent(lambda y: y[:, :2]), "its models failed: ValueError"),
        (bent(lambda y: 1 / 0), "its models failed: ZeroDivisionError"),
    ],
    ids=["nan", "inf", "stuck", "worse", "high", "thresholds", "shape", "raises"],
)
def test_what_is_wrong_ends_its_trial_and_is_said(bundle: Bundle, said: str) -> None:
    with np.errstate(all="ignore"):
        trial = tried(bundle)
    assert trial.verdict is not None
    assert (trial.verdict.healthy, said in trial.verdict.text) == (False, True), trial.verdict


def test_a_model_that_fails_after_a_while_is_dropped_then_and_not_asked_again() -> None:
    asked = 0

    def fail(y: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked > 50:
            raise RuntimeError("out\nof memory")
        return y

    trial = tried(bent(fail))
    assert trial.verdict is not None
    assert trial.verdict.text == "its models failed: RuntimeError('out\\nof memory')"
    assert asked == 51
    trial.take(0, [], (), 0, rebased=False)
    assert asked == 51


def dull() -> Bundle:
    """Sound models whose thresholds are far too high."""
    m = BUNDLE.manifest

    def high(limits: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(1e6 * limit for limit in limits)

    spec = replace(
        m.forecaster,
        rate_reference=high(m.forecaster.rate_reference),
        residual_threshold=high(m.forecaster.residual_threshold),
    )
    kinematics = replace(m.kinematics, reference=high(m.kinematics.reference))
    detectors = tuple(replace(each, threshold=1e6 * each.threshold) for each in m.detectors)
    blind = replace(m, forecaster=spec, kinematics=kinematics, detectors=detectors)
    return replace(BUNDLE, manifest=blind)


def test_while_a_slope_fails_a_bundle_that_does_not_see_it_is_not_taken() -> None:
    trial = tried(dull(), hours=72.0, rows=readings(10.0, 9.9), start=900)
    assert trial.verdict is not None
    assert "its scores have not seen what raised level 2" in trial.verdict.text


def test_many_trials_share_the_time_that_one_may_take() -> None:
    for share, healthy in ((0.1, True), (0.001, False)):
        pipeline = Pipeline(config(), {"slope": BUNDLE})
        trial = begin(pipeline, BUNDLE, 24.0)
        trial.share = share
        ticks = iter(range(10**6))
        trial.clock = lambda ticks=ticks: 0.9 * next(ticks)  # of a step of 600 s
        for reading in readings()[:100]:
            pipeline.receive(reading)
        assert (trial.verdict is None) == healthy


def test_what_takes_too_long_is_no_bundle_for_this_board() -> None:
    pipeline = Pipeline(config(), {"slope": BUNDLE})
    trial = begin(pipeline, BUNDLE, 24.0)
    ticks = iter(range(10**6))
    trial.clock = lambda: 70.0 * next(ticks)  # of a step of 600 s
    for reading in readings()[:100]:
        pipeline.receive(reading)
    assert trial.verdict is not None
    assert trial.verdict.text == "it takes 70000 ms a step"


def test_a_state_that_cannot_be_stored_ends_the_trial_and_keeps_that_of_the_station() -> None:
    pipeline = Pipeline(config(), {"slope": BUNDLE})
    trial = begin(pipeline, BUNDLE, 24.0)
    for reading in readings()[:50]:
        pipeline.receive(reading)
    trial.watch.forecaster._state[:] = np.nan
    state = saved(pipeline)
    assert state["stations"]["slope"]["watch"] is not None
    assert trial.verdict is not None
    assert "its state cannot be stored" in trial.verdict.text
    after = Pipeline(config(), {"slope": BUNDLE})
    again = begin(after, BUNDLE, 24.0)
    after.restore(state, 0)
    assert again.verdict == trial.verdict


def test_rows_full_of_holes_do_not_keep_a_trial_for_ever() -> None:
    holed = tuple(
        replace(r, values=(float("nan"), *r.values[1:])) if i % 30 < 20 else r
        for i, r in enumerate(readings())
    )
    trial = tried(BUNDLE, hours=6.0, rows=holed)
    assert trial.verdict is not None
    assert trial.verdict.text.startswith("only ")
    assert "steps could be judged" in trial.verdict.text


def rules_alone() -> Config:
    one = config().stations[0]
    return replace(config(), stations=(replace(one, bundle=""),))


def test_it_is_tried_where_no_bundle_watches() -> None:
    trial = tried(BUNDLE, settings=rules_alone(), watched="no bundle configured")
    assert trial.verdict is not None
    assert trial.verdict.healthy, trial.verdict
    assert trial.values()["beside"] == "no other bundle"
    assert all(each["error_beside"] is None for each in trial.values()["errors"].values())
    loud = tried(jumpy(), settings=rules_alone(), watched="no bundle configured")
    assert loud.verdict is not None
    assert not loud.verdict.healthy


def test_a_bundle_of_another_step_is_tried_by_what_the_other_said_last() -> None:
    slower = replace(BUNDLE, manifest=replace(BUNDLE.manifest, step_ms=1_200_000))
    station: StationConfig = replace(config().stations[0], step_ms=0)
    trial = tried(slower, settings=replace(config(), stations=(station,)), hours=12.0)
    assert trial.tally.steps > 0
    assert trial.tally.lacking == 0
    assert trial.values()["errors"] == {}
