"""The power goes in the midst of a write: what ``put`` returned for is there, the file sound.

The files are copied after each call. Between two copies a disk may have any of the sectors that
changed, but for the order that fsync gives: the log is whole before the database is touched, and
a log that starts again has its new header before anything else of it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.message import ALARM, TELEMETRY, Message
from edge.outbox import Outbox

PLENTY = 10**9
SECTOR = 512
HEADER = 32
NONE_FLYING: frozenset[int] = frozenset()


@dataclass
class Disk:
    """The two files as they are at some moment."""

    database: bytes
    log: bytes

    def lay(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "outbox.db").write_bytes(self.database)
        (folder / "outbox.db-wal").write_bytes(self.log)
        (folder / "reserve").write_bytes(b"")


def copy(path: Path) -> Disk:
    return Disk(path.read_bytes(), path.with_name(path.name + "-wal").read_bytes())


def torn(old: bytes, new: bytes, dice: random.Random) -> bytes:
    """Give what a disk may hold that was to hold the one and then the other."""
    length = dice.randint(min(len(old), len(new)), max(len(old), len(new)))
    share = dice.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    result = bytearray(old[:length].ljust(length, b"\0"))
    for start in range(0, length, SECTOR):
        if dice.random() < share:
            result[start : start + SECTOR] = new[start : start + SECTOR].ljust(SECTOR, b"\0")
    return bytes(result[:length])


def torn_log(old: bytes, new: bytes, dice: random.Random) -> bytes:
    if old[:HEADER] == new[:HEADER]:
        return torn(old, new, dice)
    if not old or dice.random() < 0.2:
        return dice.choice([old, new[:HEADER] + old[HEADER:]])
    return new[:HEADER] + torn(old, new, dice)[HEADER:]


def cut(old: Disk, new: Disk, dice: random.Random) -> Disk:
    if old.database == new.database or dice.random() < 0.5:
        return Disk(old.database, torn_log(old.log, new.log, dice))
    return Disk(torn(old.database, new.database, dice), new.log)


def texts(outbox: Outbox) -> set[bytes]:
    return {s.message.payload for s in outbox.waiting(10**6, NONE_FLYING, PLENTY)}


def step(outbox: Outbox, n: int, dice: random.Random) -> tuple[set[bytes], set[bytes], bool]:
    """Do something; what came, what may be gone, and whether it was flushed."""
    what = dice.random()
    if what < 0.4:
        text = b"alarm %d " % n + dice.randbytes(dice.randrange(3000))
        outbox.put([Message("t/a", text, ALARM, id=f"{n}")], {"pipeline": dice.randbytes(9000)})
        return {text}, set(), True
    if what < 0.7:
        came = {b"t %d %d" % (n, i) + dice.randbytes(dice.randrange(2000)) for i in range(8)}
        outbox.put([Message("t/t", text, TELEMETRY, rows=1) for text in sorted(came)])
        outbox.flush()
        return came, set(), True
    waiting = outbox.waiting(10**6, NONE_FLYING, PLENTY)
    some = dice.sample(waiting, min(len(waiting), 20))
    outbox.done([stored.id for stored in some])
    return set(), {stored.message.payload for stored in some}, False


@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_at_any_write_costs_nothing_that_put_returned_for(tmp_path, seed) -> None:
    dice = random.Random(seed)
    outbox = Outbox(tmp_path / "data", PLENTY)
    safe = copy(outbox.path)
    there: set[bytes] = set()
    loose: set[bytes] = set()  # removed since, but the disk may not know
    for n in range(60):
        came, gone, flushed = step(outbox, n, dice)
        now = copy(outbox.path)
        there -= gone
        loose |= gone
        cut(safe, now, dice).lay(tmp_path / f"{n}")
        after = Outbox(tmp_path / f"{n}", PLENTY)
        found = texts(after)
        assert there <= found
        assert found <= there | loose | came
        assert (after.notes, after.quarantined) == ([], "")
        assert after.put([Message("t/a", b"goes on", ALARM)])
        after.close()
        there |= came
        if flushed or now.database != safe.database:  # a checkpoint flushes as well
            safe, loose = now, set()
    outbox.close()


@pytest.mark.parametrize("seed", range(2))
def test_a_log_cut_off_anywhere_holds_all_that_was_put_up_to_there(tmp_path, seed) -> None:
    dice = random.Random(seed)
    outbox = Outbox(tmp_path / "data", PLENTY)
    database, log_name = outbox.path.read_bytes(), outbox.path.name + "-wal"
    ends: list[int] = []
    while outbox.path.read_bytes() == database:  # until the log is moved into the file
        text = b"%d " % len(ends) + dice.randbytes(dice.randrange(6000))
        outbox.put([Message("t/a", text, ALARM)])
        log = outbox.path.with_name(log_name).read_bytes()
        ends.append(len(log))
        whole = Disk(database, log)
    for n in range(40):
        length = dice.randrange(len(whole.log) + 1)
        Disk(database, whole.log[:length]).lay(tmp_path / f"{n}")
        after = Outbox(tmp_path / f"{n}", PLENTY)
        found = sorted(int(text.split()[0]) for text in texts(after))
        # Behind the last end the log may have room that it took in advance.
        assert found == list(range(len(found)))
        assert len(found) >= sum(end <= length for end in ends)
        assert after.notes == []
        after.close()
    outbox.close()
