"""A folder held by one process at a time, for as long as it lives."""

from __future__ import annotations

import fcntl
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOCK_FILE = "lock"


def hold(folder: Path) -> IO[str] | None:
    """Hold a folder, made if it is not there, until the file is closed; None: another has it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    held = (folder / LOCK_FILE).open("w", encoding="ascii")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        return None
    return held
