"""What can still be read of a damaged outbox is carried into the new one, alarms first.

A mark stands beside it until that is done: where the power goes meanwhile, the next start goes on.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from edge.database import aside_name, set_aside
from edge.outbox_store import unpack, unzip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MESSAGE = "id, topic, payload, priority, retain, rows, label, put_ms, packed, crc"
_PARTS = (
    ("message", f"{_MESSAGE}, thin", "id", "priority = 0"),
    ("journal", "number, id, payload", "number", "1"),
    ("state", "name, value, packed", "name", "1"),
    ("message", f"{_MESSAGE}, thin", "id", "priority > 0"),
)
_LAST_ID = 2**62
MAX_GROWTH = 100
"""A file that says it is larger than this many times its size is no file of ours."""


def _mark(path: Path) -> Path:
    return path.with_suffix(".salvage")


def put_aside(path: Path) -> Path:
    """Set a damaged database aside, marked as not yet read; returns its new path."""
    aside = aside_name(path)
    with suppress(OSError):  # a full disk: then it is read now or never
        _mark(path).write_text(aside.name, encoding="utf-8")
    set_aside(path, aside)
    return aside


def cut_off(path: Path) -> Path | None:
    """Return the damaged file whose salvage did not come to its end, None for none."""
    try:
        name = _mark(path).read_bytes()[:256].decode("utf-8", "replace")
    except OSError:
        return None
    aside = path.with_name(name)
    ours = name.startswith(f"{path.stem}.damaged.") and aside.parent == path.parent
    return aside if ours and aside.is_file() else None


def carried_over(path: Path) -> None:
    """Take the mark away: all that could be read was."""
    with suppress(OSError):
        _mark(path).unlink(missing_ok=True)


def salvage(damaged: Path, fresh: Path) -> int:
    """Copy every sound row of one database into another; returns how many messages.

    Only rows whose checksum holds are taken. A table is read from both ends, as the read stops
    at the first page that is broken.
    """
    saved = 0
    with (
        suppress(sqlite3.Error, UnicodeDecodeError, OSError),
        _whole_pages(damaged),
        closing(sqlite3.connect(f"{damaged.resolve().as_uri()}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(fresh, isolation_level=None, timeout=5.0)) as new,
    ):
        for table, columns, key, where in _PARTS:
            query = f"SELECT {columns} FROM {table} NOT INDEXED WHERE {where} ORDER BY {key} "
            marks = ", ".join("?" * (columns.count(",") + 1))
            insert = f"INSERT OR IGNORE INTO {table}({columns}) VALUES ({marks})"
            with suppress(sqlite3.Error, UnicodeDecodeError):
                new.execute("BEGIN IMMEDIATE")
                count = 0
                for way in ("ASC", "DESC"):
                    for row in _readable(old, query + way):
                        if _is_sound(table, row):
                            count += new.execute(insert, row).rowcount
                new.execute("COMMIT")
                saved += count if table == "message" else 0
            if new.in_transaction:
                new.execute("ROLLBACK")
    return saved


@contextmanager
def _whole_pages(path: Path) -> Iterator[None]:
    """Let a file that was cut off be as long as it says, as SQLite reads none that is shorter."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(32)
    claimed = int.from_bytes(head[16:18]) * int.from_bytes(head[28:32])
    short = size < claimed <= MAX_GROWTH * size
    try:
        if short:
            os.truncate(path, claimed)
        yield
    finally:
        if short:
            os.truncate(path, size)


def _readable(db: sqlite3.Connection, query: str) -> Iterator[tuple[object, ...]]:
    """Give rows until the damage."""
    with suppress(sqlite3.Error, UnicodeDecodeError):
        yield from db.execute(query)


def _is_sound(table: str, row: tuple[object, ...]) -> bool:
    if table == "message":
        stored = unpack(row[:10])
        return (
            stored is not None
            and row[9] != -1
            and row[10] in {0, 1}
            and 0 < stored.id <= _LAST_ID
            and stored.message.priority in {0, 1, 2}
            and stored.message.rows >= 0
            and stored.put_ms >= 0
        )
    if table == "state":
        return isinstance(row[0], str) and isinstance(row[1], bytes) and _opens(row[1], row[2])
    return isinstance(row[1], str) and isinstance(row[2], bytes) and _is_json(row[2])


def _opens(value: bytes, packed: object) -> bool:
    return packed == 1 and unzip(value) is not None


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
