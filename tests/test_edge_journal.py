"""The journal of alarms: what was raised can be looked up after it has left; it is bounded."""

from __future__ import annotations

import json
import sqlite3

import pytest

from edge import journal
from edge.errors import TalusError
from edge.message import ALARM, Message
from edge.outbox import Outbox

PLENTY = 10**9


def alarm(n: int) -> Message:
    return Message("t/g/s/alarm", json.dumps({"id": f"s-{n}", "n": n}).encode(), ALARM, id=f"s-{n}")


def deliver(outbox: Outbox) -> None:
    waiting = outbox.waiting(10**6, frozenset(), PLENTY)
    assert outbox.done([stored.id for stored in waiting]) is not None
    assert outbox.messages == 0


def test_an_alarm_is_found_before_and_after_it_has_left_and_over_a_restart(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY)
    outbox.put([alarm(1), alarm(2)])
    assert journal.find(tmp_path, "s-1") == {"id": "s-1", "n": 1}
    deliver(outbox)
    outbox.put([alarm(3)])
    outbox.close()
    outbox = Outbox(tmp_path, PLENTY)
    assert [found["n"] for found in journal.newest(tmp_path, 10)] == [3, 2, 1]
    assert [found["n"] for found in journal.newest(tmp_path, 2)] == [3, 2]
    assert journal.find(tmp_path, "s-4") is None
    outbox.close()


def test_what_has_no_id_is_not_written_down(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY)
    outbox.put([Message("t/g/s/state", b"{}", ALARM, retain=True), alarm(1)])
    assert len(journal.newest(tmp_path, 10)) == 1
    outbox.close()


def test_the_same_alarm_twice_stands_once(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY)
    outbox.put([alarm(1), alarm(2), alarm(1)])
    assert [found["n"] for found in journal.newest(tmp_path, 10)] == [1, 2]
    outbox.close()


def test_the_oldest_go_when_there_are_too_many(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY)
    count = journal.MAX_KEPT + 700
    for n in range(0, count, 700):
        outbox.put([alarm(i) for i in range(n, min(n + 700, count))])
        deliver(outbox)
    kept = [found["n"] for found in journal.newest(tmp_path, 10**6)]
    assert kept == list(range(count - 1, count - 1 - journal.MAX_KEPT, -1))
    assert outbox.path.stat().st_size < 4_000_000
    outbox.close()


def test_of_a_damaged_outbox_the_journal_is_carried_over(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY)
    for n in range(300):
        outbox.put([alarm(n)])
    outbox.close()
    with sqlite3.connect(outbox.path) as db:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'urgent'"
        (page,) = db.execute(query).fetchone()
    db.close()
    content = bytearray(outbox.path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = bytes(4096)  # an index is gone
    outbox.path.write_bytes(content)
    outbox = Outbox(tmp_path, PLENTY)
    assert "outbox.damaged" in outbox.quarantined
    assert outbox.messages == 300
    assert [found["n"] for found in journal.newest(tmp_path, 1000)] == list(range(299, -1, -1))
    outbox.close()


@pytest.mark.parametrize("content", [None, b"", b"no database" * 500])
def test_without_a_sound_file_it_is_said_and_nothing_is_written(tmp_path, content) -> None:
    if content is not None:
        (tmp_path / "outbox.db").write_bytes(content)
    with pytest.raises(TalusError, match="outbox.db"):
        journal.newest(tmp_path, 5)
    assert [f.name for f in tmp_path.iterdir()] == ([] if content is None else ["outbox.db"])
