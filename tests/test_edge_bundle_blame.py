"""Who is to blame for a start that came to nothing, and what that may cost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from remote_parts import signed
from trial_parts import Field, staged, starts
from trial_slope import bent, config, readings

import edge.bundle_starts
from edge.bundle_install import read_index, write_index
from edge.bundle_starts import Starts, needed_s
from edge.config import load_config
from edge.counters import read_counters
from edge.errors import ConfigError
from edge.gateway import Gateway
from edge.pipeline import Pipeline

field = pytest.fixture(staged)
RULE = """[[station.rule]]
name = "fast"
level = 2
when = [{ evidence = "velocity", window_s = 21600, above = 15.0 }]
"""


def armed(field: Field) -> Field:
    """A new bundle watches that has not served yet."""
    field.start()
    field.commit("next", now=True)
    field.again()
    return field


def die(field: Field, count: int = 3) -> None:
    for _ in range(count):
        field.again(killed=True)


def with_rules(field: Field) -> None:
    path = field.folder / "gateway.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[station.alarm]", RULE + "[station.alarm]"), encoding="utf-8")


def rot(field: Field) -> None:
    (field.folder / "bundle" / "gru.onnx").write_bytes(b"rot")


def test_where_nothing_before_it_holds_it_watches_on_and_that_is_told(field: Field) -> None:
    armed(field)
    rot(field)
    die(field)
    assert field.label() == "bluff v2"
    (reason,) = field.told()
    assert reason.startswith("bluff v2 watches on, for nothing before it holds: the gateway died")
    assert "sha256" in reason
    assert field.index()["armed"]["slope"]["bundle"] == "next"
    field.again()
    assert (field.label(), len(field.told())) == ("bluff v2", 1)


def test_where_nothing_before_it_holds_rules_watch_alone(field: Field) -> None:
    with_rules(field)
    armed(field)
    rot(field)
    die(field)
    assert field.label() == "none"
    (reason,) = field.told()
    assert "its rules alone watch: the gateway died 3 times" in reason
    assert field.index()["armed"] == {}


def test_a_counter_is_not_raised_before_the_bundle_is_no_longer_new(field, monkeypatch) -> None:
    armed(field)
    monkeypatch.setattr(edge.bundle_starts, "LOOK_S", 0.0)
    monkeypatch.setattr(edge.bundle_starts, "needed_s", lambda _: 0.0)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(edge.bundle_starts, "write_index", full)
        field.turn(2)
    assert read_counters(field.data_dir)[0] == {"bluff": 5}
    die(field)
    assert field.label() == "bluff v1"


def test_a_bundle_committed_meanwhile_is_new_though_the_one_before_has_served(
    field: Field, monkeypatch
) -> None:
    armed(field)
    field.stage("third", 7, 3)
    field.commit("third", now=True)
    monkeypatch.setattr(edge.bundle_starts, "LOOK_S", 0.0)
    monkeypatch.setattr(edge.bundle_starts, "needed_s", lambda _: 0.0)
    field.turn()
    assert read_counters(field.data_dir)[0] == {"bluff": 6}
    assert field.index()["armed"]["slope"]["fresh"] is True
    monkeypatch.undo()
    die(field, 4)
    assert field.label() == "bluff v2"


def test_a_trial_at_a_station_that_is_no_more_takes_no_blame(field: Field) -> None:
    armed(field)
    index = read_index(field.data_dir)
    index["trial"]["gone"] = {"bundle": "next", "time_ms": 1}
    write_index(field.data_dir, index)
    die(field, 4)
    assert field.label() == "bluff v1"


def test_what_a_person_has_put_in_the_configured_place_takes_no_blame(field: Field) -> None:
    with_rules(field)
    armed(field)
    folder = field.folder / "bundle"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    signed(folder, 8, version=9)
    for _ in range(5):
        die(field, 1)
        assert field.label() == "bluff v9"


def failed_starts(field: Field, error: Exception) -> Starts:
    for _ in range(5):
        Starts(field.side.config).failed(error)
    return Starts(field.side.config)


def test_an_exception_that_no_model_raised_is_no_death(field: Field) -> None:
    armed(field).stop()
    found = failed_starts(field, ConfigError("station", ("slope: a typo",)))
    assert (found.blamed_armed, starts(field)) == ("", 1)


def test_an_exception_of_a_model_is_a_death(field: Field) -> None:
    armed(field).stop()
    pipeline = Pipeline(config(), {"slope": bent(lambda y: 1 / 0)})
    rows = readings()[:50]
    with pytest.raises(ZeroDivisionError) as caught:
        list(map(pipeline.receive, rows))
    assert "died 5 times" in failed_starts(field, caught.value).blamed_armed


def test_a_loop_that_an_exception_ends_is_no_death(field: Field, monkeypatch) -> None:
    armed(field).stop()

    def fail(_: Gateway) -> None:
        raise RuntimeError("not of a model")

    for _ in range(4):
        gateway = Gateway(load_config(field.folder / "gateway.toml"))
        with monkeypatch.context() as patch:
            patch.setattr(Gateway, "turn", fail)
            with pytest.raises(RuntimeError, match="not of a model"):
                gateway.run(lambda: False)
        assert starts(field) == 0
    field.start()
    assert field.label() == "bluff v2"


def test_a_start_that_a_typo_ends_is_no_death(field: Field, monkeypatch) -> None:
    armed(field).stop()

    def fail(*_: Any) -> Any:
        raise ConfigError("station", ("slope: a typo",))

    monkeypatch.setattr("edge.gateway.hold", lambda _: object())
    monkeypatch.setattr("edge.gateway.Pipeline", fail)
    for _ in range(4):
        with pytest.raises(ConfigError):
            Gateway(load_config(field.folder / "gateway.toml"))
        assert starts(field) == 0


def test_a_stall_of_something_else_is_no_death(field: Field) -> None:
    armed(field)
    counted = field.gateway._starts
    for stalled, count in (
        (("outbox",), 0), (("inference of slope", "outbox"), 1), (("port node",), 0), ((), 1),
    ):  # fmt: skip
        counted.excuse(stalled)
        assert starts(field) == count


def test_where_the_boot_is_not_known_nothing_is_counted(field, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(edge.bundle_starts, "_BOOT", tmp_path / "none")
    armed(field)
    die(field, 5)
    assert (field.label(), starts(field)) == ("bluff v2", 1)


def test_time_served_adds_up_over_starts_that_were_ended_in_order(field, monkeypatch) -> None:
    armed(field)
    monkeypatch.setattr(edge.bundle_starts, "LOOK_S", 0.0)
    monkeypatch.setattr(edge.bundle_starts, "needed_s", lambda _: 1000.0)
    for killed, raised in ((False, 5), (True, 5), (False, 5), (False, 6)):
        field.gateway._starts._began_s -= 400.0
        field.turn()
        assert read_counters(field.data_dir)[0] == {"bluff": raised}
        field.again(killed=killed)


def test_every_window_has_been_full_when_a_bundle_has_served() -> None:
    manifest = bent(lambda y: y).manifest
    longest = max(spec.window_steps for spec in manifest.detectors)
    assert needed_s([manifest]) >= (longest + 1) * manifest.step_ms / 1000
    assert needed_s([]) == edge.bundle_starts.SERVE_S


@pytest.mark.parametrize("trial", [None, [], "x", {"slope": 3}, {"slope": {"bundle": 3}}])
def test_a_damaged_list_of_trials_costs_them_alone(field: Field, trial: Any) -> None:
    armed(field)
    path = field.data_dir / "bundles" / "index.json"
    before = json.loads(path.read_bytes())
    path.write_text(json.dumps(before | {"trial": trial}))
    index = read_index(field.data_dir)
    assert (index["proven"], index["armed"]) == (before["proven"], before["armed"])
    assert index["trial"] == {}
