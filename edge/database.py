"""The file of the outbox: opened and proven sound, or set aside when it is damaged."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message(
  id INTEGER PRIMARY KEY AUTOINCREMENT, priority INTEGER NOT NULL, topic TEXT NOT NULL,
  payload BLOB NOT NULL, retain INTEGER NOT NULL, rows INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS journal(
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS state(name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""
_INDEXES = """
DROP INDEX IF EXISTS by_priority;
CREATE INDEX IF NOT EXISTS urgent ON message(priority, id) WHERE priority < 2;
CREATE INDEX IF NOT EXISTS retained ON message(topic) WHERE retain = 1;
"""
"""None holds telemetry: each would be one more page to write with every message."""
_ADDED = {
    "message": {
        "put_ms": "INTEGER NOT NULL DEFAULT 0",
        "packed": "INTEGER NOT NULL DEFAULT 0",
        "thin": "INTEGER NOT NULL DEFAULT 0",
        "crc": "INTEGER NOT NULL DEFAULT -1",
        "label": "TEXT NOT NULL DEFAULT ''",
    },
    "state": {"packed": "INTEGER NOT NULL DEFAULT 0"},
}
"""Columns that files of older versions lack. ``crc`` -1: written without one."""
_WRONG_MESSAGE = """
SELECT COUNT(*) FROM message WHERE typeof(topic) != 'text' OR typeof(payload) != 'blob'
  OR typeof(priority) != 'integer' OR priority NOT BETWEEN 0 AND 2
  OR typeof(rows) != 'integer' OR rows < 0 OR typeof(put_ms) != 'integer'
  OR typeof(packed) != 'integer' OR typeof(thin) != 'integer' OR typeof(crc) != 'integer'
  OR typeof(label) != 'text' OR id NOT BETWEEN 1 AND 4611686018427387904
  OR topic = '' OR instr(topic, '+') OR instr(topic, '#') OR instr(topic, char(0))
"""
_WRONG_STATE = """
SELECT COUNT(*) FROM state WHERE typeof(name) != 'text' OR typeof(value) != 'blob'
  OR typeof(packed) != 'integer'
"""
_WRONG_SEQUENCE = """
SELECT COUNT(*) FROM sqlite_sequence
  WHERE typeof(seq) != 'integer' OR seq NOT BETWEEN 0 AND 4611686018427387904
"""
_LOG_PAGES = 128
"""Pages after which the log is moved into the file: on a full disk this has to fit the reserve."""
MAX_ASIDE = 3
"""Damaged files kept; the oldest go, as a failing card damages one after another."""
_ELSEWHERE = frozenset(
    {
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM,
    }
)  # fmt: skip
"""Errors that are not of the file: another file would not help."""
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def open_database(path: Path) -> sqlite3.Connection:
    """Open or create. Raises sqlite3.Error, and UnicodeDecodeError for what SQLite says of damage.

    A file that gets through will not stumble later over damage that is there now.
    """
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        path.chmod(0o600)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA secure_delete=OFF")  # to write zeros over what is gone wears the card
        db.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
        _lay_out(db)
        _prove(db)
    except BaseException:
        db.close()
        raise
    return db


def _lay_out(db: sqlite3.Connection) -> None:
    """Make what is missing in one transaction: each costs a new file a flush."""
    db.execute("BEGIN IMMEDIATE")
    _run(db, _SCHEMA)
    for table, columns in _ADDED.items():
        there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        for name in columns.keys() - there:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]}")
    _run(db, _INDEXES)
    db.execute("COMMIT")


def _run(db: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";"):  # executescript would commit before it
        db.execute(statement)


def _prove(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("the database is damaged")
    db.execute("SELECT DISTINCT topic, label FROM message").fetchall()  # raises if it is not UTF-8
    wrong = (_WRONG_MESSAGE, _WRONG_STATE, _WRONG_SEQUENCE)
    if any(db.execute(query).fetchone()[0] for query in wrong):
        raise sqlite3.DatabaseError("the database holds what was never put")
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO message(priority, topic, payload, retain, rows) VALUES (0,'',x'',0,0)")
    db.execute("INSERT OR REPLACE INTO state(name, value) VALUES ('', x'')")
    db.execute("ROLLBACK")


def is_damage(error: Exception, path: Path) -> bool:
    """Whether the file itself is at fault, and not the disk, the rights or another process."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_READONLY:
        return os.access(path, os.W_OK)  # damage can mark a file as not to be written
    return code not in _ELSEWHERE


def is_broken(error: Exception) -> bool:
    """Whether an open file turned out to be damaged: SQLite itself says so."""
    if isinstance(error, UnicodeDecodeError):  # what SQLite says of damage may be no text
        return True
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN


def aside_name(path: Path) -> Path:
    """Return the next free name for a damaged file; the oldest of those kept go."""
    old = sorted(path.parent.glob(f"{path.stem}.damaged.*.db"), key=lambda p: p.stat().st_mtime)
    for gone in old[: 1 - MAX_ASIDE]:
        for suffix in ("", "-wal", "-shm"):
            gone.with_name(gone.name + suffix).unlink(missing_ok=True)
    names = (path.with_name(f"{path.stem}.damaged.{os.getpid()}-{n}.db") for n in range(100_000))
    return next(name for name in names if not name.exists())


def set_aside(path: Path, aside: Path) -> None:
    """Rename a database with its log."""
    for suffix in ("", "-wal", "-shm"):
        found = path.with_name(path.name + suffix)
        if found.exists():
            found.rename(aside.with_name(aside.name + suffix))
