"""Writing a bundle: all of it or none of it, and never over what is no bundle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.bench import demo_bundle
from edge.bundle import load_bundle, read_manifest
from edge.config import RuntimeConfig
from edge.errors import BundleError, TalusError
from edge.manifest import Manifest
from edge.trust import ANY_SIGNER
from export.__main__ import main
from export.models.bundle import write_bundle

LITERT = RuntimeConfig(("litert",), "auto")
PARTS = tuple[Manifest, dict[str, bytes], dict[str, dict[str, object]]]


@pytest.fixture(scope="module")
def parts() -> PARTS:
    """What training would hand over: here, the shipped bundle taken apart."""
    manifest = read_manifest(demo_bundle(), ANY_SIGNER)
    files, golden = {}, {}
    for name, _, _ in manifest.files:
        data = (demo_bundle() / name).read_bytes()
        if name.startswith("golden."):
            golden[name] = json.loads(data)
        else:
            files[name] = data
    return manifest, files, golden


def version(parts: PARTS, number: int) -> PARTS:
    return dataclasses.replace(parts[0], version=number), parts[1], parts[2]


def alone(out: Path) -> bool:
    """Nothing half written is left beside it."""
    return [p.name for p in out.parent.iterdir()] == [out.name]


def test_what_is_written_is_a_bundle_with_the_hash_of_every_file(
    tmp_path: Path, parts: PARTS
) -> None:
    out = tmp_path / "deep" / "bundle"
    write_bundle(out, *parts)
    loaded = load_bundle(out, LITERT, ANY_SIGNER)
    listed = {name: (sha, size) for name, sha, size in loaded.manifest.files}
    there = {p.name for p in out.iterdir()} - {"manifest.json"}
    assert set(listed) == there
    for name, (sha, size) in listed.items():
        data = (out / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (sha, size)
    assert dataclasses.replace(loaded.manifest, files=()) == dataclasses.replace(parts[0], files=())
    assert alone(out)


def test_a_bundle_is_replaced_whole(tmp_path: Path, parts: PARTS) -> None:
    out = tmp_path / "bundle"
    write_bundle(out, *parts)
    (out / "left over").write_text("of an older release")
    write_bundle(out, *version(parts, 2))
    assert read_manifest(out, ANY_SIGNER).version == 2
    assert not (out / "left over").exists()
    assert alone(out)


def test_an_empty_folder_becomes_the_bundle(tmp_path: Path, parts: PARTS) -> None:
    (tmp_path / "bundle").mkdir()
    write_bundle(tmp_path / "bundle", *parts)
    assert read_manifest(tmp_path / "bundle", ANY_SIGNER).label == parts[0].label


def test_a_link_to_a_bundle_still_leads_to_it_afterwards(tmp_path: Path, parts: PARTS) -> None:
    write_bundle(tmp_path / "v1", *parts)
    link = tmp_path / "current"
    link.symlink_to("v1")
    write_bundle(link, *version(parts, 2))
    assert link.is_symlink()
    assert read_manifest(tmp_path / "v1", ANY_SIGNER).version == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["current", "v1"]


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_is_no_bundle_is_refused_and_left_alone(
    tmp_path: Path, parts: PARTS, kind: str
) -> None:
    out = tmp_path / "thesis"
    if kind == "folder":
        out.mkdir()
        (out / "chapter.tex").write_text("years")
    elif kind == "file":
        out.write_text("years")
    else:
        out.symlink_to("nowhere")
    with pytest.raises(TalusError, match="exists and is no bundle; choose another --out"):
        write_bundle(out, *parts)
    assert alone(out)
    kept = out / "chapter.tex" if kind == "folder" else out
    assert kept.is_symlink() or kept.read_text() == "years"


def test_the_command_refuses_before_it_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    site = str(demo_bundle().parent / "site.toml")
    assert main(["train", "--site", site, "--data", "none.csv", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"talus-export train: {tmp_path}: exists and is no bundle")
    assert (tmp_path / "thesis.tex").read_text() == "years"


def test_a_bundle_that_does_not_prove_itself_leaves_the_old_one(
    tmp_path: Path, parts: PARTS
) -> None:
    out = tmp_path / "bundle"
    write_bundle(out, *parts)
    manifest, files, golden = version(parts, 2)
    wrong: dict[str, Any] = json.loads(json.dumps(golden))
    wrong["golden.gru.json"]["y"][0][0] += 99.0
    with pytest.raises(BundleError, match="off its golden outputs"):
        write_bundle(out, manifest, files, wrong)
    assert load_bundle(out, LITERT, ANY_SIGNER).manifest.version == parts[0].version
    assert alone(out)


def test_a_place_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path, parts: PARTS) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TalusError, match="cannot be written in"):
        write_bundle(tmp_path / "file" / "bundle", *parts)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


_INTERRUPTED = """
import dataclasses, json, os, sys
from pathlib import Path
from edge.bundle import read_manifest
from edge.trust import ANY_SIGNER
from export.models.bundle import write_bundle

new, out, call, count, when = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
manifest = read_manifest(new, ANY_SIGNER)
data = {n: (new / n).read_bytes() for n, _, _ in manifest.files}
golden = {n: json.loads(d) for n, d in data.items() if n.startswith("golden.")}
files = {n: d for n, d in data.items() if n not in golden}
left = int(count)

def interrupt(frame, event, arg):
    # Ctrl-C at a chosen call into the operating system, before it or after it.
    global left
    if event == when and getattr(arg, "__name__", "") == call:
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

sys.setprofile(interrupt)
try:
    write_bundle(out, dataclasses.replace(manifest, version=2), files, golden)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("call", "count", "when", "version_left"),
    [
        ("fsync", 1, "c_call", 1),
        ("fsync", 10, "c_return", 1),
        ("chmod", 1, "c_call", 1),
        ("rename", 1, "c_call", 1),
        ("rename", 1, "c_return", 1),
        ("rename", 2, "c_call", 1),
        ("rename", 2, "c_return", 2),
    ],
)
def test_ctrl_c_at_any_moment_leaves_a_whole_bundle_and_no_litter(
    tmp_path: Path, parts: PARTS, call: str, count: int, when: str, version_left: int
) -> None:
    out = tmp_path / "bundle"
    write_bundle(out, *version(parts, 1))
    arguments = [str(demo_bundle()), str(out), call, str(count), when]
    done = subprocess.run(
        [sys.executable, "-P", "-c", _INTERRUPTED, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "interrupted"
    assert load_bundle(out, LITERT, ANY_SIGNER).manifest.version == version_left
    assert alone(out)
