"""How what has passed takes over: once nothing stands, whole, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trial_parts import CALM, STEPS, WARM, Field, replies

import edge.bundle_commit
import edge.bundle_trial
from edge import journal

ALL = STEPS + WARM + 2


@pytest.fixture
def field(tmp_path: Path) -> Field:
    Field(tmp_path)
    path = tmp_path / "gateway.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(CALM, f"{CALM}\noff_delay_s = 3600"), encoding="utf-8")
    found = Field(tmp_path)
    found.stage("next", 6, 2)
    return found


def level(field: Field) -> int:
    return field.gateway.pipeline.stations["slope"].alarm.level


def failing(field: Field) -> None:
    """It has passed its trial while the slope moves, and a level stands."""
    field.start()
    field.feed(40)
    field.commit("next")
    field.feed(10)
    field.creep = 0.08
    field.feed(40)


def test_in_the_middle_of_a_failure_nothing_takes_over(field: Field) -> None:
    failing(field)
    assert (level(field), field.label()) == (2, "bluff v1")
    (reason,) = field.told()
    assert reason.startswith("bluff v2 has passed its trial beside bluff v1 and takes over")
    assert reason.endswith("; once nothing stands at slope")
    index = field.index()
    assert (index["armed"], index["trial"]["slope"]["passed"]) == ({}, True)
    field.again(killed=True)
    field.feed(5)
    assert (level(field), field.label(), len(field.told())) == (2, "bluff v1", 1)
    field.creep = 0.001
    field.feed(120, lambda: level(field) == 0)
    field.feed(3, lambda: field.label() == "bluff v2")
    assert (level(field), field.label()) == (0, "bluff v2")
    assert field.told()[1:] == ["bluff v2 watches from now on"]


def test_one_that_fails_while_it_waits_is_taken_back(field: Field) -> None:
    failing(field)

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of memory")

    field.trial().watch.score = fail
    field.creep = 0.001
    field.feed(3)
    assert (field.trial(), field.index()["trial"], field.label()) == (None, {}, "bluff v1")
    assert "its models failed: RuntimeError('out of memory')" in field.told()[-1]


def test_what_cannot_take_over_is_taken_back_and_told(field: Field, monkeypatch) -> None:
    field.start()
    field.feed(40)
    field.commit("next", now=True)
    field.again()
    field.feed(40)
    before = field.index()["armed"]["slope"]
    field.stage("third", 7, 3)
    field.commit("third")

    def fail(*_: Any) -> Any:
        raise RuntimeError("no room")

    monkeypatch.setattr(edge.bundle_trial, "Pipeline", fail)
    field.feed(ALL, lambda: field.trial() is None)
    field.turn(2)
    said = "third cannot take over: RuntimeError('no room')"
    assert (field.told()[-1], field.label()) == (said, "bluff v2")
    assert (replies(field.gateway)[-1]["done"], replies(field.gateway)[-1]["text"]) == (False, said)
    index = field.index()
    assert (index["armed"]["slope"]["bundle"], index["trial"]) == (before["bundle"], {})
    monkeypatch.undo()
    field.again()
    assert field.label() == "bluff v2"


def test_what_was_gathered_leaves_as_of_the_bundle_before_and_notes_are_told(field: Field) -> None:
    field.start()
    field.feed(40)
    field.commit("next")
    gathered = []
    renew = field.gateway.desk.renew

    def look(taken: Any) -> None:
        gathered.append(field.gateway.desk.batch.held)
        renew(taken)
        gathered.append(field.gateway.desk.batch.held)

    field.gateway.desk.renew = look
    field.feed(ALL, lambda: field.label() == "bluff v2")
    assert gathered[0] > 0
    assert gathered[1] == 0
    found = [a["reason"] for a in journal.newest(field.data_dir, 100)]
    assert "bundle changed, models go on; the alarm level is kept" in found
    waiting = field.gateway.desk.outbox.waiting(10_000, frozenset(), 10**9)
    topics = [json.loads(s.message.payload) for s in waiting if "telemetry" in s.message.topic]
    assert sum(len(each["rows"]) for each in topics) == field.sent


def test_a_full_disk_is_not_asked_at_every_turn(field: Field, monkeypatch) -> None:
    field.start()
    field.feed(40)
    field.commit("next")
    asked = []

    def full(*_: Any) -> None:
        asked.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(edge.bundle_commit, "write_index", full)
    field.feed(ALL + 10)
    assert (len(asked), field.label()) == (1, "bluff v1")
