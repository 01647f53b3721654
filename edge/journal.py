"""The alarms that a gateway has raised, kept beside its outbox, which writes them; read here."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_KEPT = 10_000
"""Alarm changes kept; the oldest go."""


def find(data_dir: Path, alarm_id: str) -> dict[str, Any] | None:
    """Give the message of an alarm, None if it is not there. Raises TalusError."""
    rows = _rows(data_dir, "SELECT payload FROM journal WHERE id = ?", (alarm_id,))
    return rows[0] if rows else None


def newest(data_dir: Path, count: int) -> list[dict[str, Any]]:
    """Give the last so many alarms, newest first. Raises TalusError."""
    query = "SELECT payload FROM journal ORDER BY number DESC LIMIT ?"
    return _rows(data_dir, query, (count,))


def _rows(data_dir: Path, query: str, values: Sequence[object]) -> list[dict[str, Any]]:
    path = data_dir / "outbox.db"
    if not path.is_file():
        raise TalusError(f"{path}: not there: has talus run ever been started with this config?")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return [json.loads(row[0]) for row in db.execute(query, values)]
    except (sqlite3.Error, ValueError) as error:
        raise TalusError(f"{path}: {error}") from error
