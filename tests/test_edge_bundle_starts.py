"""A gateway that dies soon after each start while a bundle is new: the bundle gives way."""

from __future__ import annotations

from pathlib import Path

import pytest
from trial_parts import STEPS, WARM, Field, staged, starts

import edge.bundle_starts
from edge.counters import read_counters

field = pytest.fixture(staged)
ALL = STEPS + WARM + 2


def test_a_candidate_is_taken_back_after_three_deaths(field: Field) -> None:
    field.start()
    field.commit("next")
    for dead in (1, 2, 3):
        field.again(killed=True)
        assert (starts(field), field.trial().label) == (dead, "bluff v2")
    field.again(killed=True)
    assert (field.label(), field.trial()) == ("bluff v1", None)
    field.turn(2)
    (reason,) = field.told()
    assert reason == "next: the gateway died 3 times in a row soon after a start with it"
    assert (field.index()["trial"], field.health()["trial"]["slope"]["ended"]["healthy"]) == (
        {},
        False,
    )
    field.again(killed=True)
    assert (starts(field), len(field.told())) == (0, 1)


def test_a_death_before_it_is_told_only_defers_it(field: Field) -> None:
    field.start()
    field.commit("next")
    for _ in range(5):
        field.again(killed=True)
    assert field.trial() is None
    assert field.told() == []
    field.turn(2)
    assert len(field.told()) == 1


def test_what_was_armed_last_gives_way_to_the_bundle_before_it(field: Field) -> None:
    field.start()
    field.commit("next", now=True)
    for dead in (1, 2, 3):
        field.again(killed=True)
        assert (starts(field), field.label()) == (dead, "bluff v2")
    field.again(killed=True)
    assert field.label() == "bluff v1"
    (reason,) = field.told()
    assert "bluff v1, configured, watches instead: the gateway died 3 times in a row" in reason
    assert read_counters(field.data_dir)[0] == {"bluff": 5}
    field.again()
    assert (field.label(), field.index()["armed"], len(field.told())) == ("bluff v1", {}, 1)


def test_one_that_took_over_from_another_gives_way_to_that_one(field: Field) -> None:
    field.start()
    field.commit("next", now=True)
    field.again()
    field.stage("third", 7, 3)
    field.feed(40)
    field.commit("third")
    field.feed(ALL, lambda: field.label() == "bluff v3")
    assert (field.label(), starts(field)) == ("bluff v3", 1)
    for _ in range(3):
        field.again(killed=True)
    assert field.label() == "bluff v2"
    assert "bluff v2, installed before, watches instead" in field.told()[-1]
    assert field.index()["armed"]["slope"]["bundle"] == "next"


def test_a_new_bundle_gives_way_to_rules_alone_where_they_watched_before(tmp_path: Path) -> None:
    field = Field(tmp_path)
    path = tmp_path / "gateway.toml"
    text = path.read_text(encoding="utf-8").replace('bundle = "bundle"\n', "")
    rule = '[[station.rule]]\nname = "fast"\nlevel = 2\n'
    rule += 'when = [{ evidence = "velocity", window_s = 21600, above = 15.0 }]\n'
    path.write_text(text.replace("[remote]", rule + "[remote]"), encoding="utf-8")
    field = Field(tmp_path)
    field.stage("next", 6, 2)
    field.start()
    assert field.label() == "none"
    field.commit("next", now=True)
    for _ in range(3):
        field.again(killed=True)
        assert field.label() == "bluff v2"
    field.again(killed=True)
    assert field.label() == "none"
    assert "its rules alone watch: the gateway died 3 times" in field.told()[-1]
    field.again()
    assert (field.label(), field.index()["armed"]) == ("none", {})


def test_a_stop_that_was_asked_for_is_no_death(field: Field) -> None:
    field.start()
    field.commit("next", now=True)
    for _ in range(8):
        field.again()
        assert (field.label(), starts(field)) == ("bluff v2", 1)


def test_a_start_after_the_power_was_gone_counts_anew(field, tmp_path, monkeypatch) -> None:
    boot = tmp_path / "boot_id"
    monkeypatch.setattr(edge.bundle_starts, "_BOOT", boot)
    boot.write_text("1")
    field.start()
    field.commit("next", now=True)
    for number in range(8):
        boot.write_text(str(number))
        field.again(killed=True)
        assert (field.label(), starts(field)) == ("bluff v2", 1)


def test_one_that_has_served_is_not_blamed_for_what_comes_later(field, monkeypatch) -> None:
    field.start()
    field.commit("next", now=True)
    field.again()
    monkeypatch.setattr(edge.bundle_starts, "LOOK_S", 0.0)
    monkeypatch.setattr(edge.bundle_starts, "SERVE_S", 0.0)
    field.turn()
    assert starts(field) == 1  # its windows of 10 min steps have not gone by
    monkeypatch.setattr(edge.bundle_starts, "needed_s", lambda _: 0.0)
    field.turn()
    assert (starts(field), read_counters(field.data_dir)[0]) == (0, {"bluff": 6})
    for _ in range(6):
        field.again(killed=True)
    assert (field.label(), field.told()) == ("bluff v2", [])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"boot": 1}', b"\xff" * 100_000])
def test_a_damaged_count_begins_anew(field: Field, content: bytes) -> None:
    field.start()
    field.commit("next", now=True)
    field.again(killed=True)
    (field.data_dir / "bundles" / "starts.json").write_bytes(content)
    field.again(killed=True)
    assert (field.label(), starts(field)) == ("bluff v2", 1)
