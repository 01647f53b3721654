"""Store and forward: what must reach the broker is on disk before it is on the air.

SQLite in WAL mode with synchronous=FULL: a message put is there after a power cut. A full disk
first costs the reserve file, then telemetry (counted), and an alarm only then waits in memory.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.message import ALARM, TELEMETRY, Message

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

RESERVE_BYTES = 1024 * 1024
MAX_UNSAVED = 1000
"""Alarms held in memory at most while the disk takes nothing at all."""
_EVICT_AT_ONCE = 64
_SCHEMA = """
CREATE TABLE IF NOT EXISTS message(
  id INTEGER PRIMARY KEY AUTOINCREMENT, priority INTEGER NOT NULL, topic TEXT NOT NULL,
  payload BLOB NOT NULL, retain INTEGER NOT NULL, rows INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS by_priority ON message(priority, id);
CREATE TABLE IF NOT EXISTS state(name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""


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
        self._db = self._open_or_quarantine()
        total = "SELECT COALESCE(SUM(LENGTH(payload)), 0), COALESCE(SUM(rows), 0), COUNT(*)"
        row = self._db.execute(total + " FROM message").fetchone()
        self.bytes, self.rows, self.messages = row
        self._refill_reserve()

    def _open_or_quarantine(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # locked, or no permission: another file would not help
            aside = self.path.with_name(f"outbox.damaged.{os.getpid()}.db")
            for suffix in ("", "-wal", "-shm"):
                old = self.path.with_name(self.path.name + suffix)
                if old.exists():
                    old.rename(aside.with_name(aside.name + suffix))
            self.notes.append(f"{self.path}: {error}; set aside as {aside.name}, a new one begun")
            return self._open()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, timeout=5.0)
        try:
            self.path.chmod(0o600)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA journal_size_limit=4194304")
            db.executescript(_SCHEMA)
            if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("the database is damaged")
        except BaseException:
            db.close()
            raise
        return db

    def put(self, messages: Iterable[Message], state: dict[str, bytes] | None = None) -> bool:
        """Store messages and state in one transaction; False if the disk did not take all.

        A retained message takes the place of one that still waits under its topic.
        """
        wanted = list(messages)
        self._make_room(sum(len(m.payload) for m in wanted))
        if self._try(wanted, state):
            return True
        # The reserve is for alarms: it is given up once, and telemetry must go without.
        self._reserve.unlink(missing_ok=True)
        alarms = [m for m in wanted if m.priority == ALARM]
        for message in wanted:
            if message.priority != ALARM:
                self._lose("disk_full", message.rows)
        if (alarms or state) and not (self._try(alarms, state) or self._try(alarms, None)):
            for message in alarms:
                self._unsaved_id -= 1
                self.lost_alarms += len(self._unsaved) == MAX_UNSAVED
                self._unsaved.append(Stored(self._unsaved_id, message))
        return False

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

    def _lose(self, reason: str, rows: int) -> None:
        self.dropped_messages += 1
        self.lost[reason] = self.lost.get(reason, 0) + rows

    def waiting(self, limit: int, flying: frozenset[int], max_bytes: int) -> list[Stored]:
        """Return what should leave next: alarms before all else, then the oldest.

        At most ``limit`` messages, and no more once they hold ``max_bytes``.
        """
        found = [stored for stored in self._unsaved if stored.id not in flying]
        query = "SELECT id, topic, payload, priority, retain, rows FROM message "
        query += "ORDER BY priority, id LIMIT ?"
        for row in self._db.execute(query, (limit + len(flying),)):
            if max_bytes <= 0 or len(found) >= limit:
                break
            if row[0] not in flying:
                message = Message(row[1], row[2], row[3], retain=bool(row[4]), rows=row[5])
                found.append(Stored(row[0], message))
                max_bytes -= len(message.payload)
        return found[:limit]

    def done(self, ids: Iterable[int]) -> int | None:
        """Delete what the broker has acknowledged; returns its readings, None if it cannot."""
        kept = [stored for stored in self._unsaved if stored.id not in (ids := tuple(ids))]
        self._unsaved = deque(kept, maxlen=MAX_UNSAVED)
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
        while self._unsaved and self._try([self._unsaved[0].message], None):
            self._unsaved.popleft()
        if not self._reserve.exists() and not self._unsaved:
            self._refill_reserve()

    def _refill_reserve(self) -> None:
        try:
            if not self._reserve.exists() or self._reserve.stat().st_size < RESERVE_BYTES:
                self._reserve.write_bytes(bytes(RESERVE_BYTES))
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            self.note(f"{self._reserve}: {error.strerror}: free some space on this disk")

    @property
    def unsaved(self) -> int:
        """Alarms that wait in memory because the disk takes nothing."""
        return len(self._unsaved)

    def telemetry_waiting(self) -> int:
        """Return how many telemetry messages wait."""
        query = "SELECT COUNT(*) FROM message WHERE priority = ?"
        return int(self._db.execute(query, (TELEMETRY,)).fetchone()[0])

    def load_state(self, name: str) -> bytes | None:
        """Return a state stored with ``put``."""
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Close the database."""
        self._db.close()
