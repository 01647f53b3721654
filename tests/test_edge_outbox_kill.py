"""SIGKILL while the outbox writes: what ``put`` returned for is there, and nothing is half done."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys

import pytest

from edge.message import ALARM, TELEMETRY
from edge.outbox import Outbox
from edge.outbox_held import HOLD_MS

KILLS = 12
PLENTY = 10**9

WRITER = """
import sys, time
from pathlib import Path
from edge.message import ALARM, TELEMETRY, Message
from edge.outbox import Outbox

outbox = Outbox(Path(sys.argv[1]), 10**9)
n = int(sys.argv[3])
while True:
    if sys.argv[2] == "numbers":
        outbox.put([Message("t/g/s/telemetry", b"%d" % n, TELEMETRY, rows=1)])
        outbox.flush()
    elif sys.argv[2] == "alarms":
        event = Message("t/g/s/alarm", b"%d" % n, ALARM)
        stands = Message("t/g/s/state", b"%d" % n, ALARM, retain=True)
        outbox.put([event, stands], {"pipeline": b"%d " % n + bytes(20_000)})
    elif sys.argv[2] == "mixed":
        now_ms = time.monotonic_ns() // 1_000_000
        kind = ("alarm", ALARM) if n % 7 == 0 else ("telemetry", TELEMETRY)
        outbox.put([Message("t/g/s/" + kind[0], b"%d" % n, kind[1], rows=1)])
        outbox.settle()
        n += 1
        print(now_ms, flush=True)
        time.sleep(0.001)
        continue
    else:
        outbox.put([Message("t/g/s/telemetry", b"%d" % n, TELEMETRY, rows=1) for _ in range(20)])
        outbox.flush()
        ids = [s.id for s in outbox.waiting(10, frozenset(), 10**9)]
        assert outbox.done(ids) == 10
    print(n, flush=True)
    n += 1
"""


def killed_after(folder, what: str, start: int, lines: int, dice: random.Random) -> list[int]:
    """Let it write so many numbers and a little more, then SIGKILL; what it printed."""
    command = [sys.executable, "-c", WRITER, str(folder), what, str(start)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = [int(process.stdout.readline()) for _ in range(lines)]
    for _ in range(dice.randrange(20_000)):
        pass  # a moment of any length, so that the blow falls anywhere within a transaction
    process.kill()
    printed += [int(line) for line in process.stdout.read().splitlines()]
    assert process.wait() == -9
    process.stdout.close()
    return printed


def sound(outbox: Outbox) -> bool:
    with sqlite3.connect(outbox.path) as db:
        answer = db.execute("PRAGMA integrity_check").fetchone()[0]
    db.close()
    return answer == "ok" and not outbox.notes


def test_every_number_put_is_there_after_each_kill_in_order(tmp_path) -> None:
    dice = random.Random(3)
    put: list[int] = []
    for _ in range(KILLS):
        put += killed_after(tmp_path, "numbers", 1000 * len(put), dice.randrange(1, 120), dice)
        outbox = Outbox(tmp_path, PLENTY)
        waiting = outbox.waiting(10**6, frozenset(), PLENTY)
        found = [int(stored.message.payload) for stored in waiting]
        assert found == sorted(set(found))
        assert set(put) <= set(found)
        # One a kill may have been stored without the time to print it.
        assert len(found) <= len(put) + KILLS
        assert (outbox.messages, outbox.rows) == (len(found), len(found))
        assert sound(outbox)
        outbox.close()
    assert len(put) > KILLS


def test_the_state_is_always_that_of_the_last_alarm_in_the_file(tmp_path) -> None:
    dice = random.Random(4)
    start = 0
    for _ in range(KILLS):
        printed = killed_after(tmp_path, "alarms", start, dice.randrange(1, 60), dice)
        outbox = Outbox(tmp_path, PLENTY)
        waiting = outbox.waiting(10**6, frozenset(), PLENTY)
        assert {stored.message.priority for stored in waiting} == {ALARM}
        events = [int(s.message.payload) for s in waiting if not s.message.retain]
        stands = [int(s.message.payload) for s in waiting if s.message.retain]
        state = outbox.load_state("pipeline")
        assert state is not None
        assert events == list(range(events[-1] + 1))
        assert stands == [events[-1]]
        assert int(state.split()[0]) == events[-1]
        assert events[-1] - printed[-1] in {0, 1}
        assert sound(outbox)
        outbox.close()
        start = events[-1] + 1


def test_a_kill_takes_half_a_second_of_telemetry_at_most_and_no_alarm(tmp_path) -> None:
    dice = random.Random(7)
    for n in range(KILLS // 2):
        folder = tmp_path / f"{n}"
        put_ms = killed_after(folder, "mixed", 0, dice.randrange(1, 1000), dice)
        outbox = Outbox(folder, PLENTY)
        found = outbox.waiting(10**6, frozenset(), PLENTY)
        alarms = {int(s.message.payload) for s in found if s.message.priority == ALARM}
        assert alarms >= set(range(0, len(put_ms), 7))
        rows = [int(s.message.payload) for s in found if s.message.priority == TELEMETRY]
        assert rows == sorted(set(rows))
        due = {i for i, at_ms in enumerate(put_ms) if i % 7 and at_ms < put_ms[-1] - HOLD_MS - 2}
        assert due <= set(rows)
        assert sound(outbox)
        outbox.close()


@pytest.mark.parametrize("seed", [5, 6])
def test_a_kill_amid_deleting_leaves_whole_transactions(tmp_path, seed) -> None:
    dice = random.Random(seed)
    for _ in range(KILLS // 2):
        killed_after(tmp_path, "deleting", 0, dice.randrange(1, 80), dice)
        outbox = Outbox(tmp_path, PLENTY)
        assert outbox.messages % 10 == 0
        assert outbox.messages == outbox.rows
        waiting = outbox.waiting(10**6, frozenset(), PLENTY)
        assert {stored.message.priority for stored in waiting} == {TELEMETRY}
        assert sound(outbox)
        outbox.close()
