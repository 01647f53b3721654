"""Store and forward: what must reach the broker is on disk before it is on the air.

SQLite in WAL mode with synchronous=FULL: a message put is there after a power cut. A full disk
first costs telemetry (counted), then the reserve file, and an alarm only then waits in memory.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.database import is_damage, open_database, set_aside
from edge.message import ALARM, TELEMETRY, Message

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

RESERVE_BYTES = 1024 * 1024
MAX_UNSAVED = 1000
"""Alarms held in memory at most while the disk takes nothing at all."""
_EVICT_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in the outbox. Ids below 0 wait in memory alone."""

    id: int
    message: Message


class Outbox:
    """The outbox of one gateway, for one thread. Counters are since the program started."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / "outbox.db"
        self._reserve = folder / "reserve"
        self._max_bytes = max_bytes
        self.notes: list[str] = []
        self.lost: dict[str, int] = {}
        """Readings given up, by reason."""
        self.dropped_messages = 0
        self.lost_alarms = 0
        self._unsaved: deque[Stored] = deque(maxlen=MAX_UNSAVED)
        self._unsaved_id = 0
        self._db = self._open()
        total = "SELECT COALESCE(SUM(LENGTH(payload)), 0), COALESCE(SUM(rows), 0), COUNT(*)"
        row = self._db.execute(total + " FROM message").fetchone()
        self.bytes, self.rows, self.messages = row
        self._refill_reserve()

    def _open(self) -> sqlite3.Connection:
        try:
            return open_database(self.path)
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter: SQLite's own words
            if is_damage(error, self.path):
                aside = set_aside(self.path)
                self.note(f"{self.path}: {error}; set aside as {aside}, a new one begun")
            elif self._reserve.exists():
                self._reserve.unlink()  # on a full disk SQLite cannot even open
            else:
                raise
            return self._open()

    def put(self, messages: Iterable[Message], state: dict[str, bytes] | None = None) -> bool:
        """Store messages and state in one transaction; False if the disk did not take all.

        A retained message takes the place of one that still waits under its topic. Telemetry
        is refused while the reserve is not there: what room is left is for alarms.
        """
        wanted = list(messages)
        self._make_room(sum(len(m.payload) for m in wanted))
        if self._reserve_stands() and self._save(wanted, state):
            return True
        kept = [m for m in wanted if m.priority != TELEMETRY]
        self._lose("disk_full", [m for m in wanted if m.priority == TELEMETRY])
        if not (kept or state) or self._save(kept, state):
            return len(kept) == len(wanted)
        alarms = [m for m in kept if m.priority == ALARM]
        self._lose("disk_full", [m for m in kept if m.priority != ALARM])
        if alarms:
            self._reserve.unlink(missing_ok=True)
            if not (self._save(alarms, state) or self._save(alarms, None)):
                self._keep_in_memory(alarms)
        return False

    def _keep_in_memory(self, alarms: list[Message]) -> None:
        for message in alarms:
            self._unsaved_id -= 1
            self.lost_alarms += len(self._unsaved) == MAX_UNSAVED
            self._unsaved.append(Stored(self._unsaved_id, message))

    def _save(self, messages: list[Message], state: dict[str, bytes] | None) -> bool:
        """Store these, after the alarms that wait in memory: their order is kept."""
        wanted = [*(stored.message for stored in self._unsaved), *messages]
        if not self._try(wanted, state):
            self._reuse_wal()
            if not self._try(wanted, state):
                return False
        self._unsaved.clear()
        return True

    def _reuse_wal(self) -> None:
        """Let the next transaction start at the beginning of the log: it needs no new room."""
        with suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def _try(self, messages: list[Message], state: dict[str, bytes] | None) -> bool:
        db = self._db
        before = self.bytes, self.rows, self.messages
        try:
            db.execute("BEGIN IMMEDIATE")
            for m in messages:
                if m.retain:
                    self._delete("topic = ? AND retain = 1", (m.topic,))
                db.execute(
                    "INSERT INTO message(priority, topic, payload, retain, rows) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (m.priority, m.topic, m.payload, int(m.retain), m.rows),
                )
                self.bytes += len(m.payload)
                self.rows += m.rows
                self.messages += 1
            for name, value in (state or {}).items():
                db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(error, before)
            return False
        return True

    def _roll_back(self, error: sqlite3.Error, before: tuple[int, int, int]) -> None:
        self.bytes, self.rows, self.messages = before
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self.note(f"{self.path}: {error}")

    def note(self, text: str) -> None:
        """Keep one line for the log; the same line in a row is kept once."""
        if not self.notes or self.notes[-1] != text:
            self.notes.append(text)
            del self.notes[:-20]

    def _delete(self, where: str, values: tuple[object, ...]) -> int:
        """Delete inside a transaction; returns the readings that went with it."""
        sums = "SELECT COALESCE(SUM(LENGTH(payload)), 0), COALESCE(SUM(rows), 0), COUNT(*) FROM"
        size, rows, count = self._db.execute(f"{sums} message WHERE {where}", values).fetchone()
        self._db.execute(f"DELETE FROM message WHERE {where}", values)
        self.bytes -= size
        self.rows -= rows
        self.messages -= count
        return int(rows)

    def _make_room(self, size: int) -> None:
        """Give up the oldest telemetry when the bound is reached; alarms are never given up."""
        while self.bytes + size > self._max_bytes:
            before = self.bytes, self.rows, self.messages
            oldest = "id IN (SELECT id FROM message WHERE priority >= ? ORDER BY id LIMIT ?)"
            try:
                self._db.execute("BEGIN IMMEDIATE")
                rows = self._delete(oldest, (ALARM + 1, _EVICT_AT_ONCE))
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back(error, before)
                return
            if self.messages == before[2]:
                return
            self.dropped_messages += before[2] - self.messages
            self.lost["outbox_full"] = self.lost.get("outbox_full", 0) + rows

    def _lose(self, reason: str, messages: list[Message]) -> None:
        if messages:
            self.dropped_messages += len(messages)
            self.lost[reason] = self.lost.get(reason, 0) + sum(m.rows for m in messages)

    def waiting(self, limit: int, flying: frozenset[int], max_bytes: int) -> list[Stored]:
        """Return what should leave next: alarms before all else, then the oldest.

        At most ``limit`` messages, and no more once they hold ``max_bytes``.
        """
        query = "SELECT id, topic, payload, priority, retain, rows FROM message "
        query += "ORDER BY priority, id LIMIT ?"
        # Alarms in memory are younger than those on disk: a state must not be overtaken.
        memory = [stored for stored in self._unsaved if stored.id not in flying]
        found: list[Stored] = []
        try:
            for row in self._db.execute(query, (limit + len(flying),)):
                if row[3] > ALARM:
                    found, memory = found + memory, []
                if max_bytes <= 0 or len(found) >= limit:
                    break
                if row[0] not in flying:
                    message = Message(row[1], row[2], row[3], retain=bool(row[4]), rows=row[5])
                    found.append(Stored(row[0], message))
                    max_bytes -= len(message.payload)
        except sqlite3.Error as error:  # a disk that gives nothing back: what came must do
            self.note(f"{self.path}: {error}")
        return (found + memory)[:limit]

    def done(self, ids: Iterable[int]) -> int | None:
        """Delete what the broker has acknowledged; returns its readings, None if it cannot."""
        gone = frozenset(ids)
        kept = [stored for stored in self._unsaved if stored.id not in gone]
        self._unsaved = deque(kept, maxlen=MAX_UNSAVED)
        rows = self._remove(gone)
        if rows is None:  # on a full disk: to delete takes room as well, for a while
            self._reuse_wal()
            rows = self._remove(gone)
        if rows is None and self._reserve.exists():
            self._reserve.unlink()
            rows = self._remove(gone)
        return rows

    def _remove(self, ids: frozenset[int]) -> int | None:
        before = self.bytes, self.rows, self.messages
        rows = 0
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for each in ids:
                if each > 0:
                    rows += self._delete("id = ?", (each,))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(error, before)
            return None
        return rows

    def mend(self) -> None:
        """Try to save what waits in memory, and to fill the reserve again."""
        if self._unsaved:
            self._save([], None)
        self._reserve_stands()

    def _reserve_stands(self) -> bool:
        """Whether the reserve is there, or could be filled now."""
        return self._reserve.exists() or (not self._unsaved and self._refill_reserve())

    def _refill_reserve(self) -> bool:
        try:
            if not self._reserve.exists() or self._reserve.stat().st_size < RESERVE_BYTES:
                self._reserve.write_bytes(bytes(RESERVE_BYTES))
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            self.note(f"{self._reserve}: {error.strerror}: free some space on this disk")
            return False
        return True

    @property
    def unsaved(self) -> int:
        """Alarms that wait in memory because the disk takes nothing."""
        return len(self._unsaved)

    def load_state(self, name: str) -> bytes | None:
        """Return a state stored with ``put``."""
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Close the database."""
        self._db.close()
