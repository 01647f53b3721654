"""The outbox: order, replacement, bounds, counters, and a database file that was damaged."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import stat
from pathlib import Path

import pytest

from edge import journal
from edge.disk_use import DiskUse, written_bytes
from edge.message import ALARM, HEALTH, TELEMETRY, Message
from edge.outbox import Outbox, Stored
from edge.outbox_alarm import outbox_alarms

PLENTY = 10**9
NONE_FLYING: frozenset[int] = frozenset()


def telemetry(text: str, rows: int = 1) -> Message:
    return Message("talus/g/slope/telemetry", text.encode(), TELEMETRY, rows=rows)


def noise(seed: int) -> str:
    """Text that no compression makes much smaller."""
    return random.Random(seed).randbytes(498).hex()


def alarm(text: str) -> Message:
    return Message("talus/g/slope/alarm", text.encode(), ALARM)


def retained(text: str, topic: str = "talus/g/slope/state", priority: int = ALARM) -> Message:
    return Message(topic, text.encode(), priority, retain=True)


def waiting(outbox: Outbox, limit: int = 10**6) -> list[Stored]:
    found = outbox.waiting(limit, NONE_FLYING, PLENTY)
    outbox.waiting(0, NONE_FLYING, PLENTY)  # and nothing of it is on the air
    return found


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
        assert outbox.put([telemetry(f"{n:04d}" + noise(n), rows=2)])
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
        outbox.put([telemetry(noise(n), rows=1)])
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


# ---- damage ----

ROUNDS = 60


def put_messages() -> list[Message]:
    return [
        alarm("a" * n * 90) if n % 5 == 0 else telemetry("t" * n * 9, rows=n) for n in range(60)
    ]


def sound_file(folder: Path) -> bytes:
    outbox = Outbox(folder, PLENTY)
    for made in put_messages():
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
def test_of_a_damaged_file_what_is_sound_is_kept_and_nothing_else(tmp_path, kind) -> None:
    sound = sound_file(tmp_path / "sound")
    put = put_messages()
    dice = random.Random(kind)
    set_aside = kept_alarms = 0
    for n in range(ROUNDS):
        folder = tmp_path / f"{n}"
        folder.mkdir()
        (folder / "reserve").write_bytes(b"")  # one that need not be written each time
        (folder / "outbox.db").write_bytes(found := damage(sound, kind, dice))
        outbox = Outbox(folder, PLENTY)
        assert outbox.load_state("pipeline") in {None, b"s" * 300}
        messages = [s.message for s in waiting(outbox)]
        assert all(message in put for message in messages)
        kept_alarms += sum(message.priority == ALARM for message in messages)
        asides = list(folder.glob("outbox.damaged.*.db"))
        assert bool(outbox.quarantined) == bool(outbox.notes)
        if asides:
            set_aside += 1
            (aside,) = asides
            assert aside.read_bytes() == found
            assert aside.name in outbox.quarantined
        if kind == "garbage":
            assert messages == []
        assert outbox.put([alarm("still works")], {"pipeline": b"new"})
        assert b"still works" in [s.message.payload for s in waiting(outbox)]
        assert outbox.done([s.id for s in waiting(outbox)]) is not None
        assert outbox.messages == 0
        outbox.close()
    # A page may end in bytes that hold nothing: what is lost there is no damage.
    least = {"garbage": 1.0, "truncated": 0.85, "head": 0.01, "one byte": 0.01, "bytes": 0.3}
    assert set_aside >= least[kind] * ROUNDS
    share = {"garbage": 0.0, "truncated": 0.2, "head": 0.5, "one byte": 0.9, "bytes": 0.1}
    print(kind, set_aside, kept_alarms / (ROUNDS * 12))
    assert kept_alarms >= share[kind] * ROUNDS * 12


def test_a_file_that_breaks_while_it_is_open_gives_way_to_a_new_one(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY)
    for n in range(200):
        outbox.put([alarm(f"{n}")], {"pipeline": b"1"})
    outbox.close()
    outbox = Outbox(tmp_path, PLENTY)
    content = bytearray(outbox.path.read_bytes())
    content[4096:] = random.Random(1).randbytes(len(content) - 4096)
    outbox.path.write_bytes(content)
    for n in range(200, 400):
        outbox.put([alarm(f"{n}")], {"pipeline": b"2"})
    assert "outbox.damaged" in outbox.quarantined
    assert outbox.unsaved == 0
    assert {f"{n}" for n in range(201, 400)} <= set(texts(outbox))
    assert outbox.load_state("pipeline") == b"2"
    outbox.close()
    again = Outbox(tmp_path, PLENTY)
    assert {f"{n}" for n in range(201, 400)} <= set(texts(again))
    again.close()


def test_only_the_newest_damaged_files_are_kept(tmp_path) -> None:
    for n in range(6):
        (tmp_path / "outbox.db").write_bytes(random.Random(n).randbytes(9000))
        Outbox(tmp_path, PLENTY).close()
    assert len(list(tmp_path.glob("outbox.damaged.*.db"))) == 3


def test_the_alarm_about_a_damaged_file_is_told_once(tmp_path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"no database" * 1000)
    outbox = Outbox(tmp_path, PLENTY)
    (told,) = outbox_alarms(outbox, "talus/g", "g", 1_700_000_000_000)
    assert (told.topic, told.priority) == ("talus/g/alarm", ALARM)
    values = json.loads(told.payload)
    assert (values["kind"], values["id"]) == ("outbox", told.id)
    assert "outbox.damaged" in values["reason"]
    assert outbox_alarms(outbox, "talus/g", "g", 1_700_000_000_000) == []
    outbox.put([told])
    assert journal.find(tmp_path, told.id) == values
    outbox.close()


OLDER_SCHEMA = """
CREATE TABLE message(
  id INTEGER PRIMARY KEY AUTOINCREMENT, priority INTEGER NOT NULL, topic TEXT NOT NULL,
  payload BLOB NOT NULL, retain INTEGER NOT NULL, rows INTEGER NOT NULL);
CREATE INDEX by_priority ON message(priority, id);
CREATE TABLE state(name TEXT PRIMARY KEY, value BLOB NOT NULL);
INSERT INTO message(priority, topic, payload, retain, rows) VALUES
  (2, 't/telemetry', x'7431', 0, 5), (0, 't/alarm', x'6131', 0, 0), (0, 't/state', x'7331', 1, 0);
INSERT INTO state VALUES ('pipeline', x'7b7d');
"""


def test_a_file_of_an_older_version_is_taken_over(tmp_path) -> None:
    with sqlite3.connect(tmp_path / "outbox.db") as db:
        db.executescript(OLDER_SCHEMA)
    db.close()
    outbox = Outbox(tmp_path, PLENTY)
    assert (outbox.notes, outbox.rows, outbox.messages) == ([], 5, 3)
    assert outbox.load_state("pipeline") == b"{}"
    outbox.put([Message("t/state", b"s2", ALARM, retain=True)], {"pipeline": b"new"})
    assert texts(outbox) == ["a1", "s2", "t1"]
    assert outbox.load_state("pipeline") == b"new"
    outbox.close()


# ---- held in memory for a moment ----


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def on_disk(outbox: Outbox) -> list[str]:
    with sqlite3.connect(outbox.path) as db:
        found = [row[0].decode() for row in db.execute("SELECT payload FROM message ORDER BY id")]
    db.close()
    return found


def test_telemetry_goes_to_disk_only_if_it_is_not_acknowledged_in_time(tmp_path) -> None:
    clock = Clock()
    outbox = Outbox(tmp_path, PLENTY, clock=clock)
    commits = outbox.disk.commits
    for n in range(100):  # acknowledged at once
        outbox.put([telemetry(f"t{n}")])
        clock.now_s += 0.3
        outbox.settle()
        assert outbox.done([stored.id for stored in waiting(outbox)]) == 1
    assert (outbox.disk.commits, on_disk(outbox)) == (commits, [])
    for n in range(20):  # and not
        outbox.put([telemetry(f"u{n}")])
        clock.now_s += 0.1
        outbox.settle()
        assert len(outbox.notes) == 0
        assert len(on_disk(outbox)) >= n - 5  # half a second is at risk
    assert outbox.disk.commits - commits <= 4
    outbox.close()


def test_an_alarm_is_on_disk_at_once_and_takes_no_telemetry_along(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY, clock=Clock())
    outbox.put([telemetry("t")])
    outbox.put([telemetry("u"), alarm("a")])
    assert on_disk(outbox) == ["a"]
    assert texts(outbox) == ["a", "t", "u"]
    outbox.close()


def test_a_message_on_the_air_is_done_with_though_it_went_to_disk_meanwhile(tmp_path) -> None:
    clock = Clock()
    outbox = Outbox(tmp_path, PLENTY, clock=clock)
    outbox.put([telemetry("t", rows=3)])
    (stored,) = waiting(outbox)
    clock.now_s += 1.0
    outbox.settle()
    assert on_disk(outbox) == ["t"]
    assert outbox.waiting(9, frozenset({stored.id}), PLENTY) == []
    assert outbox.done([stored.id]) == 3
    assert (outbox.rows, on_disk(outbox)) == (0, [])
    outbox.close()


def test_a_flood_is_written_in_few_transactions(tmp_path) -> None:
    clock = Clock()
    outbox = Outbox(tmp_path, PLENTY, clock=clock)
    for n in range(5000):  # for five seconds
        outbox.put([telemetry(f"{n:04d}")])
        clock.now_s += 0.001
        outbox.settle()
    outbox.flush()
    assert outbox.disk.commits <= 15
    assert texts(outbox) == [f"{n:04d}" for n in range(5000)]
    outbox.close()


def test_an_unchanged_state_is_not_written_again(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY)
    outbox.put([], {"pipeline": b"s" * 9000})
    commits, stored = outbox.disk.commits, outbox.disk.stored_bytes
    outbox.put([], {"pipeline": b"s" * 9000})
    assert (outbox.disk.commits, outbox.disk.stored_bytes) == (commits, stored)
    assert stored < 1000  # compressed
    outbox.put([], {"pipeline": b"t" * 9000})
    assert outbox.load_state("pipeline") == b"t" * 9000
    outbox.close()


# ---- the bound in days ----


def test_telemetry_older_than_the_bound_in_days_of_running_goes_and_alarms_stay(tmp_path) -> None:
    clock = Clock()
    outbox = Outbox(tmp_path, PLENTY, 2, clock)
    outbox.put([telemetry("old", rows=4), alarm("old")])
    clock.now_s += 86_400 * 1.9
    outbox.settle()
    outbox.put([telemetry("young", rows=1)])
    outbox.close()
    clock.now_s += 86_400 * 50  # without power: it does not count
    outbox = Outbox(tmp_path, PLENTY, 2, clock)
    outbox.settle()
    assert texts(outbox) == ["old", "old", "young"]
    clock.now_s += 86_400 * 0.2
    outbox.settle()
    assert [(s.message.priority, s.message.payload) for s in waiting(outbox)] == [
        (ALARM, b"old"),
        (TELEMETRY, b"young"),
    ]
    assert outbox.lost == {"outbox_old": 4}
    assert "outbox_max_days" in outbox.notes[0]
    outbox.close()


def test_what_is_on_the_air_is_not_given_up(tmp_path) -> None:
    outbox = Outbox(tmp_path, 20_000)
    for n in range(10):
        outbox.put([telemetry(noise(n))])
    first = outbox.waiting(5, NONE_FLYING, PLENTY)
    for n in range(10, 300):
        outbox.put([telemetry(noise(n))])
    assert outbox.lost["outbox_full"] > 200
    assert outbox.done([stored.id for stored in first]) == 5
    outbox.close()


# ---- the disk counted ----


def test_the_estimate_for_a_day_follows_the_last_day() -> None:
    clock, total = Clock(), [1000]
    use = DiskUse(clock, lambda: total[0])
    for _ in range(3 * 1440):
        clock.now_s += 60
        total[0] += 100
        found = use.values()
    assert found["written_bytes"] == 3 * 144_000
    assert found["written_bytes_per_day"] == 144_000
    for _ in range(2 * 1440):
        clock.now_s += 60
        total[0] += 5
        found = use.values()
    assert found["written_bytes_per_day"] == 7200


def test_what_the_kernel_counts_is_what_is_written(tmp_path) -> None:
    before = written_bytes()
    if before is None:
        pytest.skip("NOT TESTED: this kernel does not count what a process writes")
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(bytes(1_000_000))
        os.fsync(file.fileno())
    assert before + 1_000_000 <= written_bytes() <= before + 1_300_000
