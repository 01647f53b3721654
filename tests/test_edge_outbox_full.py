"""A disk that is really full: telemetry gives way, an alarm never does, and nothing raises."""

from __future__ import annotations

import random
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from edge import journal, outbox_unsaved
from edge.message import ALARM, HEALTH, TELEMETRY, Message
from edge.outbox import Outbox

PLENTY = 10**9


def telemetry(n: int) -> Message:
    return Message(
        "t/g/s/telemetry", b"%06d" % n + random.Random(n).randbytes(1000), TELEMETRY, rows=3
    )


def saved(outbox: Outbox, message: Message) -> bool:
    """Put one and let it go to disk at once; whether it is there."""
    return outbox.put([message]) and outbox.flush()


def alarm(n: int) -> list[Message]:
    stands = Message("t/g/s/state", b"%06d" % n, ALARM, retain=True)
    return [Message("t/g/s/alarm", b"%06d" % n + bytes(1000), ALARM), stands]


class Disk:
    """A small disk, and how to fill it to the last block."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.ballast = folder / "ballast"

    def fill(self) -> None:
        with self.ballast.open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def empty(self) -> None:
        self.ballast.unlink()


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT TESTED: a full disk (needs root to mount a tmpfs): {done.stderr}")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def outbox(disk):
    opened = Outbox(disk.data, PLENTY)
    yield opened
    opened.close()


def numbers(outbox: Outbox, kind: str) -> list[int]:
    waiting = outbox.waiting(10**6, frozenset(), PLENTY)
    found = [s.message for s in waiting if s.message.topic.endswith(kind)]
    return [int(message.payload[:6]) for message in found]


def fill_with_alarms(outbox: Outbox) -> int:
    """Put alarms until one has to wait in memory; how many were put."""
    for n in range(5000):
        outbox.put(alarm(n), {"pipeline": b"%d" % n})
        if outbox.unsaved:
            return n + 1
    raise AssertionError("the disk never got full")


def test_telemetry_is_refused_and_counted_and_leaves_the_reserve_alone(disk, outbox) -> None:
    assert saved(outbox, telemetry(0))
    disk.fill()
    taken = 1
    while saved(outbox, telemetry(taken)):  # what the database still has room for
        taken += 1
        assert taken < 4000
    for n in range(100):
        assert not saved(outbox, telemetry(10_000 + n))
    assert outbox.lost == {"disk_full": 3 * 101}
    assert outbox.dropped_messages == 101
    assert numbers(outbox, "telemetry") == list(range(taken))
    assert outbox.rows == 3 * taken
    assert "full" in outbox.notes[0]

    outbox.put(alarm(1), {"pipeline": b"1"})  # and the alarm gets in
    assert outbox.unsaved == 0
    assert numbers(outbox, "alarm") == [1]
    assert outbox.load_state("pipeline") == b"1"


def test_hundreds_of_alarms_get_in_thanks_to_the_reserve_and_survive(disk, outbox) -> None:
    disk.fill()
    count = fill_with_alarms(outbox)
    assert count > 100
    assert outbox.unsaved == 2
    assert outbox.lost_alarms == 0
    again = Outbox(disk.data, PLENTY)
    assert numbers(again, "alarm") == list(range(count - 1))
    assert numbers(again, "state") == [count - 2]
    again.close()


def test_an_alarm_in_memory_is_offered_and_saved_once_there_is_space(disk, outbox) -> None:
    disk.fill()
    count = fill_with_alarms(outbox)
    outbox.put(alarm(count), {"pipeline": b"last"})
    assert outbox.unsaved == 4
    assert numbers(outbox, "alarm") == list(range(count + 1))
    # The state that stands is offered last: an older one must not overtake it.
    assert numbers(outbox, "state") == [count - 2, count - 1, count]
    outbox.mend()
    assert outbox.unsaved == 4  # no space yet

    disk.empty()
    outbox.mend()
    assert outbox.unsaved == 0
    outbox.close()
    again = Outbox(disk.data, PLENTY)
    assert numbers(again, "alarm") == list(range(count + 1))
    assert numbers(again, "state") == [count]
    assert saved(again, telemetry(0))
    again.close()


def test_the_next_alarm_saves_those_in_memory_before_itself(disk, outbox) -> None:
    disk.fill()
    count = fill_with_alarms(outbox)
    disk.empty()
    outbox.put(alarm(count), {"pipeline": b"last"})
    assert outbox.unsaved == 0
    assert numbers(outbox, "alarm") == list(range(count + 1))
    assert numbers(outbox, "state") == [count]
    outbox.mend()  # must not bring back the older state
    assert numbers(outbox, "state") == [count]
    assert outbox.load_state("pipeline") == b"last"


def test_an_alarm_delivered_out_of_memory_is_done_with(disk, outbox) -> None:
    disk.fill()
    fill_with_alarms(outbox)
    youngest = [s.id for s in outbox.waiting(10**6, frozenset(), PLENTY)][-2:]
    assert outbox.unsaved == 2
    outbox.done(youngest)
    assert outbox.unsaved == 0


@pytest.mark.parametrize("close", [False, True])
def test_an_alarm_that_left_out_of_memory_comes_to_the_journal_when_there_is_space(
    disk, outbox, close: bool
) -> None:
    disk.fill()
    fill_with_alarms(outbox)
    outbox.put([Message("t/g/s/alarm", b'{"id":"s-1"}', ALARM, id="s-1")])
    (last,) = (s.id for s in outbox.waiting(10**6, frozenset(), PLENTY) if s.message.id)
    outbox.done([last])
    outbox.mend()
    assert journal.find(disk.data, "s-1") is None  # no space yet
    disk.empty()
    if close:
        outbox.close()
    else:
        outbox.mend()
    assert journal.find(disk.data, "s-1") == {"id": "s-1"}
    again = Outbox(disk.data, PLENTY)
    waiting = again.waiting(10**6, frozenset(), PLENTY)
    assert [s for s in waiting if s.message.id] == []  # it is not sent again
    again.close()


def test_alarms_in_memory_and_those_that_left_are_bounded(disk, monkeypatch) -> None:
    monkeypatch.setattr(outbox_unsaved, "MAX_UNSAVED", 100)
    outbox = Outbox(disk.data, PLENTY)
    disk.fill()
    fill_with_alarms(outbox)
    last = max(stored.id for stored in outbox.waiting(10**6, frozenset(), PLENTY))
    for n in range(200):
        outbox.put([Message("t/g/s/alarm", b'{"n":%d}' % n, ALARM, id=f"s-{n}")])
        outbox.done([last + 1 + n])
    assert (outbox.unsaved, outbox.lost_alarms) == (2, 0)
    disk.empty()
    outbox.mend()
    assert len(journal.newest(disk.data, 10**6)) == 100
    outbox.close()


def test_what_was_acknowledged_can_be_deleted_from_a_full_disk(disk, outbox) -> None:
    taken = 0
    while saved(outbox, telemetry(taken)):
        taken += 1
    disk.fill()
    ids = [stored.id for stored in outbox.waiting(10**6, frozenset(), PLENTY)]
    assert len(ids) == taken > 0
    for n in range(0, taken, 64):
        assert outbox.done(ids[n : n + 64]) == 3 * len(ids[n : n + 64])
    assert outbox.messages == 0
    again = Outbox(disk.data, PLENTY)
    assert again.messages == 0
    again.close()


def test_telemetry_is_taken_again_once_there_is_space(disk, outbox) -> None:
    disk.fill()
    fill_with_alarms(outbox)
    assert not saved(outbox, telemetry(1))
    disk.empty()
    outbox.mend()
    assert saved(outbox, telemetry(2))
    assert numbers(outbox, "telemetry") == [2]
    assert (disk.data / "reserve").stat().st_size == 1024 * 1024


def test_health_is_told_of_the_full_disk_and_costs_no_reserve(disk, outbox) -> None:
    disk.fill()
    n = 0
    while saved(outbox, telemetry(n)):
        n += 1
    for i in range(300):
        saved(outbox, Message("t/g/health", b"%06d" % i, HEALTH, retain=True))
    assert (disk.data / "reserve").exists()
    assert len(numbers(outbox, "health")) <= 1
    assert outbox.unsaved == 0


def test_the_gateway_starts_on_a_full_disk(disk) -> None:
    first = Outbox(disk.data, PLENTY)
    first.put([telemetry(1), *alarm(1)], {"pipeline": b"1"})
    first.close()
    for n in range(2, 5):
        disk.fill()  # SQLite has removed its log: there is no room even to open it
        outbox = Outbox(disk.data, PLENTY)
        outbox.put(alarm(n), {"pipeline": b"%d" % n})
        assert outbox.unsaved == 0
        assert numbers(outbox, "alarm") == list(range(1, n + 1))
        assert outbox.load_state("pipeline") == b"%d" % n
        outbox.close()
        disk.empty()
        Outbox(disk.data, PLENTY).close()  # fills the reserve again


def test_telemetry_that_is_acknowledged_at_once_does_not_need_the_disk(disk, outbox) -> None:
    disk.fill()
    fill_with_alarms(outbox)
    before = outbox.rows
    for n in range(200):
        assert outbox.put([telemetry(n)])
        (youngest,) = (s.id for s in outbox.waiting(10**6, frozenset(), PLENTY) if s.message.rows)
        assert outbox.done([youngest]) == 3
    assert (outbox.rows, outbox.lost) == (before, {})
