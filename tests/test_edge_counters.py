"""A signed bundle from before is refused, also after a power cut; one that is damaged is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_bundle
from hypothesis import given
from hypothesis import strategies as st

import edge.counters
from edge.counters import (
    COUNTERS_FILE,
    DAMAGED_FILE,
    MAX_COUNTERS_BYTES,
    keep_counters,
    older,
    read_counters,
)


def test_the_highest_counter_of_each_name_is_kept(tmp_path: Path) -> None:
    assert read_counters(tmp_path) == ({}, "")
    assert keep_counters(tmp_path, {"north": 5, "south": 1}) == ()
    assert keep_counters(tmp_path, {"north": 4}) == ()
    assert keep_counters(tmp_path, {"south": 2, "east": 0}) == ()
    assert read_counters(tmp_path) == ({"north": 5, "south": 2, "east": 0}, "")
    assert [path.name for path in tmp_path.iterdir()] == [COUNTERS_FILE]


def test_nothing_is_written_when_nothing_rose(tmp_path: Path) -> None:
    assert keep_counters(tmp_path, {}) == ()
    assert list(tmp_path.iterdir()) == []
    keep_counters(tmp_path, {"north": 5})
    before = (tmp_path / COUNTERS_FILE).stat()
    keep_counters(tmp_path, {"north": 5})
    assert (tmp_path / COUNTERS_FILE).stat() == before


def test_only_a_lower_counter_of_the_same_name_is_older() -> None:
    m = tiny_bundle.manifest("north", counter=5)
    assert older(m, {}) == older(m, {"north": 5}) == older(m, {"south": 9}) == ""
    said = older(m, {"north": 6})
    assert "counter 5, this gateway has run 6" in said
    assert "talus-export sign" in said


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'{"format": 2, "counters": {}}',
        b'{"format": 1, "counters": []}',
        b'{"format": 1, "counters": {"north": -1}}',
        b'{"format": 1, "counters": {"north": true}}',
        b'{"format": 1, "counters": {"north": 1.5}}',
        b"[" * 100_000,
        b'{"format": 1, "counters": {"north": 1' + b"0" * 5000 + b"}}",
        b" " * (MAX_COUNTERS_BYTES + 1),
        b"\xff\xfe",
    ],
)
def test_a_damaged_store_is_said_set_aside_and_begun_anew(tmp_path: Path, text: bytes) -> None:
    (tmp_path / COUNTERS_FILE).write_bytes(text)
    counters, wrong = read_counters(tmp_path)
    assert counters == {}
    assert "damaged: which bundles ran here is forgotten" in wrong
    assert (tmp_path / COUNTERS_FILE).read_bytes() == text  # reading changes nothing
    assert keep_counters(tmp_path, {"north": 5}) == (wrong,)
    assert (tmp_path / DAMAGED_FILE).read_bytes() == text
    assert read_counters(tmp_path) == ({"north": 5}, "")


@given(st.binary(max_size=100))
def test_no_bytes_make_it_raise(tmp_path_factory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / COUNTERS_FILE).write_bytes(data)
    assert "damaged" in read_counters(folder)[1]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / COUNTERS_FILE)
    assert "damaged" in read_counters(tmp_path)[1]


def test_a_disk_that_cannot_be_written_is_told_and_keeps_what_was(tmp_path, monkeypatch) -> None:
    keep_counters(tmp_path, {"north": 5})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(edge.counters.os, "fsync", full)
    (note,) = keep_counters(tmp_path, {"north": 6})
    assert "No space left on device: an older signed bundle would be armed after a restart" in note
    assert read_counters(tmp_path) == ({"north": 5}, "")


def test_a_store_that_cannot_be_read_is_left_alone(tmp_path, monkeypatch) -> None:
    keep_counters(tmp_path, {"north": 5})
    kept = (tmp_path / COUNTERS_FILE).read_bytes()

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", denied)
        assert (
            "Permission denied: which bundles ran here is forgotten" in read_counters(tmp_path)[1]
        )
        assert "make it readable" in keep_counters(tmp_path, {"north": 6})[0]
    assert (tmp_path / COUNTERS_FILE).read_bytes() == kept


_KILLED = """
import os, sys
from pathlib import Path
import edge.counters
def die(*_): os._exit(9)
target = sys.argv[2]
if target == "fsync": edge.counters.os.fsync = die
if target == "replace": Path.replace = die
edge.counters.keep_counters(Path(sys.argv[1]), {"north": 6})
"""


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_killed_while_writing_it_holds_what_was(tmp_path: Path, call: str) -> None:
    keep_counters(tmp_path, {"north": 5})
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), call], check=False)
    assert done.returncode == 9
    assert read_counters(tmp_path) == ({"north": 5}, "")
    assert keep_counters(tmp_path, {"north": 6}) == ()  # what was left aside is no hindrance
    assert json.loads((tmp_path / COUNTERS_FILE).read_text())["counters"] == {"north": 6}
