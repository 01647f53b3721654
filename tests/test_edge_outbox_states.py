"""The outbox against a simple model: any order of puts, acknowledgements, outages and restarts."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.message import ALARM, HEALTH, TELEMETRY, Message
from edge.outbox import Outbox

PLENTY = 10**9
NONE_FLYING: frozenset[int] = frozenset()


def rows_message(number: int, values: list[list[float]], station: str) -> Message:
    """Make a telemetry message as the batch does."""
    rows = [[number * 1000 + i, i, *row] for i, row in enumerate(values)]
    text = {
        "format": 1,
        "id": f"{station}-{number}",
        "gateway": "g",
        "station": station,
        "level": 0,
        "fields": ["time_ms", "sequence", "tilt_1", "tilt_2"],
        "rows": rows,
        "steps": [],
    }
    return Message(f"t/g/{station}/telemetry", json.dumps(text).encode(), TELEMETRY, rows=len(rows))


class Machine(RuleBasedStateMachine):
    """What is put is there until it is acknowledged, given up with a reason, or replaced."""

    @initialize(max_bytes=st.sampled_from([1500, 6000, PLENTY]))
    def begin(self, max_bytes: int) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.max_bytes = max_bytes
        self.now_s = 1000.0
        self.number = 0
        self.came = self.delivered = self.given_up = 0
        self.alarms: list[bytes] = []
        self.retained: dict[str, bytes] = {}
        self.extremes: list[float] = []
        self.open()

    def open(self) -> None:
        self.outbox = Outbox(self.folder, self.max_bytes, 2, lambda: self.now_s)

    def waiting(self) -> list:
        found = self.outbox.waiting(10**6, NONE_FLYING, PLENTY)
        self.outbox.waiting(0, NONE_FLYING, PLENTY)  # and nothing of it is on the air
        return found

    @rule(
        values=st.lists(st.lists(st.integers(-999, 999), min_size=2, max_size=2), max_size=12),
        station=st.sampled_from(["toe", "head"]),
    )
    def put_telemetry(self, values: list[list[float]], station: str) -> None:
        self.number += 1
        self.came += len(values)
        assert self.outbox.put([rows_message(self.number, values, station)])

    @rule(state=st.booleans())
    def put_alarm(self, state: bool) -> None:
        self.number += 1
        text = b"alarm %d" % self.number
        self.alarms.append(text)
        event = Message("t/g/toe/alarm", text, ALARM, id=f"a{self.number}")
        stands = Message("t/g/toe/state", text, ALARM, retain=True)
        assert self.outbox.put([event, stands], {"pipeline": text} if state else None)
        self.retained["t/g/toe/state"] = text
        assert not state or self.outbox.load_state("pipeline") == text
        with sqlite3.connect(self.outbox.path) as db:  # on disk before anything else
            found = [row[0] for row in db.execute("SELECT payload FROM message")]
        db.close()
        assert found.count(text) == 2

    @rule()
    def put_health(self) -> None:
        self.number += 1
        text = b"health %d" % self.number
        assert self.outbox.put([Message("t/g/health", text, HEALTH, retain=True)])
        self.retained["t/g/health"] = text

    @rule(places=st.lists(st.integers(0, 15), max_size=8))
    def acknowledge(self, places: list[int]) -> None:
        waiting = self.waiting()
        gone = {waiting[i].id: waiting[i].message for i in places if i < len(waiting)}
        rows = self.outbox.done(gone)
        assert rows == sum(message.rows for message in gone.values())
        self.delivered += rows
        for message in gone.values():
            if message.topic.endswith("/alarm"):
                self.alarms.remove(message.payload)
            if self.retained.get(message.topic) == message.payload:
                del self.retained[message.topic]

    @rule(seconds=st.sampled_from([0.01, 0.6, 3600.0, 7 * 3600.0, 86400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.outbox.settle()
        if seconds > 0.5:
            assert in_the_file(self.outbox.path) == counters(self.outbox)

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.given_up += sum(self.outbox.lost.values())
        self.open()
        assert not self.outbox.notes

    @precondition(lambda self: self.alarms)
    @rule()
    def mend(self) -> None:
        self.outbox.mend()

    @invariant()
    def readings_balance(self) -> None:
        lost = self.given_up + sum(self.outbox.lost.values())
        assert self.came == self.delivered + self.outbox.rows + lost
        assert set(self.outbox.lost) <= {"thinned", "outbox_full", "outbox_old"}

    @invariant()
    def what_waits_is_what_the_model_says(self) -> None:
        waiting = self.waiting()
        order = [(stored.message.priority, stored.id) for stored in waiting]
        assert order == sorted(order)
        assert len({each for _, each in order}) == len(order)
        messages = [stored.message for stored in waiting]
        assert len(messages) == self.outbox.messages
        assert sum(m.rows for m in messages) == self.outbox.rows
        assert [m.payload for m in messages if m.topic.endswith("/alarm")] == self.alarms
        retained = {m.topic: m.payload for m in messages if m.retain}
        assert Counter(m.topic for m in messages if m.retain) == Counter(retained.keys())
        if self.max_bytes == PLENTY:
            assert retained == self.retained
        else:  # health goes when there is no telemetry left to go
            assert retained.items() <= self.retained.items()

    @invariant()
    def the_bound_is_kept(self) -> None:
        lowest = max((s.message.priority for s in self.waiting()), default=ALARM)
        assert self.outbox.bytes <= self.max_bytes or lowest == ALARM

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            shutil.rmtree(self.folder)


def in_the_file(path: Path) -> tuple[int, int, int]:
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT payload, rows FROM message").fetchall()
    db.close()
    return sum(len(p) for p, _ in rows), sum(n for _, n in rows), len(rows)


def counters(outbox: Outbox) -> tuple[int, int, int]:
    return outbox.bytes, outbox.rows, outbox.messages


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
