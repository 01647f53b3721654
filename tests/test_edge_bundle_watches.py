"""What would watch less, lacks what a rule looks at, or is older than what is armed: not taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_bundle
from trial_parts import Field
from trial_slope import BUNDLE, begin, config, readings, saved

from edge.bundle_install import read_index, write_index
from edge.bundle_watches import less
from edge.counters import read_counters
from edge.errors import TalusError
from edge.manifest import Manifest
from edge.pipeline import Pipeline

MANIFEST = tiny_bundle.manifest()
STATION = config().stations[0]
GRU, (PCA,) = MANIFEST.forecaster, MANIFEST.detectors
ARMED = replace(MANIFEST, detectors=(replace(PCA, armed=True),))
BASELINE = replace(GRU, armed=False, baseline=replace(GRU.baseline, threshold=(3.0,)))


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        (MANIFEST, MANIFEST, ""),
        (MANIFEST, ARMED, ""),
        (ARMED, MANIFEST, "pca"),
        (MANIFEST, replace(MANIFEST, forecaster=replace(GRU, residual_threshold=(0.0,))),
         "residual"),
        (MANIFEST, replace(MANIFEST, forecaster=BASELINE), "forecast, residual"),
        (replace(MANIFEST, forecaster=BASELINE), MANIFEST, ""),
        (MANIFEST, replace(MANIFEST, channels=MANIFEST.channels[:1]), "channel rain"),
        (replace(MANIFEST, kinematics=replace(MANIFEST.kinematics, targets=("crack", "tilt"))),
         MANIFEST, "velocity of tilt"),
    ],
)  # fmt: skip
def test_what_would_no_longer_be_watched_is_named(
    before: Manifest, after: Manifest, named: str
) -> None:
    assert less(STATION, before, after) == named


def test_a_model_that_may_raise_nothing_here_watches_nothing() -> None:
    alarm = replace(STATION.alarm, ceiling=(("forecast", 4), ("pca", 0)))
    assert less(replace(STATION, alarm=alarm), ARMED, MANIFEST) == ""


def test_a_bundle_that_arms_less_passes_no_trial_and_is_told_at_once() -> None:
    spec = replace(BUNDLE.manifest.forecaster, residual_threshold=(0.0, 0.0))
    blind = replace(BUNDLE, manifest=replace(BUNDLE.manifest, forecaster=spec))
    pipeline = Pipeline(config(), {"slope": BUNDLE})
    trial = begin(pipeline, blind, 24.0)
    assert trial.verdict is not None
    assert not trial.verdict.healthy
    said = "it would no longer watch residual: commit it with --now if that is meant"
    assert trial.verdict.text == said
    pipeline.receive(readings()[0])
    state = saved(pipeline)
    again = Pipeline(config(), {"slope": BUNDLE})
    assert begin(again, blind, 24.0).restore(state["stations"]["slope"]["trial"])
    after = again.stations["slope"].trial
    assert after is not None
    assert after.verdict == trial.verdict


@pytest.fixture
def field(tmp_path: Path) -> Field:
    return Field(tmp_path)


def less_armed(values: dict[str, Any]) -> None:
    values["forecaster"]["residual_threshold"] = [0.0]


def test_a_person_may_take_what_watches_less_and_the_answer_names_it(field: Field) -> None:
    field.stage("less", 6, 2, less_armed)
    field.start()
    field.commit("less")
    field.turn(2)
    (reason,) = field.told()
    assert "bluff v2 is taken back" in reason
    assert "it would no longer watch residual" in reason
    assert field.index()["trial"] == {}
    text = field.commit("less", now=True)["text"]
    assert text.endswith("; slope is then no longer watched by residual")
    field.again()
    assert field.label() == "bluff v2"


@pytest.mark.parametrize("now", [True, False])
def test_what_is_older_than_what_is_armed_is_not_taken(field: Field, now: bool) -> None:
    field.start()
    field.stage("third", 7, 3)
    field.commit("third", now=True)
    field.again()
    assert (field.label(), read_counters(field.data_dir)[0]) == ("bluff v3", {"bluff": 5})
    field.stage("older", 6, 2)
    with pytest.raises(TalusError, match="counter 7 is armed at slope: bluff v2 is older"):
        field.commit("older", now=now)
    assert field.index()["armed"]["slope"]["bundle"] == "third"


def test_what_passed_is_not_taken_where_a_newer_one_was_armed_meanwhile(field: Field) -> None:
    field.start()
    field.feed(40)
    field.stage("older", 6, 2)
    field.commit("older")
    index = field.index()
    field.stage("third", 7, 3)
    field.commit("third", now=True)
    # Its trial goes on, as if written down again by a program that did not know of it.
    write_index(field.data_dir, read_index(field.data_dir) | {"trial": index["trial"]})
    field.gateway._trials.renew()
    field.feed(40, lambda: not field.index()["trial"])
    assert any("is older (counter 6)" in reason for reason in field.told())
    assert (field.index()["armed"]["slope"]["bundle"], field.label()) == ("third", "bluff v1")


RULE = """[[station.rule]]
name = "seen"
level = 2
when = [{ evidence = "residual", above = 3.0 }]
"""


def test_a_bundle_that_lacks_what_a_rule_looks_at_is_not_taken(tmp_path: Path) -> None:
    field = Field(tmp_path)
    path = tmp_path / "gateway.toml"
    text = path.read_text(encoding="utf-8").replace("[remote]", RULE + "[remote]")
    path.write_text(text, encoding="utf-8")
    field = Field(tmp_path)

    def unforeseeing(values: dict[str, Any]) -> None:
        spec = values["forecaster"]
        spec["armed"], spec["baseline"]["threshold"] = False, [3.0]

    field.stage("poor", 6, 2, unforeseeing)
    field.start()
    for now in (False, True):
        with pytest.raises(TalusError, match="its rules cannot do with bluff v2: .*residual"):
            field.commit("poor", now=now)
    assert (field.index()["trial"], field.index()["armed"]) == ({}, {})
    field.again()
    assert field.label() == "bluff v1"
