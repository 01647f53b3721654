"""The messages and states of the outbox on disk, and what they come to.

Every change is one transaction; where it fails sqlite3.Error is raised, and nothing has changed.
What is put is flushed (fsync) before the call returns. What is removed is not: after a power cut
some may be sent twice, which receivers know by the id.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from edge.database import open_database
from edge.journal import MAX_KEPT
from edge.message import TELEMETRY, Message
from edge.outbox_held import Stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from edge.disk_use import DiskUse
    from edge.thinning import Thinned

IDS_A_RUN = 2**32
"""Ids set apart at each start: one that never came to disk is not used again either."""
PACK_FROM = 256
"""Telemetry of so many bytes and more is compressed."""
PAD = 1024
"""States larger than this are stored in multiples of it."""
MAX_UNPACKED = 64 * 1024 * 1024
_COLUMNS = "id, topic, payload, priority, retain, rows, label, put_ms, packed, crc"


class Store:
    """The database of one outbox. Raises what ``open_database`` raises."""

    def __init__(self, path: Path, disk: DiskUse) -> None:
        self._disk = disk
        self._db = open_database(path)
        self._written: dict[str, bytes] = {}
        self._flushing = True
        self.closed = False
        self.count()
        self.last_id = self._set_ids_apart()

    def count(self) -> None:
        """Count what is there."""
        total = "SELECT COALESCE(SUM(LENGTH(payload)), 0), COALESCE(SUM(rows), 0), COUNT(*), "
        total += "COALESCE(MAX(put_ms), 0) FROM message"
        found: tuple[int, int, int, int] = self._db.execute(total).fetchone()
        self.bytes, self.rows, self.messages, self.newest_ms = found

    def _set_ids_apart(self) -> int:
        query = "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'message'"
        last = int(self._db.execute(query).fetchone()[0])
        with suppress(sqlite3.Error), self._transaction():  # a full disk does not keep it shut
            self._db.execute("DELETE FROM sqlite_sequence WHERE name = 'message'")
            seq = (last + IDS_A_RUN,)
            self._db.execute("INSERT INTO sqlite_sequence VALUES ('message', ?)", seq)
        return last

    @contextmanager
    def _transaction(self, *, flushed: bool = True) -> Iterator[None]:
        db = self._db
        before = self.bytes, self.rows, self.messages
        if flushed != self._flushing:
            db.execute(f"PRAGMA synchronous={'FULL' if flushed else 'NORMAL'}")
            self._flushing = flushed
        try:
            db.execute("BEGIN IMMEDIATE")
            yield
            db.execute("COMMIT")
        except BaseException:
            self.bytes, self.rows, self.messages = before
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self._disk.commits += flushed

    def save(
        self,
        messages: Iterable[Stored],
        states: Mapping[str, bytes],
        left: Iterable[Message] = (),
    ) -> None:
        """Store messages, and states as they are now, together.

        ``left``: alarms that have left already, for the journal alone.
        """
        new = {name: v for name, v in states.items() if self._written.get(name) != v}
        wanted, written = list(messages), list(left)
        if not (new or wanted or written):
            return
        with self._transaction():
            for message in written:
                self._write_down(message)
            for stored in wanted:
                self._insert(stored)
            for name, value in new.items():
                packed = _padded(zlib.compress(value, 9))
                # Updated in its place, as the index of names is then left as it is.
                query = "UPDATE state SET value = ?, packed = 1 WHERE name = ?"
                if not self._db.execute(query, (packed, name)).rowcount:
                    query = "INSERT INTO state(value, name, packed) VALUES (?, ?, 1)"
                    self._db.execute(query, (packed, name))
                self._disk.stored_bytes += len(packed)
        self._written |= new

    def _insert(self, stored: Stored) -> None:
        m = stored.message
        if m.retain:
            self._delete("topic = ? AND retain = 1", (m.topic,))
        payload, packed = _pack(m)
        self._db.execute(
            f"INSERT OR REPLACE INTO message({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (stored.id, m.topic, payload, m.priority, int(m.retain), m.rows, m.id, stored.put_ms,
             packed, _crc(m, payload)),
        )  # fmt: skip
        if m.id:
            self._write_down(m)
        self.bytes += len(payload)
        self.rows += m.rows
        self.messages += 1
        self._disk.stored_bytes += len(payload)

    def _write_down(self, message: Message) -> None:
        """Keep an alarm in the journal, and no more of them than MAX_KEPT."""
        query = "INSERT OR REPLACE INTO journal(id, payload) VALUES (?, ?)"
        number = self._db.execute(query, (message.id, message.payload)).lastrowid
        self._db.execute("DELETE FROM journal WHERE number <= ?", ((number or 0) - MAX_KEPT,))

    def _delete(self, where: str, values: tuple[object, ...]) -> int:
        """Delete inside a transaction; returns the readings that went with it."""
        sums = "SELECT COALESCE(SUM(LENGTH(payload)), 0), COALESCE(SUM(rows), 0), COUNT(*) FROM"
        size, rows, count = self._db.execute(f"{sums} message WHERE {where}", values).fetchone()
        self._db.execute(f"DELETE FROM message WHERE {where}", values)
        self.bytes -= size
        self.rows -= rows
        self.messages -= count
        return int(rows)

    def remove(self, ids: Iterable[int]) -> int:
        """Remove what was delivered; returns its readings."""
        rows = 0
        with self._transaction(flushed=False):
            for each in ids:
                rows += self._delete("id = ?", (each,))
        return rows

    def give_up(self, count: int, spared: Iterable[int], before_ms: int | None) -> tuple[int, int]:
        """Remove the oldest telemetry, or health where none is left: messages, readings.

        ``spared`` is left alone; with ``before_ms`` only telemetry put before that goes.
        """
        kept = frozenset(spared)
        found: list[int] = []
        for wanted in ("= 2",) if before_ms is not None else ("= 2", "= 1"):
            query = f"SELECT id, put_ms FROM message WHERE priority {wanted} ORDER BY id LIMIT ?"
            for each, put_ms in self._db.execute(query, (count + len(kept),)):
                if before_ms is not None and put_ms >= before_ms:
                    break
                if each not in kept and len(found) < count:
                    found.append(each)
            if found:
                break
        if not found:
            return 0, 0
        return len(found), self.remove(found)

    def due(
        self, limit: int, skip: frozenset[int], max_bytes: int
    ) -> tuple[list[Stored], list[int]]:
        """Give the next to leave, by priority and age; and the ids of those that are spoilt."""
        found: list[Stored] = []
        spoilt: list[int] = []
        for which in ("priority < 2 ORDER BY priority, id", "priority = 2 ORDER BY id"):
            query = f"SELECT {_COLUMNS} FROM message WHERE {which} LIMIT ?"
            for row in self._db.execute(query, (limit + len(skip),)):
                if len(found) >= limit or max_bytes <= 0:
                    return found, spoilt
                if row[0] not in skip:
                    stored = unpack(row)
                    if stored is None:
                        spoilt.append(row[0])
                    else:
                        found.append(stored)
                        max_bytes -= len(stored.message.payload)
        return found, spoilt

    def to_thin(self, after: int, limit: int, max_bytes: int) -> list[Stored]:
        """Give the oldest telemetry behind an id that is not thinned yet."""
        query = f"SELECT {_COLUMNS} FROM message WHERE priority = 2 AND thin = 0 AND retain = 0 "
        query += "AND id > ? ORDER BY id LIMIT ?"
        found: list[Stored] = []
        for row in self._db.execute(query, (after, limit)):
            stored = unpack(row)
            if stored is not None:
                found.append(stored)
                max_bytes -= len(stored.message.payload)
            if max_bytes <= 0:
                break
        return found

    def thin(self, made: Thinned, topic: str) -> None:
        """Put one message in the place of several."""
        message = Message(topic, made.payload, TELEMETRY, rows=made.rows)
        payload, packed = _pack(message)
        with self._transaction(flushed=False):
            for each in made.ids[1:]:
                self._delete("id = ?", (each,))
            query = "SELECT LENGTH(payload), rows FROM message WHERE id = ?"
            size, rows = self._db.execute(query, made.ids[:1]).fetchone()
            self._db.execute(
                "UPDATE message SET payload = ?, packed = ?, rows = ?, crc = ?, thin = 1, "
                "label = '' WHERE id = ?",
                (payload, packed, made.rows, _crc(message, payload), made.ids[0]),
            )
            self.bytes += len(payload) - size
            self.rows += made.rows - rows

    def without_saved(self, messages: Iterable[Stored]) -> list[Stored]:
        """Return those that are not here."""
        query = "SELECT 1 FROM message WHERE id = ?"
        return [m for m in messages if self._db.execute(query, (m.id,)).fetchone() is None]

    def has_retained(self, topic: str) -> bool:
        """Whether a retained message of this topic waits here."""
        query = "SELECT 1 FROM message WHERE topic = ? AND retain = 1"
        return self._db.execute(query, (topic,)).fetchone() is not None

    def load_state(self, name: str) -> bytes | None:
        """Return a state; None where there is none, or it is spoilt."""
        query = "SELECT value, packed FROM state WHERE name = ?"
        row = self._db.execute(query, (name,)).fetchone()
        if row is None:
            return None
        return unzip(row[0]) if row[1] else bytes(row[0])

    def reuse_log(self) -> None:
        """Let the next transaction start at the beginning of the log: it needs no new room."""
        with suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def close(self) -> None:
        """Close the database."""
        self.closed = True
        self._db.close()


def _crc(m: Message, stored: bytes) -> int:
    """Return the checksum of a row: what SQLite finds sound may still not be what was put."""
    head = f"{m.topic}\0{m.id}\0{m.priority}\0{int(m.retain)}\0{m.rows}\0"
    return zlib.crc32(stored, zlib.crc32(head.encode()))


def _pack(message: Message) -> tuple[bytes, int]:
    """Compress telemetry where that makes it smaller."""
    payload = message.payload
    if message.priority == TELEMETRY and PACK_FROM <= len(payload) <= MAX_UNPACKED:
        packed = zlib.compress(payload, 1)
        if len(packed) < len(payload):
            return packed, 1
    return payload, 0


def _padded(packed: bytes) -> bytes:
    """Fill up a state: one that is as long as before is written over, page by page."""
    pad = PAD if len(packed) > PAD else 1
    return packed + bytes(-len(packed) % pad)


def unzip(packed: bytes) -> bytes | None:
    """Decompress what was written here, None where it was not; what stands behind it is padding."""
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(packed, MAX_UNPACKED)
    except zlib.error:
        return None
    return data if unpacking.eof else None


def unpack(row: tuple[object, ...]) -> Stored | None:
    """Make the message of a row, None where it is not what was put."""
    each, topic, payload, priority, retain, rows, label, put_ms, packed, crc = row
    if not (isinstance(topic, str) and isinstance(payload, bytes) and isinstance(label, str)):
        return None
    if not all(type(v) is int for v in (each, priority, rows, put_ms, crc)):
        return None
    whole = unzip(payload) if packed else payload
    if whole is None:
        return None
    message = Message(topic, whole, priority, retain=bool(retain), rows=rows, id=label)  # type: ignore[arg-type]
    if crc not in {-1, _crc(message, payload)}:
        return None
    return Stored(each, message, put_ms)  # type: ignore[arg-type]
