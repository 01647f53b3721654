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
CREATE INDEX IF NOT EXISTS by_priority ON message(priority, id);
CREATE TABLE IF NOT EXISTS state(name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""
_WRONG_MESSAGE = """
SELECT COUNT(*) FROM message WHERE typeof(topic) != 'text' OR typeof(payload) != 'blob'
  OR typeof(priority) != 'integer' OR priority NOT BETWEEN 0 AND 2
  OR typeof(rows) != 'integer' OR rows < 0
  OR topic = '' OR instr(topic, '+') OR instr(topic, '#') OR instr(topic, char(0))
"""
_WRONG_STATE = """
SELECT COUNT(*) FROM state WHERE typeof(name) != 'text' OR typeof(value) != 'blob'
"""
_LOG_PAGES = 128
"""Pages after which the log is moved into the file: on a full disk this has to fit the reserve."""
_ELSEWHERE = frozenset(
    {
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM,
    }
)  # fmt: skip
"""Errors that are not of the file: another file would not help."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open or create. Raises sqlite3.Error, and UnicodeDecodeError for what SQLite says of damage.

    A file that gets through will not stumble later over damage that is there now.
    """
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        path.chmod(0o600)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
        db.executescript(_SCHEMA)
        _prove(db)
    except BaseException:
        db.close()
        raise
    return db


def _prove(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("the database is damaged")
    db.execute("SELECT DISTINCT topic FROM message").fetchall()  # raises where it is not UTF-8
    if any(db.execute(query).fetchone()[0] for query in (_WRONG_MESSAGE, _WRONG_STATE)):
        raise sqlite3.DatabaseError("the database holds what was never put")
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO message(priority, topic, payload, retain, rows) VALUES (0,'',x'',0,0)")
    db.execute("INSERT OR REPLACE INTO state VALUES ('', x'')")
    db.execute("ROLLBACK")


def is_damage(error: Exception, path: Path) -> bool:
    """Whether the file itself is at fault, and not the disk, the rights or another process."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_READONLY:
        return os.access(path, os.W_OK)  # damage can mark a file as not to be written
    return code not in _ELSEWHERE


def set_aside(path: Path) -> str:
    """Rename a database with its log; returns the new name."""
    aside = path.with_name(f"{path.stem}.damaged.{os.getpid()}.db")
    for suffix in ("", "-wal", "-shm"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(aside.with_name(aside.name + suffix))
    return aside.name
