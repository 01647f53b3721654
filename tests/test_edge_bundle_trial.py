"""A committed bundle is tried, and then takes over or is taken back by itself: a real gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from trial_parts import STEPS, WARM, Field, jumpy, replies, staged

import edge.bundle_commit
import edge.bundle_trial
from edge.counters import read_counters
from edge.errors import TalusError
from edge.schema_commands import load_schema

field = pytest.fixture(staged)
ALL = STEPS + WARM + 2


def test_it_is_tried_at_once_and_takes_over_when_it_has_shown_itself(field: Field) -> None:
    field.start()
    field.feed(40)
    reply = field.commit("next")
    assert (reply["done"], reply["more"]) == (True, True)
    assert "bluff v2 (counter 6) is tried at slope for 2 h of readings" in reply["text"]
    assert (field.label(), field.trial().label) == ("bluff v1", "bluff v2")
    assert field.index()["armed"] == {}
    field.feed(10)
    standing = field.health()["trial"]["slope"]
    assert (standing["bundle"], standing["beside"]) == ("bluff v2", "bluff v1")
    assert 0 < standing["steps"] < standing["of_steps"] == STEPS
    faults = list(
        Draft202012Validator(
            {**load_schema("health"), "required": [], "properties": {
                "remote": load_schema("health")["properties"]["remote"]}}
        ).iter_errors({"remote": field.health()})
    )  # fmt: skip
    assert faults == []
    field.feed(ALL, lambda: field.label() == "bluff v2")
    assert field.label() == "bluff v2"
    assert field.trial() is None
    passed, watches = field.told()
    assert passed.startswith("bluff v2 has passed its trial beside bluff v1 and takes over: ")
    assert watches == "bluff v2 watches from now on"
    last = replies(field.gateway)[-1]
    assert (last["id"], last["done"], last["text"]) == ("c-1", True, passed)
    assert "station slope: bluff v2 has passed its trial" in field.audit()
    assert field.health()["trial"]["slope"]["ended"]["healthy"] is True
    entry = field.index()["armed"]["slope"]
    assert (entry["bundle"], entry["fresh"], field.index()["trial"]) == ("next", True, {})
    before = field.gateway.pipeline.stations["slope"].watch.snapshot()
    assert before["forecaster"]["steps"] > 20  # its models were warm
    state = field.gateway.desk._signatures["slope"]
    assert state["counter"] == 6
    field.again()
    assert field.label() == "bluff v2"
    assert field.gateway.pipeline.stations["slope"].watch.snapshot() == before


def test_one_that_alarms_on_its_own_is_taken_back_and_it_is_told(field: Field) -> None:
    field.stage("loud", 7, 3, jumpy)
    field.start()
    field.feed(40)
    field.commit("loud")
    field.feed(100, lambda: field.trial() is None)
    field.turn()
    assert (field.label(), field.index()["trial"], field.index()["armed"]) == ("bluff v1", {}, {})
    (reason,) = field.told()
    assert reason.startswith("bluff v3 is taken back: on trial beside bluff v1 its scores ")
    last = replies(field.gateway)[-1]
    assert (last["id"], last["done"], last["text"]) == ("c-1", False, reason)
    assert f"station slope: {reason}" in field.audit()
    ended = field.health()["trial"]["slope"]["ended"]
    assert (ended["bundle"], ended["healthy"], ended["text"]) == ("loud", False, reason)
    field.again()
    assert (field.label(), field.trial(), len(field.told())) == ("bluff v1", None, 1)
    field.stage("third", 8, 4)
    assert field.commit("third")["done"]  # and the next one may come


def test_a_restart_in_the_middle_goes_on_where_it_was(field: Field) -> None:
    field.start()
    field.feed(40)
    field.commit("next")
    field.feed(15)
    before = field.trial().values()
    field.again(killed=True)
    assert field.trial().values() == before
    field.feed(ALL, lambda: field.label() == "bluff v2")
    assert field.sent <= 40 + ALL
    assert field.label() == "bluff v2"


def test_a_second_commit_takes_the_place_of_the_first(field: Field) -> None:
    field.start()
    field.feed(40)
    field.commit("next")
    field.feed(10)
    field.stage("third", 7, 3)
    field.commit("third")
    assert field.trial().label == "bluff v3"
    assert field.trial().tally.seen == 0
    field.feed(ALL, lambda: field.label() != "bluff v1")
    assert field.label() == "bluff v3"
    assert [reason.split(" ", 2)[1] for reason in field.told()] == ["v3", "v3"]


def test_where_nothing_watches_the_first_scores_are_trial_enough(field: Field) -> None:
    (field.folder / "bundle" / "gru.onnx").write_bytes(b"rot")
    field.start()
    field.feed(10)
    assert field.label() == "none"
    field.commit("next")
    field.feed(12, lambda: field.label() == "bluff v2")
    assert field.label() == "bluff v2"
    assert field.told()[0].startswith("bluff v2 has passed its trial beside no other bundle")


def test_running_takes_a_trial_back(field: Field) -> None:
    field.start()
    field.feed(40)
    field.commit("next")
    assert field.commit("running", "*")["text"] == "what watches now goes on"
    assert (field.trial(), field.index()["trial"]) == (None, {})
    field.feed(ALL)
    assert (field.label(), field.told()) == ("bluff v1", [])


def test_a_person_may_have_it_at_the_next_start_without_a_trial(field: Field) -> None:
    field.start()
    field.commit("next")
    reply = field.commit("next", now=True)
    assert "watches slope from the next start on" in reply["text"]
    assert "more" not in reply
    assert (field.label(), field.trial()) == ("bluff v1", None)
    field.again()
    assert field.label() == "bluff v2"


def test_two_stations_of_one_bundle_name_change_together_or_not_at_all(tmp_path: Path) -> None:
    field = Field(tmp_path)
    path = tmp_path / "gateway.toml"
    text = path.read_text(encoding="utf-8")
    station = text[text.index("[[station]]") : text.index("[remote]")]
    path.write_text(text.replace("[remote]", station.replace('"slope"', '"toe"') + "[remote]"))
    field.stage("next", 6, 2)
    field.start()
    field.feed(40)
    with pytest.raises(TalusError, match="station toe runs an older bundle of the same name"):
        field.commit("next", "slope")
    field.commit("next", "*")
    field.feed(10)
    field.trial("toe").tally.__init__(
        field.trial("toe").tally.plan, field.trial("toe").tally._rules
    )
    field.feed(ALL - 10 - 2, field.told)
    field.turn()
    assert "; once it has passed at toe too" in field.told()[0]
    assert (field.label("slope"), field.label("toe")) == ("bluff v1", "bluff v1")
    assert field.index()["trial"]["slope"]["passed"] is True
    field.again(killed=True)
    field.feed(ALL, lambda: field.label("toe") == "bluff v2")
    assert (field.label("slope"), field.label("toe")) == ("bluff v2", "bluff v2")
    assert len(field.told("slope")) == 2
    field.stage("loud", 7, 3, jumpy)
    field.commit("loud", "*")
    field.feed(100, lambda: field.trial("slope") is None and field.trial("toe") is None)
    field.turn()
    assert (field.label("slope"), field.label("toe")) == ("bluff v2", "bluff v2")
    assert field.index()["trial"] == {}


def test_one_that_rotted_before_its_trial_began_is_told_and_dropped(field: Field) -> None:
    field.start()
    field.commit("next")
    field.stop()
    (field.data_dir / "bundles" / "next" / "gru.onnx").write_bytes(b"rot")
    field.start()
    assert field.trial() is None
    field.turn(2)
    (reason,) = field.told()
    assert reason.startswith("next: ")
    assert "sha256" in reason
    assert (field.label(), field.index()["trial"]) == ("bluff v1", {})


def test_the_counter_is_raised_once_it_has_served_and_not_by_a_trial(field, monkeypatch) -> None:
    field.start()
    field.feed(40)
    assert read_counters(field.data_dir)[0] == {"bluff": 5}
    field.commit("next")
    field.feed(ALL, lambda: field.label() == "bluff v2")
    assert read_counters(field.data_dir)[0] == {"bluff": 5}
    field.again()
    assert read_counters(field.data_dir)[0] == {"bluff": 5}
    monkeypatch.setattr("edge.bundle_starts.LOOK_S", 0.0)
    monkeypatch.setattr("edge.bundle_starts.needed_s", lambda _: 0.0)
    field.turn()
    assert read_counters(field.data_dir)[0] == {"bluff": 6}
    assert "fresh" not in field.index()["armed"]["slope"]
    assert not (field.data_dir / "bundles" / "starts.json").exists()


class Cut(BaseException):
    """The power goes."""


@pytest.mark.parametrize(
    ("step", "healthy"), [*((i, True) for i in range(8)), *((i, False) for i in range(4))]
)
def test_a_power_cut_at_any_step_of_its_end_leaves_one_or_the_other(
    field: Field, step: int, healthy: bool
) -> None:
    name, new = ("next", "bluff v2") if healthy else ("loud", "bluff v3")
    if not healthy:
        field.stage("loud", 7, 3, jumpy)
    field.start()
    field.feed(40)
    field.commit(name)
    steps = iter(range(1000))

    def cutting(real):
        def call(*args, **more):
            if next(steps) == step:
                raise Cut
            return real(*args, **more)

        return call

    with pytest.MonkeyPatch.context() as patch:
        # Before the end is told, stored, written down, answered; and before the new one takes over.
        for where, what in ((edge.bundle_commit, "write_index"), (edge.bundle_commit, "hold"),
                            (field.gateway._orders, "tell_trial"), (field.gateway.desk, "renew"),
                            (edge.bundle_trial, "Pipeline"), (edge.bundle_trial, "end_trial"),
                            (field.gateway.desk, "put")):  # fmt: skip
            patch.setattr(where, what, cutting(getattr(where, what)))
        with pytest.raises(Cut):
            field.feed(100)
    field.again(killed=True)
    assert field.label() in ("bluff v1", new)
    field.feed(100, lambda: field.label() == "bluff v2")
    field.turn(2)
    assert field.label() == ("bluff v2" if healthy else "bluff v1")
    assert field.index()["trial"] == {}
    if not healthy:
        assert field.told()
    assert json.loads((field.data_dir / "bundles" / "index.json").read_bytes())["format"] == 1


def test_a_disk_that_is_full_writes_it_down_later_and_tells_it_once(field, monkeypatch) -> None:
    field.start()
    field.feed(40)
    field.commit("next")
    real, full = edge.bundle_commit.write_index, [OSError(28, "No space left on device")] * 3

    def write(*args):
        if full:
            raise full.pop()
        real(*args)

    monkeypatch.setattr(edge.bundle_commit, "write_index", write)
    monkeypatch.setattr(edge.bundle_trial, "RETRY_S", 0.0)
    field.feed(ALL + 5, lambda: field.label() == "bluff v2")
    assert field.label() == "bluff v2"
    assert len(field.told()) == 2
