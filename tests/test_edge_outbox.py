"""The outbox: order, replacement, bounds, counters, and a database file that was damaged."""

from __future__ import annotations

import random
import sqlite3
import stat
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.message import ALARM, HEALTH, TELEMETRY, Message
from edge.outbox import Outbox, Stored

PLENTY = 10**9
NONE_FLYING: frozenset[int] = frozenset()


def telemetry(text: str, rows: int = 1) -> Message:
    return Message("talus/g/slope/telemetry", text.encode(), TELEMETRY, rows=rows)


def alarm(text: str) -> Message:
    return Message("talus/g/slope/alarm", text.encode(), ALARM)


def retained(text: str, topic: str = "talus/g/slope/state", priority: int = ALARM) -> Message:
    return Message(topic, text.encode(), priority, retain=True)


def waiting(outbox: Outbox, limit: int = 10**6) -> list[Stored]:
    return outbox.waiting(limit, NONE_FLYING, PLENTY)


def texts(outbox: Outbox) -> list[str]:
    return [stored.message.payload.decode() for stored in waiting(outbox)]


@pytest.fixture
def outbox(tmp_path):
    opened = Outbox(tmp_path / "data", PLENTY)
    yield opened
    opened.close()


def test_alarms_leave_before_health_before_telemetry_then_the_oldest(outbox) -> None:
    health = Message("talus/g/health", b"h", HEALTH, retain=True)
    assert outbox.put([telemetry("t1"), health, telemetry("t2"), alarm("a1")])
    assert outbox.put([alarm("a2"), telemetry("t3")])
    assert texts(outbox) == ["a1", "a2", "h", "t1", "t2", "t3"]


def test_what_comes_out_is_what_was_put_in(outbox) -> None:
    put = [retained("r"), Message("ü/größe", bytes(range(256)), TELEMETRY, rows=7)]
    assert outbox.put(put)
    assert [stored.message for stored in waiting(outbox)] == put


def test_waiting_keeps_to_its_limits_and_leaves_out_what_is_on_the_air(outbox) -> None:
    outbox.put([telemetry("x" * 100) for _ in range(10)])
    first = waiting(outbox, 3)
    assert len(first) == 3
    flying = frozenset(stored.id for stored in first)
    rest = outbox.waiting(100, flying, PLENTY)
    assert len(rest) == 7
    assert not flying & {stored.id for stored in rest}
    assert len(outbox.waiting(100, NONE_FLYING, 250)) == 3  # the third passes the bound
    assert outbox.waiting(100, NONE_FLYING, 0) == []


def test_a_retained_message_takes_the_place_of_the_one_that_waits_under_its_topic(outbox) -> None:
    outbox.put([retained("old"), retained("other", "talus/g/toe/state"), alarm("event")])
    outbox.put([retained("new")])
    assert texts(outbox) == ["other", "event", "new"]
    assert (outbox.messages, outbox.bytes) == (3, len("othereventnew"))


def test_a_message_that_is_not_retained_never_takes_the_place_of_another(outbox) -> None:
    outbox.put([retained("kept", "t"), Message("t", b"a", ALARM), Message("t", b"a", ALARM)])
    assert texts(outbox) == ["kept", "a", "a"]


def test_two_messages_with_the_same_content_are_two_messages(outbox) -> None:
    outbox.put([telemetry("same", rows=2)])
    outbox.put([telemetry("same", rows=2)])
    one, two = waiting(outbox)
    assert one.id != two.id
    assert one.message == two.message
    assert outbox.done([one.id]) == 2
    assert [stored.id for stored in waiting(outbox)] == [two.id]


def test_done_deletes_and_counts_readings_once(outbox) -> None:
    outbox.put([telemetry("a", rows=3), telemetry("b", rows=4), alarm("c")])
    ids = [stored.id for stored in waiting(outbox)]
    assert outbox.done(ids[:2]) == 3
    assert outbox.done(ids) == 4  # those gone already count no more
    assert outbox.done(ids) == 0
    assert outbox.done([]) == 0
    assert (outbox.messages, outbox.bytes, outbox.rows) == (0, 0, 0)


def test_an_id_is_never_used_again(tmp_path) -> None:
    seen: set[int] = set()
    for _ in range(3):
        outbox = Outbox(tmp_path, PLENTY)
        outbox.put([telemetry("x")])
        (stored,) = waiting(outbox)
        assert stored.id not in seen
        seen.add(stored.id)
        outbox.done([stored.id])
        outbox.close()


def test_a_huge_payload_gets_through_whole(outbox) -> None:
    payload = random.Random(1).randbytes(20_000_000)
    assert outbox.put([Message("t", payload, TELEMETRY, rows=1)])
    (stored,) = outbox.waiting(5, NONE_FLYING, 1)  # larger than what may be on the air: alone
    assert stored.message.payload == payload
    assert outbox.bytes == len(payload)


def test_the_oldest_telemetry_is_given_up_when_the_bound_is_reached(tmp_path) -> None:
    outbox = Outbox(tmp_path, 100_000)
    for n in range(300):
        assert outbox.put([telemetry(f"{n:04d}" + "x" * 996, rows=2)])
        assert outbox.bytes <= 100_000
    kept = [int(text[:4]) for text in texts(outbox)]
    assert kept == list(range(300 - len(kept), 300))
    assert len(kept) > 30
    assert outbox.lost == {"outbox_full": 2 * (300 - len(kept))}
    assert outbox.dropped_messages == 300 - len(kept)
    outbox.close()


def test_alarms_are_never_given_up_for_the_bound(tmp_path) -> None:
    outbox = Outbox(tmp_path, 10_000)
    for n in range(50):
        outbox.put([telemetry("x" * 900, rows=1)])
        outbox.put([alarm(f"{n:04d}" + "x" * 900)])
    alarms = [s.message for s in waiting(outbox) if s.message.priority == ALARM]
    assert [int(m.payload[:4]) for m in alarms] == list(range(50))
    assert outbox.lost["outbox_full"] + outbox.rows == 50
    assert outbox.messages == len(alarms) + outbox.rows
    outbox.close()


def test_a_state_is_loaded_as_it_was_stored_and_the_last_one_counts(outbox) -> None:
    assert outbox.load_state("pipeline") is None
    outbox.put([], {"pipeline": b"one"})
    outbox.put([alarm("a")], {"pipeline": b"two \0", "other": b""})
    assert (outbox.load_state("pipeline"), outbox.load_state("other")) == (b"two \0", b"")


def test_a_restart_keeps_messages_state_and_counters(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY)
    outbox.put([telemetry("t", rows=9), retained("r"), alarm("a")], {"pipeline": b"s"})
    before = waiting(outbox), outbox.bytes, outbox.rows, outbox.messages
    outbox.close()
    again = Outbox(tmp_path, PLENTY)
    assert (waiting(again), again.bytes, again.rows, again.messages) == before
    assert again.load_state("pipeline") == b"s"
    assert again.notes == []
    again.close()


def test_nobody_else_can_read_the_files(tmp_path) -> None:
    outbox = Outbox(tmp_path / "deep" / "data", PLENTY)
    outbox.put([alarm("a")])
    modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in outbox.path.parent.iterdir()}
    assert {modes[name] for name in modes if name.startswith("outbox.db")} == {0o600}
    assert "outbox.db-wal" in modes
    assert stat.S_IMODE(outbox.path.parent.stat().st_mode) == 0o700
    outbox.close()


def test_the_same_note_in_a_row_is_kept_once_and_notes_are_bounded(outbox) -> None:
    for n in range(100):
        outbox.note(f"{n // 2}")
    assert outbox.notes == [f"{n}" for n in range(30, 50)]


# ---- counters always equal what is in the file ----

_messages = st.builds(
    Message,
    st.sampled_from(["t/a", "t/b", "t/c"]),
    st.binary(max_size=300),
    st.sampled_from([ALARM, HEALTH, TELEMETRY]),
    retain=st.booleans(),
    rows=st.integers(0, 5),
)
_steps = st.one_of(
    st.tuples(st.just("put"), st.lists(_messages, max_size=6)),
    st.tuples(st.just("done"), st.lists(st.integers(0, 40), max_size=8)),
    st.tuples(st.just("reopen"), st.none()),
    st.tuples(st.just("mend"), st.none()),
)


def in_the_file(path: Path) -> tuple[int, int, int]:
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT payload, rows FROM message").fetchall()
    db.close()
    return sum(len(p) for p, _ in rows), sum(n for _, n in rows), len(rows)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(_steps, max_size=25), bound=st.sampled_from([300, 2000, PLENTY]))
def test_counters_equal_what_is_in_the_file_and_readings_balance(steps, bound) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder), bound)
        came = gone = 0
        for what, value in steps:
            if what == "put":
                # A retained message may replace another: readings go with telemetry alone.
                batch = [replace(m, rows=0) if m.retain else m for m in value]
                came += sum(m.rows for m in batch)
                assert outbox.put(batch)
            elif what == "done":
                ids = [stored.id for stored in waiting(outbox)]
                gone += outbox.done([ids[i] for i in value if i < len(ids)])
            elif what == "reopen":
                gone += sum(outbox.lost.values())  # counted since the program started
                outbox.close()
                outbox = Outbox(Path(folder), bound)
            else:
                outbox.mend()
            counters = outbox.bytes, outbox.rows, outbox.messages
            assert counters == in_the_file(outbox.path)
            assert came == gone + outbox.rows + sum(outbox.lost.values())
            order = [(stored.message.priority, stored.id) for stored in waiting(outbox)]
            assert order == sorted(order)
        outbox.close()


# ---- damage ----


def sound_file(folder: Path) -> bytes:
    outbox = Outbox(folder, PLENTY)
    for n in range(60):
        made = alarm("a" * n * 9) if n % 5 == 0 else telemetry("t" * n * 9, rows=n)
        outbox.put([made], {"pipeline": b"s" * 300})
    outbox.close()
    return outbox.path.read_bytes()


def damage(sound: bytes, kind: str, dice: random.Random) -> bytes:
    data = bytearray(sound)
    if kind == "garbage":
        return dice.randbytes(len(sound))
    if kind == "truncated":
        return bytes(data[: dice.randrange(100, len(data) - 100)])
    if kind == "head":
        data[dice.randrange(600)] ^= 1 << dice.randrange(8)
    for _ in range({"one byte": 1, "bytes": 30, "head": 0}[kind]):
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("kind", ["garbage", "truncated", "head", "one byte", "bytes"])
def test_a_damaged_file_is_used_where_it_is_sound_and_else_set_aside(tmp_path, kind) -> None:
    sound = sound_file(tmp_path / "sound")
    dice = random.Random(kind)
    set_aside = 0
    for n in range(150):
        folder = tmp_path / f"{n}"
        folder.mkdir()
        (folder / "reserve").write_bytes(b"")  # one that need not be written 150 times
        (folder / "outbox.db").write_bytes(found := damage(sound, kind, dice))
        outbox = Outbox(folder, PLENTY)
        outbox.load_state("pipeline")
        assert all(type(s.message.payload) is bytes for s in waiting(outbox))
        if outbox.notes:
            set_aside += 1
            (aside,) = folder.glob("outbox.damaged.*.db")
            assert aside.read_bytes() == found
            assert aside.name in outbox.notes[0]
            assert (outbox.messages, outbox.load_state("pipeline")) == (0, None)
        assert outbox.put([alarm("still works")], {"pipeline": b"new"})
        assert b"still works" in [s.message.payload for s in waiting(outbox)]
        assert outbox.done([s.id for s in waiting(outbox)]) is not None
        assert outbox.messages == 0
        outbox.close()
    # A page may end in bytes that hold nothing: what is lost there is no damage.
    least = {"garbage": 150, "truncated": 130, "head": 5, "one byte": 5, "bytes": 50}
    assert set_aside >= least[kind]
