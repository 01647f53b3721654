"""Bundles sent by chunks that are not taken: whatever fails leaves the old one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest
from remote_parts import KEY, OTHER, Side, bundle_chunks, signed, staged, watched

import edge.remote_proof
import edge.remote_upload
from edge.counters import keep_counters
from export.signing import sign_bundle, sign_content


@pytest.fixture
def side(tmp_path: Path) -> Side:
    return Side(tmp_path)


def tampered_file(folder: Path) -> None:
    (folder / "gru.onnx").write_bytes((folder / "gru.onnx").read_bytes() + b"\0")


def tampered_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"2.5", b"9.5"))


def unsigned(folder: Path) -> None:
    (folder / "manifest.json.minisig").unlink()


def by_a_stranger(folder: Path) -> None:
    sign_bundle(folder, OTHER, 0, 9)


def older(folder: Path) -> None:
    sign_bundle(folder, KEY, 0, 4)


def resign(folder: Path, change) -> None:
    values = json.loads((folder / "manifest.json").read_bytes())
    change(values)
    content = json.dumps(values).encode()
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.json.minisig").write_bytes(sign_content(content, KEY, "test"))


def lists_a_path(folder: Path) -> None:
    resign(folder, lambda v: v["files"].update({"../../gateway.toml": v["files"]["gru.onnx"]}))


def lists_too_much(folder: Path) -> None:
    resign(folder, lambda v: v["files"]["gru.onnx"].update(size_bytes=2**27))


def replaced(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    resign(folder, lambda v: v["files"][name].update(sha256=sha256, size_bytes=len(data)))


def computes_something_else(folder: Path) -> None:
    golden = json.loads((folder / "golden.gru.json").read_bytes())
    golden["y"][0][0] += 1.0
    replaced(folder, "golden.gru.json", json.dumps(golden).encode())


def is_no_model(folder: Path) -> None:
    replaced(folder, "gru.onnx", os.urandom(5000))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (tampered_file, "another sha256 or size"),
        (tampered_manifest, "changed after signing"),
        (unsigned, "must come first"),
        (by_a_stranger, "trusted is"),
        (older, "not armed: counter 4, this gateway has run 5"),
        (lists_a_path, "is not a plain file name"),
        (lists_too_much, "over 256 files or 67108864 bytes"),
        (computes_something_else, "off its golden outputs"),
        (is_no_model, "gru.onnx in onnxruntime"),
    ],
)
def test_a_bundle_that_does_not_hold_is_refused_and_the_old_one_stays(
    side: Side, tmp_path: Path, spoil, said: str
) -> None:
    keep_counters(side.config.data_dir, {"bluff": 5})
    new = signed(tmp_path / "new", 6, version=2)
    spoil(new)
    reply = side.install(new)
    assert (reply["done"], said in reply["text"]) == (False, True), reply
    commit = side.say(what="commit_bundle", station="slope", bundle="next")
    assert (commit["done"], "no bundle 'next' is staged" in commit["text"]) == (False, True)
    assert watched(side) == "bluff v1"
    assert not [name for name in staged(side) if name != ".staging"]
    assert side.install(signed(tmp_path / "good", 7, version=3), "good")["done"]


def test_a_flood_of_chunks_is_shut_out_before_and_after_the_signature(side, tmp_path) -> None:
    folder = side.config.data_dir / "bundles" / ".staging"
    for i in range(30):
        junk = {"what": "install_bundle", "bundle": f"b{i}", "name": f"f{i}", "index": 0}
        junk |= {"total": 1, "sha256": "a" * 64, "data": "A" * 40_000}
        assert "must come first" in side.say(**junk)["text"]
    assert [p.name for p in folder.iterdir()] == [".bundle"]
    big = junk | {
        "name": "manifest.json",
        "total": 2000,
        "data": base64.b64encode(bytes(32768)).decode(),
    }
    assert "1048576 bytes at most" in side.say(**big)["text"]
    parts = list(bundle_chunks(signed(tmp_path / "new", 6)))
    for values in parts[:2]:
        side.say(**values)
    assert "is not in the manifest" in side.say(**junk | {"bundle": "next"})["text"]
    large = parts[2] | {"total": 9}
    assert "another sha256 or size" in side.say(**large)["text"]
    short = parts[2] | {"data": "AAAA"}
    assert "is not of its size" in side.say(**short)["text"]
    assert sum(p.stat().st_size for p in folder.iterdir()) < 100_000


def test_a_name_in_use_is_not_overwritten(side: Side, tmp_path: Path) -> None:
    side.install(signed(tmp_path / "new", 6, version=2))
    side.say(what="commit_bundle", station="slope", bundle="next")
    assert "in use" in side.install(signed(tmp_path / "other", 7, version=3))["text"]
    assert watched(side) == "bluff v2"


def test_a_proof_that_never_ends_is_given_up(side: Side, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(edge.remote_proof, "PATIENCE_S", 0.0)
    assert "were not proven in 0 s" in side.install(signed(tmp_path / "new", 6))["text"]
    assert watched(side) == "bluff v1"


def test_too_full_a_disk_is_left_to_alarms(side: Side, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(edge.remote_upload, "FREE_BYTES", 2**62)
    assert "too little room" in side.install(signed(tmp_path / "new", 6))["text"]


def test_no_commit_leaves_another_station_without_models(tmp_path: Path) -> None:
    side = Side(tmp_path)
    path = tmp_path / "gateway.toml"
    text = path.read_text(encoding="utf-8")
    station = text[text.index("[[station]]") : text.index("[remote]")]
    path.write_text(text.replace("[remote]", station.replace('"slope"', '"toe"') + "[remote]"))
    side = side.again()
    assert side.install(signed(tmp_path / "new", 6, version=2))["done"]
    reply = side.say(what="commit_bundle", station="slope", bundle="next")
    assert (reply["done"], "station toe runs an older" in reply["text"]) == (False, True)
    assert "no station" in side.say(what="commit_bundle", station="nowhere", bundle="next")["text"]
    assert side.say(what="commit_bundle", station="*", bundle="next")["done"]
    assert (watched(side), watched(side, "toe")) == ("bluff v2", "bluff v2")


def test_a_bundle_for_other_channels_is_not_committed(side: Side, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(path.read_text().replace('name = "rain"', 'name = "sun"'))
    side = side.again()
    assert side.install(signed(tmp_path / "new", 6))["done"]
    reply = side.say(what="commit_bundle", station="slope", bundle="next")
    assert not reply["done"]
    assert "channel 'rain' (mm) is not configured" in reply["text"]
