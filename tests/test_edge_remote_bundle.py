"""A bundle sent by chunks: armed only when it was proven, whole or not at all."""

from __future__ import annotations

import base64
import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import tiny_bundle
from remote_parts import Side, bundle_chunks, signed, staged, watched

import edge.bundle_commit
import edge.remote_proof
import edge.remote_upload
import export.command_sign


@pytest.fixture
def side(tmp_path: Path) -> Side:
    return Side(tmp_path)


def test_a_bundle_is_staged_and_watches_from_the_next_start_on(side: Side, tmp_path: Path) -> None:
    before = {p.name: p.read_bytes() for p in (tmp_path / "bundle").iterdir()}
    new = signed(tmp_path / "new", 6, version=2)
    reply = side.install(new)
    assert (reply["done"], "staged 'next': bluff v2, 2 models" in reply["text"]) == (True, True)
    assert watched(side) == "bluff v1"
    reply = side.say(what="commit_bundle", station="slope", bundle="next")
    assert reply["done"], reply
    assert reply["text"].startswith("bluff v2 (counter 6) watches slope from the next start on")
    assert watched(side) == "bluff v2"
    assert {p.name: p.read_bytes() for p in (tmp_path / "bundle").iterdir()} == before
    assert staged(side) == ["next"]
    assert "install_bundle" in side.audit()[0]
    assert "data" not in json.loads(side.audit()[0].split(" ", 1)[1].split(" over MQTT")[0])
    again = side.again()
    assert again.say(what="commit_bundle", station="slope", bundle="next")["done"]
    third = again.install(signed(tmp_path / "third", 7, version=3), "third")
    assert third["done"]
    assert again.say(what="commit_bundle", station="slope", bundle="third")["done"]
    assert (watched(again), staged(again)) == ("bluff v3", ["next", "third"])


def test_what_was_committed_is_taken_back_before_it_runs(side: Side, tmp_path: Path) -> None:
    side.install(signed(tmp_path / "new", 6, version=2))
    side.say(what="commit_bundle", station="slope", bundle="next")
    assert side.say(what="commit_bundle", station="*", bundle="running")["done"]
    assert watched(side) == "bluff v1"
    side.say(what="commit_bundle", station="slope", bundle="next")
    again = side.again()
    again.install(signed(tmp_path / "third", 7, version=3), "third")
    again.say(what="commit_bundle", station="slope", bundle="third")
    assert watched(again) == "bluff v3"
    assert again.say(what="commit_bundle", station="slope", bundle="running")["done"]
    assert watched(again) == "bluff v2"
    assert not again.say(what="commit_bundle", station="toe", bundle="running")["done"]
    assert "in use" in again.install(signed(tmp_path / "other", 8), "running")["text"]


def test_a_damaged_installed_bundle_gives_way_to_the_one_before_it(side: Side, tmp_path) -> None:
    side.install(signed(tmp_path / "new", 6, version=2))
    assert side.say(what="commit_bundle", station="slope", bundle="next")["done"]
    again = side.again()
    assert again.install(signed(tmp_path / "third", 7, version=3), "third")["done"]
    assert again.say(what="commit_bundle", station="slope", bundle="third")["done"]
    place = side.config.data_dir / "bundles"
    (place / "third" / "gru.onnx").write_bytes(b"rot")
    assert watched(side) == "bluff v2"
    (place / "next" / "manifest.json").write_bytes(b"{}")
    assert watched(side) == "bluff v1"
    (place / "index.json").write_bytes(b"\xff{")
    assert watched(side) == "bluff v1"


def test_a_bundle_that_a_person_has_since_put_in_place_wins(side: Side, tmp_path: Path) -> None:
    side.install(signed(tmp_path / "new", 6, version=2))
    assert side.say(what="commit_bundle", station="slope", bundle="next")["done"]
    assert watched(side) == "bluff v2"
    shutil.rmtree(tmp_path / "bundle")
    signed(tmp_path / "bundle", 9, version=9)
    assert watched(side) == "bluff v9"


def test_a_truncated_bundle_is_never_proven(side: Side, tmp_path: Path) -> None:
    parts = list(bundle_chunks(signed(tmp_path / "new", 6)))
    missing: list[str] = []
    for values in parts[:-1]:
        missing = side.say(**values)["missing"]
    assert missing == [parts[-1]["name"]]
    assert not side.say(what="commit_bundle", station="slope", bundle="next")["done"]


def test_files_that_came_whole_before_a_restart_need_not_come_again(side, tmp_path: Path) -> None:
    parts = list(bundle_chunks(signed(tmp_path / "new", 6, version=2)))
    for values in parts[:3]:
        side.say(**values)
    again = side.again()
    again.say(**parts[0])
    missing = again.say(**parts[1])["missing"]
    assert missing == [p["name"] for p in parts[3:]]
    for values in parts[3:]:
        reply = again.say(**values)
    again.until(lambda: "staged" in again.replies()[-1]["text"])
    assert reply["more"]


def test_files_of_several_chunks_come_in_any_order_and_twice(side, tmp_path, monkeypatch):
    for module in (edge.remote_upload, export.command_sign):
        monkeypatch.setattr(module, "CHUNK_BYTES", 100)
    parts = list(bundle_chunks(signed(tmp_path / "new", 6, version=2)))
    assert len(parts) > 30
    first = [p for p in parts if p["name"].startswith("manifest")]
    rest = [p for p in parts if not p["name"].startswith("manifest")]
    for values in [*reversed(first), *reversed(rest[1:]), rest[1], first[0]]:
        reply = side.say(**values)
        assert reply["done"], reply
    assert reply["missing"] == [rest[0]["name"]]
    wrong = rest[0] | {"data": base64.b64encode(bytes(100)).decode()}
    assert "send it again" in side.say(**wrong)["text"]
    for values in [p for p in rest if p["name"] == rest[0]["name"]]:
        reply = side.say(**values)
    side.until(lambda: side.replies()[-1]["id"] == reply["id"] and "more" not in side.replies()[-1])
    assert side.replies()[-1]["done"]


@pytest.mark.parametrize("step", range(9))
def test_a_crash_at_any_step_leaves_one_bundle_or_the_other(
    side: Side, tmp_path: Path, step: int
) -> None:
    new = signed(tmp_path / "new", 6, version=2)
    steps = iter(range(100))

    def crashing(real):
        def call(*args):
            if next(steps) == step:
                raise Crash
            return real(*args)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for where, name in ((edge.bundle_install, "write_index"), (Path, "rename"),
                            (edge.bundle_commit, "write_index"),
                            (edge.bundle_install, "sync")):  # fmt: skip
            patch.setattr(where, name, crashing(getattr(where, name)))
        with suppress(Crash):
            side.install(new)
            side.say(what="commit_bundle", station="slope", bundle="next")
    assert watched(side) in ("bluff v1", "bluff v2")
    again = side.again()
    if watched(again) == "bluff v1":
        assert again.install(new)["done"]
        assert again.say(what="commit_bundle", station="slope", bundle="next")["done"]
    assert watched(again) == "bluff v2"


class Crash(BaseException):
    """The power goes."""


def test_unsigned_bundles_are_taken_where_the_configuration_arms_them(tmp_path: Path) -> None:
    side = Side(tmp_path, trust="allow_unsigned = true")
    assert side.install(tiny_bundle.make(tmp_path / "new", version=2))["done"]
    assert side.say(what="commit_bundle", station="slope", bundle="next")["done"]
    assert watched(side) == "bluff v2"
    assert side.install(signed(tmp_path / "more", 3, version=3), "more")["done"]
    assert (side.config.data_dir / "bundles" / "more" / "manifest.json.minisig").exists()
