"""What an update leaves on disk: a journal that a power cut may tear anywhere, and signed files."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import flash_parts
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.flash_files import keep_firmware, kept_firmware, read_firmware, read_keys
from firmware_bridge.update_journal import (
    JOURNAL_FILE,
    MAX_JOURNAL_BYTES,
    Journal,
    JournalError,
    Setup,
)
from firmware_bridge.update_manifest import ManifestError, parse_manifest
from firmware_bridge.update_state import Outcome, State, Step
from firmware_bridge.whole_file import write_whole

SETUP = Setup("sim", "/dev/ttyUSB0", "node-1", counter=9, counter_floor=4)
STATES = [State(Step.WRITE, Step.WRITE, "a" * 64, offset=i * 100, detail="ü\n") for i in range(6)]


def test_what_is_appended_is_flushed_before_it_returns(tmp_path: Path) -> None:
    flushed: list[bytes] = []

    def sync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}")
        flushed.append(b"" if path.is_dir() else path.read_bytes())
        os.fsync(handle)

    journal = Journal.start(tmp_path, SETUP, 0, sync)
    for state in STATES:
        journal.append(state, 5)
        assert f'"offset":{state.offset},'.encode() in flushed[-1].splitlines()[-1]
    read = Journal.read(tmp_path)
    assert read is not None
    assert (read.setup, read.state) == (SETUP, STATES[-1])


def test_torn_at_any_byte_it_stands_where_the_last_whole_line_says(tmp_path: Path) -> None:
    journal = Journal.start(tmp_path, SETUP, 0)
    for state in STATES:
        journal.append(state, 5)
    whole = (tmp_path / JOURNAL_FILE).read_bytes()
    first = len(b"\n".join(whole.split(b"\n")[:2])) + 1
    for end in range(first, len(whole), 3):
        (tmp_path / JOURNAL_FILE).write_bytes(whole[:end])
        read = Journal.read(tmp_path, lambda _: None)
        assert read is not None
        lines = whole[:end].count(b"\n")
        assert read.state == [State(), *STATES][lines - 2]
        read.append(STATES[0], 6)  # and it goes on from there
        again = Journal.read(tmp_path)
        assert again is not None
        assert again.state == STATES[0]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 1000))
def test_no_journal_makes_it_raise_anything_else(tmp_path_factory, junk: bytes, at: int) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal.start(folder, SETUP, 0)
    journal.append(STATES[1], 1)
    whole = (folder / JOURNAL_FILE).read_bytes()
    at %= len(whole)
    (folder / JOURNAL_FILE).write_bytes(whole[:at] + junk + whole[at + len(junk) :])
    try:
        Journal.read(folder)
    except JournalError as error:
        assert "move it away" in str(error)  # noqa: PT017


def test_it_stays_small_however_long_an_update_takes(tmp_path: Path) -> None:
    journal = Journal.start(tmp_path, SETUP, 0, lambda _: None)
    for i in range(2500):
        journal.append(State(Step.WRITE, Step.WRITE, "a" * 64, offset=i), i)
    assert journal.path.stat().st_size <= MAX_JOURNAL_BYTES
    read = Journal.read(tmp_path)
    assert read is not None
    assert (read.state.offset, read.setup) == (2499, SETUP)


def test_a_full_disk_stops_it_with_a_word(tmp_path: Path) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    journal = Journal.start(tmp_path, SETUP, 0)
    journal._sync = full
    with pytest.raises(JournalError, match=r"No space left.*nothing more is done to the node"):
        journal.append(STATES[0], 0)


def test_a_confirmed_counter_is_the_floor_of_the_next(tmp_path: Path) -> None:
    journal = Journal.start(tmp_path, SETUP, 0)
    assert journal.floor == 4
    with pytest.raises(JournalError, match="talus-flash resume first"):
        Journal.start(tmp_path, SETUP, 0)
    journal.append(State(doing=Step.END, outcome=Outcome.CONFIRMED), 0)
    assert journal.floor == 9
    Journal.start(tmp_path, SETUP, 0)


def test_what_is_replaced_is_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def cut(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new, and longer", cut)
    assert path.read_bytes() == b"old"


# Manifest, signature, image


def firmware(folder: Path, *keys: str):
    trusted = read_keys(keys or [flash_parts.KEY.public.text], folder)
    return read_firmware(
        folder / "app.json", folder / "app.json.minisig", folder / "app.bin", trusted
    )


def test_what_was_signed_is_taken_and_kept_for_resume(tmp_path: Path) -> None:
    flash_parts.signed(tmp_path)
    found = firmware(tmp_path)
    assert (found.manifest.board, found.manifest.counter) == ("sim-node", 7)
    assert found.key_id == flash_parts.KEY.public.id
    kept = tmp_path / "kept"
    kept.mkdir()
    keep_firmware(kept, found)
    assert kept_firmware(kept) == found


@pytest.mark.parametrize("name", ["app.json", "app.json.minisig", "app.bin"])
def test_one_flipped_bit_of_any_file_is_refused(tmp_path: Path, name: str) -> None:
    flash_parts.signed(tmp_path)
    whole = (tmp_path / name).read_bytes()
    start = whole.index(b"\n") if name.endswith("minisig") else 0  # the untrusted comment is free
    for at in range(start, len(whole) - 1, 7):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ManifestError):
            firmware(tmp_path)


def test_nothing_of_a_manifest_is_parsed_before_its_signature_holds(tmp_path: Path) -> None:
    flash_parts.signed(tmp_path)
    (tmp_path / "app.json").write_bytes(b"[" * 4000)
    with pytest.raises(ManifestError, match="not the signature of this content"):
        firmware(tmp_path)


def test_keys_come_as_a_line_or_as_a_file_and_what_is_none_is_told(tmp_path: Path) -> None:
    text = flash_parts.KEY.public.text
    (tmp_path / "t.pub").write_text(f"untrusted comment: x\n{text}\n")
    assert read_keys([text], tmp_path) == read_keys(["t.pub"], tmp_path)
    for name, said in (("nothing.pub", "No such file"), ("RWx", "cut off or mistyped")):
        with pytest.raises(ManifestError, match=said):
            read_keys([name], tmp_path)
    with pytest.raises(ManifestError, match="one public key, or two"):
        read_keys([text] * 3, tmp_path)


GOOD = {"board": "b", "version": "1.2.3", "size": 5, "sha256": "0" * 64, "counter": 1}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("board", ""), ("board", "a b"), ("board", 5), ("board", "x" * 65), ("board", "b\n"),
        ("version", "1.2"), ("version", "1.2.3.4"), ("version", "01.2.3"), ("version", "1.2.x"),
        ("size", 0), ("size", -1), ("size", True), ("size", 5.0), ("size", 2**40),
        ("sha256", "0" * 63), ("sha256", "G" * 64), ("counter", -1), ("counter", 2**54),
        ("counter", None), ("more", 1),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_manifest_is_named(key: str, value: object) -> None:
    assert parse_manifest(json.dumps(GOOD).encode()).version == (1, 2, 3)
    with pytest.raises(ManifestError, match=key):
        parse_manifest(json.dumps({**GOOD, key: value}).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_manifest_makes_it_raise_anything_else(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(data)
    twice = json.dumps(GOOD)[:-1] + ', "board": "c"}'
    with pytest.raises(ManifestError, match="given twice"):
        parse_manifest(twice.encode())
