"""A database file that was damaged, or is of an older version."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path

import pytest
from outbox_parts import (
    PLENTY,
    alarm,
    telemetry,
    texts,
    waiting,
)

from edge import journal
from edge.message import ALARM, Message
from edge.outbox import Outbox
from edge.outbox_alarm import outbox_alarms

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


def test_a_salvage_that_is_cut_off_goes_on_at_the_next_start(tmp_path, monkeypatch) -> None:
    sound = Outbox(tmp_path, PLENTY)
    sound.put([alarm(f"a{n}") for n in range(30)], {"pipeline": b"{}"})
    sound.close()
    with sqlite3.connect(sound.path) as db:
        db.execute("UPDATE sqlite_sequence SET seq = 'what was never put'")
    db.close()

    class PowerCutError(BaseException):
        pass

    def cut(*_: object) -> int:
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr("edge.outbox_open.salvage", cut)
        with pytest.raises(PowerCutError):
            Outbox(tmp_path, PLENTY)
    outbox = Outbox(tmp_path, PLENTY)
    assert len(waiting(outbox)) == 30
    assert "30 messages still readable" in outbox.quarantined
    assert outbox.load_state("pipeline") == b"{}"
    outbox.close()
    again = Outbox(tmp_path, PLENTY)
    assert again.quarantined == ""
    assert len(waiting(again)) == 30
    again.close()
