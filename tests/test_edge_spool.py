"""The spool: what is pending when the process ends is what the next one finds, and nothing else."""

from __future__ import annotations

import errno
import os
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.message import TELEMETRY, Message
from edge.outbox import Outbox
from edge.outbox_held import Stored
from edge.outbox_store import Store
from edge.spool import AREA_BYTES, TIDY_BYTES, Spool, spool_path
from edge.spool_records import (
    ALL_GONE,
    MESSAGE,
    ROW,
    START,
    Row,
    header,
    message_body,
    read,
    record,
    row_body,
)

PLENTY = 10**9
BOOT = bytes(36)


def stored(n: int, size: int = 5) -> Stored:
    return Stored(n, Message("talus/g/s/telemetry", b"%d" % n * size, TELEMETRY, rows=2), 7 * n)


def reading(n: int) -> list[Row]:
    return [
        ("s", f"[{n},{n},0.5,null]", [[n, "a", ["spike"]]], 1, 7),
        ("t", f"[{n},{n},1]", [], 0, 8),
    ]


def left(path) -> tuple[list[Stored], list[Row]]:
    """What the next start finds; this one goes on."""
    again = Spool(path)
    os.close(again._file)
    return again.left.messages, again.left.rows


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("row"), st.just(0)),
        st.tuples(st.just("put"), st.integers(0, 400)),
        st.tuples(st.sampled_from(["gone", "all_gone", "commit", "begin"]), st.integers(0, 9)),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps=_STEPS)
def test_what_is_pending_is_found(tmp_path_factory, steps) -> None:
    path = tmp_path_factory.mktemp("spool") / "spool"
    spool = Spool(path)
    spool.begin()
    held: dict[int, Stored] = {}
    rows: list[int] = []
    for n, (what, value) in enumerate([*steps, ("commit", 0)], 1):
        if what == "row":
            spool.gathered(reading(n))
            rows.append(n)
        elif what == "put":  # as `Desk.flush` does: all that is gathered is in the message
            held[n] = stored(n, value)
            spool.message(held[n])
            spool.rows_out()
            rows.clear()
        elif what == "gone" and held:
            each = list(held)[value % len(held)]
            del held[each]
            spool.gone(each)
        elif what == "all_gone":
            held.clear()
            spool.all_gone()
        elif what == "commit":
            spool.commit()
        elif what == "begin":
            spool.commit()
            spool.begin()
    messages, found = left(path)
    assert [m for m in messages if m.id in held] == list(held.values())  # and some that have left
    assert found == [row for n in rows for row in reading(n)]
    spool.close()
    assert not path.exists()


def log(generation: int, *records: tuple[int, int, bytes]) -> bytes:
    head = header(BOOT, generation, START[0])
    return head.ljust(START[0], b"\0") + b"".join(record(generation, *each) for each in records)


def test_a_record_that_is_damaged_or_cut_off_ends_the_log() -> None:
    whole = log(3, *((MESSAGE, n, message_body(stored(n))) for n in range(1, 4)))
    sizes = [len(read(whole[:cut], BOOT)[2].messages) for cut in range(len(whole) + 1)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-2], sizes[-1]) == (0, 2, 3)
    for place in range(START[0], len(whole)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x10
        found = read(bytes(spoilt), BOOT)[2].messages
        assert found == [stored(n) for n in range(1, len(found) + 1)]
        assert len(found) < 3


def test_records_of_an_older_log_are_none_of_this_one() -> None:
    one, two, three = (reading(n)[0] for n in (1, 2, 3))
    older = log(3, (ROW, 0, row_body(one)), (ROW, 0, row_body(two)))
    newer = log(4, (ROW, 0, row_body(three)))
    assert read(newer + older[len(newer) :], BOOT)[2].rows == [three]
    assert read(older, BOOT)[2].rows == [one, two]
    assert read(older, b"1" * 36)[2].rows == []  # another boot: nobody knows what it lacks


@given(st.binary(max_size=300))
def test_anything_at_all_is_read(data) -> None:
    assert read(data, BOOT)[2].rows == []
    assert read(log(1) + data, BOOT)[2].messages == []


def test_the_log_stays_as_small_as_what_is_pending(tmp_path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    spool.begin()
    for n in range(1, 3000):  # one is always held
        spool.message(stored(n, 20))
        spool.commit()
        assert [m.id for m in left(path)[0]][-1:] == [n]
        spool.gone(n)
    assert path.stat().st_size < START[1] + 2 * TIDY_BYTES
    for n in range(3000, 20_000):  # more than fits
        spool.message(stored(n, 20))
        spool.commit()
    assert path.stat().st_size <= START[1] + AREA_BYTES
    found = [m.id for m in left(path)[0] if m.id >= 3000]  # as many of the oldest as there is room
    assert found == list(range(3000, 3000 + len(found)))
    assert len(found) > 1000
    spool.all_gone()
    spool.commit()
    spool.message(stored(60_000))
    spool.commit()
    assert [m.id for m in left(path)[0]] == [60_000]
    spool.close()


@pytest.mark.parametrize("what", ["readable by others", "a link", "two names", "a folder"])
def test_a_file_that_is_not_ours_alone_is_left_alone(tmp_path, what) -> None:
    path, other = tmp_path / "spool", tmp_path / "other"
    if what == "a folder":
        path.mkdir()
    else:
        other.write_bytes(b"theirs")
        other.chmod(0o644 if what == "readable by others" else 0o600)
        {"a link": path.symlink_to, "two names": path.hardlink_to}.get(what, other.rename)(
            path if what == "readable by others" else other
        )
    spool = Spool(path)
    spool.begin()
    spool.message(stored(1))
    spool.commit()
    assert spool.left.messages == []
    if what != "a folder":
        assert path.read_bytes() == b"theirs"
    spool.close()
    assert path.exists()


def test_an_outbox_takes_over_what_was_held_and_stores_it_once(tmp_path) -> None:
    path = tmp_path / "spool"
    outbox = Outbox(tmp_path / "data", PLENTY, spool=Spool(path))
    outbox.spool.begin()
    for n in range(3):
        outbox.put([Message("t/g/s/telemetry", b"%d" % n, TELEMETRY, rows=1)])
    outbox.spool.commit()
    outbox.flush()  # killed before it was noted that they are on disk
    outbox.put([Message("t/g/s/telemetry", b"3", TELEMETRY, rows=1)])
    outbox.spool._news = [each for each in outbox.spool._news if each[0] != ALL_GONE]
    outbox.spool.commit()
    again = Outbox(tmp_path / "data", PLENTY, spool=Spool(path))
    found = again.waiting(99, frozenset(), PLENTY)
    assert [s.message.payload for s in found] == [b"0", b"1", b"2", b"3"]
    assert (again.rows, again.messages) == (4, 4)
    assert again.flush()
    assert (again.rows, again.messages) == (4, 4)
    again.put([Message("t/g/s/telemetry", b"4", TELEMETRY, rows=1)])
    assert again.waiting(99, frozenset(), PLENTY)[-1].message.payload == b"4"
    for each in (outbox, again):
        each.close()


def test_a_disk_that_fails_once_at_the_start_doubles_nothing(tmp_path, monkeypatch) -> None:
    path = tmp_path / "spool"
    outbox = Outbox(tmp_path / "data", PLENTY, spool=Spool(path))
    outbox.spool.begin()
    outbox.put([Message("t/g/s/telemetry", b"0", TELEMETRY, rows=1)])
    outbox.spool.commit()
    outbox.flush()  # killed before it was noted that it is on disk
    full = sqlite3.OperationalError("database or disk is full")
    with monkeypatch.context() as patched:
        patched.setattr(Store, "save", lambda *_: (_ for _ in ()).throw(full))
        again = Outbox(tmp_path / "data", PLENTY, spool=Spool(path))
        assert (again.rows, again.messages) == (1, 1)
        assert [s.id for s in again.waiting(99, frozenset(), PLENTY)] == [1]
    for each in (outbox, again):
        each.close()


@pytest.mark.parametrize("body", [(MESSAGE, b"xy"), (ROW, b"a\nb"), (ROW, b"\xff\n\n\n\n")])
def test_what_nobody_has_written_so_is_told_and_begun_anew(tmp_path, body) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    spool.begin()
    spool._append([(body[0], 1, body[1])])
    found = Spool(path)
    assert str(path) in found.note
    assert found.left.messages == found.left.rows == []
    found.begin()
    found.gathered(reading(1))
    found.commit()
    assert left(path)[1] == reading(1)


def test_a_full_memory_keeps_what_was_there(tmp_path, monkeypatch) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    spool.begin()
    spool.message(stored(1))
    spool.gathered(reading(1))
    spool.commit()
    there = left(path)
    write = os.pwrite

    def full(file: int, data: bytes, at: int) -> int:
        if len(data) > 30:  # half of it, as a file system does that fills up
            return write(file, data[: len(data) // 2], at)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        spool.begin()
        spool.gathered(reading(2))
        spool.commit()
        assert left(path) == there
    spool.gathered(reading(3))
    spool.commit()
    messages, rows = left(path)
    assert messages == there[0]
    assert rows[-2:] == reading(3)
    assert there[1] == rows[: len(there[1])]


def test_systemds_folder_comes_first_then_memory_never_the_card(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    usual = spool_path(tmp_path)
    assert usual != spool_path(tmp_path / "other")
    assert usual == spool_path(tmp_path / "other" / "..")
    monkeypatch.setattr("edge.spool._MEMORY", tmp_path / "absent")
    assert spool_path(tmp_path) is None
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}/absent")
    assert spool_path(tmp_path) is None
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}/run:/run/more")
    assert spool_path(tmp_path).parent == tmp_path / "run"
