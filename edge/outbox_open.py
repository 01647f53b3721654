"""How an outbox comes to its store: opened, or begun anew beside a damaged one."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, TypeAlias

from edge.database import is_damage
from edge.outbox_salvage import carried_over, cut_off, put_aside, salvage
from edge.outbox_store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from edge.disk_use import DiskUse
    from edge.outbox_reserve import Reserve

Opened: TypeAlias = tuple[Store, str]
"""A store, and what damage it was opened beside, "" for none."""


def first_store(path: Path, disk: DiskUse, reserve: Reserve) -> Opened:
    """Open at the start, where a power cut may have cut off a salvage. Raises sqlite3.Error."""
    left = cut_off(path)
    return _carry_over(path, disk, reserve, left, "cut off") if left else store(path, disk, reserve)


def store(path: Path, disk: DiskUse, reserve: Reserve) -> Opened:
    """Open, or begin anew where the file is damaged. Raises sqlite3.Error."""
    try:
        return Store(path, disk), ""
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter: SQLite's own words
        if is_damage(error, path):
            return new_store(path, disk, reserve, error)
        if not reserve.stands:
            raise
        reserve.give()  # on a full disk SQLite cannot even open
        return store(path, disk, reserve)


def new_store(path: Path, disk: DiskUse, reserve: Reserve, error: Exception) -> Opened:
    """Set the damaged file aside, and carry over what can be read of it."""
    return _carry_over(path, disk, reserve, put_aside(path), str(error))


def _carry_over(path: Path, disk: DiskUse, reserve: Reserve, aside: Path, why: str) -> Opened:
    store(path, disk, reserve)[0].close()
    saved = salvage(aside, path)
    carried_over(path)
    what = f"a new one begun with the {saved} messages still readable"
    told = f"{path}: {why}; set aside as {aside.name}, {what}"
    return store(path, disk, reserve)[0], told
