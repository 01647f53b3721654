"""What a gateway has saved: what waits to be sent, and its state; read beside it, never written."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge.message import ALARM
from edge.outbox_store import unpack, unzip
from edge.state_pieces import join

if TYPE_CHECKING:
    from pathlib import Path

CHECKED_BYTES = 64 * 1024 * 1024
"""A larger file is not read through to prove it sound: that takes minutes on a card."""
_MESSAGE = "id, topic, payload, priority, retain, rows, label, put_ms, packed, crc"


@dataclass(frozen=True, slots=True)
class Saved:
    """The outbox of one gateway. ``wrong``: why it cannot be read ("": it can)."""

    exists: bool
    wrong: str = ""
    foreign: bool = False
    """It belongs to another user, so that we cannot tell."""
    messages: int = 0
    bytes: int = 0
    alarms: int = 0
    oldest_alarm_ms: int | None = None
    """When the oldest alarm that waits was decided."""
    age_s: float = 0.0
    """Since the file was last written to."""
    state: dict[str, Any] = field(default_factory=dict)
    """Of the pipeline."""
    second: dict[str, Any] = field(default_factory=dict)

    def station(self, name: str) -> dict[str, Any]:
        """Return the state of one station, {} where there is none."""
        return _table(_table(self.state, "stations"), name)

    def port(self, name: str) -> dict[str, Any]:
        """Return what is known of one port's clock, {} where nothing is."""
        return _table(_table(self.state, "gates"), name)


def read_saved(data_dir: Path) -> Saved:
    """Read the outbox of a gateway, whether it runs or not."""
    path = data_dir / "outbox.db"
    is_begun = _log(path).exists
    try:
        was_open = is_begun()
        found = _look(path)
        # Opened as a file that nobody writes to, and somebody began to: that is no damage.
        began = bool(found.wrong) and not was_open and is_begun()
    except OSError:
        return _look(path)
    return _look(path) if began else found


def _look(path: Path) -> Saved:
    try:
        if not path.exists():
            return Saved(exists=False)
        age_s = _age_s(path)
        db = sqlite3.connect(_address(path), uri=True, timeout=5.0, isolation_level=None)
    except PermissionError as error:
        return Saved(exists=True, foreign=True, wrong=str(error.strerror))
    except (OSError, sqlite3.Error) as error:
        return Saved(exists=True, wrong=str(error))
    try:
        return _read(db, path, age_s)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        foreign = getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_RIGHT
        return Saved(exists=True, foreign=foreign, wrong=str(error), age_s=age_s)
    finally:
        db.close()


_NO_RIGHT = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY}


def _address(path: Path) -> str:
    """Say how SQLite is to open it: without a log beside it nothing need be made there."""
    return f"{path.resolve().as_uri()}?mode=ro{'' if _log(path).exists() else '&immutable=1'}"


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _age_s(path: Path) -> float:
    times = []
    for each in (path, _log(path)):
        try:
            times.append(each.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(0.0, time.time() - max(times))


def _read(db: sqlite3.Connection, path: Path, age_s: float) -> Saved:
    db.execute("BEGIN")  # all of it as it is at one moment
    if path.stat().st_size <= CHECKED_BYTES:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            return Saved(exists=True, wrong=f"it is damaged: {found}", age_s=age_s)
    query = "SELECT COUNT(*), COALESCE(SUM(LENGTH(payload)), 0), COALESCE(SUM(priority = ?), 0) "
    query += "FROM message"
    messages, size, alarms = db.execute(query, (ALARM,)).fetchone()
    return Saved(
        exists=True,
        messages=messages,
        bytes=size,
        alarms=alarms,
        oldest_alarm_ms=_oldest_alarm_ms(db),
        age_s=age_s,
        state=_state(db, "pipeline"),
        second=_state(db, "second_path"),
    )


def _oldest_alarm_ms(db: sqlite3.Connection) -> int | None:
    query = f"SELECT {_MESSAGE} FROM message WHERE priority = ? ORDER BY id LIMIT 1"  # noqa: S608
    row = db.execute(query, (ALARM,)).fetchone()
    stored = None if row is None else unpack(row)
    values = {} if stored is None else _parsed(stored.message.payload)
    found = values.get("received_ms", values.get("time_ms"))
    return found if isinstance(found, int) else None


def _state(db: sqlite3.Connection, name: str) -> dict[str, Any]:
    def load(part: str) -> bytes | None:
        query = "SELECT value, packed FROM state WHERE name = ?"
        row = db.execute(query, (part,)).fetchone()
        if row is None:
            return None
        return unzip(row[0]) if row[1] else bytes(row[0])

    try:
        values = join(name, load)
    except (ValueError, RecursionError):  # damaged: nothing is known then
        return {}
    return values if isinstance(values, dict) else {}


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _table(values: dict[str, Any], key: str) -> dict[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def waits(data_dir: Path, alarm_id: str) -> bool | None:
    """Whether an alarm waits to be sent; None where that cannot be read."""
    path = data_dir / "outbox.db"
    try:
        db = sqlite3.connect(_address(path), uri=True, timeout=5.0)
    except (OSError, sqlite3.Error):
        return None
    try:
        query = "SELECT 1 FROM message WHERE label = ?"
        return db.execute(query, (alarm_id,)).fetchone() is not None
    except sqlite3.Error:
        return None
    finally:
        db.close()


def last_drill(data_dir: Path, since_ms: int) -> str:
    """Return the id of the newest drill in the journal that was raised since then, "" if none."""
    path = data_dir / "outbox.db"
    try:
        db = sqlite3.connect(_address(path), uri=True, timeout=5.0)
    except (OSError, sqlite3.Error):
        return ""
    try:
        for alarm_id, payload in db.execute(
            "SELECT id, payload FROM journal ORDER BY number DESC LIMIT 64"
        ):
            values = _parsed(bytes(payload))
            if values.get("kind") == "drill" and values.get("received_ms", 0) >= since_ms:
                return str(alarm_id)
    except sqlite3.Error:
        return ""
    finally:
        db.close()
    return ""
