"""A bundle that came over MQTT and does not hold at a start gives way, and it is told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from remote_parts import KEY, Side, signed

from edge import journal
from edge.bundle import Bundle
from edge.bundle_fallback import Armed, arm
from edge.bundle_install import manifest_sha256, read_index, write_index
from edge.config import load_config
from edge.counters import keep_counters
from edge.gateway import Gateway
from export.signing import sign_content


@pytest.fixture
def side(tmp_path: Path) -> Side:
    return Side(tmp_path)


def start(side: Side) -> Armed:
    return arm(load_config(side.folder / "gateway.toml"))


def label(armed: Armed) -> str:
    found = armed.opened["slope"]
    return found.manifest.label if isinstance(found, Bundle) else found


def runs_elsewhere(folder: Path) -> None:
    """Sound and signed; but what it computed where it was proven is not what it computes here."""
    path = folder / "golden.gru.json"
    golden = json.loads(path.read_bytes())
    golden["y"][0][0] += 1.0
    path.write_text(json.dumps(golden))
    data, manifest = path.read_bytes(), json.loads((folder / "manifest.json").read_bytes())
    sha256 = hashlib.sha256(data).hexdigest()
    manifest["files"][path.name] |= {"sha256": sha256, "size_bytes": len(data)}
    content = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.json.minisig").write_bytes(sign_content(content, KEY, "test"))


def committed(side: Side, name: str, counter: int, version: int) -> Side:
    """Install and commit a bundle; the gateway after its next start."""
    new = signed(side.folder / f"made-{name}", counter, version=version)
    assert side.install(new, name)["done"]
    assert side.say(what="commit_bundle", station="slope", bundle=name)["done"]
    return side.again()


def moved_to_another_board(side: Side, name: str) -> None:
    """Let a bundle that was proven no longer compute here what it should."""
    folder = side.config.data_dir / "bundles" / name
    runs_elsewhere(folder)
    index = read_index(side.config.data_dir)
    index["proven"][name] = manifest_sha256(folder)
    write_index(side.config.data_dir, index)


def told(side: Side) -> list[str]:
    found = journal.newest(side.config.data_dir, 100)
    return [alarm["reason"] for alarm in found if alarm["kind"] == "bundle"]


def run_once(side: Side) -> None:
    side.outbox.close()
    turns = iter((False, False, True))
    Gateway(load_config(side.folder / "gateway.toml")).run(lambda: next(turns))


def test_the_bundle_before_it_watches_and_goes_on_to(side: Side) -> None:
    side = committed(side, "next", 6, 2)
    side = committed(side, "third", 7, 3)
    assert label(start(side)) == "bluff v3"
    moved_to_another_board(side, "third")
    armed = start(side)
    assert label(armed) == "bluff v2"
    assert armed.config.station("slope").bundle.endswith("/next")
    run_once(side)
    (reason,) = told(side)
    assert "bluff v2, installed before, watches instead" in reason
    assert "off its golden outputs" in reason
    armed = start(side)
    assert (label(armed), armed.gave_way) == ("bluff v2", {})  # it is settled
    run_once(side)
    assert len(told(side)) == 1


def test_the_configured_bundle_watches_where_there_is_none_before_it(side: Side) -> None:
    side = committed(side, "next", 6, 2)
    moved_to_another_board(side, "next")
    run_once(side)
    (reason,) = told(side)
    assert "bluff v1, configured, watches instead" in reason
    assert read_index(side.config.data_dir)["armed"] == {}
    again = Side(side.folder)
    assert label(start(again)) == "bluff v1"
    assert committed(again, "third", 7, 3).config.station("slope").bundle.endswith("/third")


def test_a_file_that_rotted_is_told_as_well(side: Side) -> None:
    side = committed(side, "next", 6, 2)
    (side.config.data_dir / "bundles" / "next" / "gru.onnx").write_bytes(b"rot")
    run_once(side)
    (reason,) = told(side)
    assert "bluff v1, configured, watches instead" in reason
    assert "sha256" in reason


def test_where_nothing_holds_the_station_says_that_it_is_not_watched(side: Side) -> None:
    side = committed(side, "next", 6, 2)
    moved_to_another_board(side, "next")
    (side.folder / "bundle" / "gru.onnx").write_bytes(b"rot")
    armed = start(side)
    assert (armed.gave_way, isinstance(armed.opened["slope"], str)) == ({}, True)
    run_once(side)
    assert told(side) == []
    assert read_index(side.config.data_dir)["armed"]["slope"]["bundle"] == "next"
    assert any(alarm["no_data"] for alarm in journal.newest(side.config.data_dir, 100))


def test_an_older_bundle_than_has_run_here_is_no_way_back(side: Side) -> None:
    side = committed(side, "next", 6, 2)
    keep_counters(side.config.data_dir, {"bluff": 6})  # it has run
    moved_to_another_board(side, "next")
    armed = start(side)
    assert armed.gave_way == {}
    assert "not armed: counter 5, this gateway has run 6" in label(armed)
