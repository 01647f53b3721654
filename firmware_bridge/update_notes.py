"""What `talus-flash` and the gateway leave for each other in a folder.

`maintenance-PORT.json`, from talus-flash: this port is being updated, its channels are to read
quality `maintenance`. It expires by itself, so a technician who leaves silences no port for ever.
`alarms.json`, from the gateway: which alarms are raised. It grows stale, so a gateway that stopped
is not taken for one that is calm.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from firmware_bridge.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAINTENANCE_MIN = 30
"""Default, minutes."""
MAX_MAINTENANCE_MIN = 120
MAX_PORTS = 64
MAX_NOTE_BYTES = 4096
ALARMS_FILE = "alarms.json"
ALARMS_STALE_MS = 300_000
CLOCK_STEP_MS = 60_000
"""How far the clock may be set back and a note is still believed."""
_PORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def begin_maintenance(folder: Path, port: str, now_ms: int, minutes: int = MAINTENANCE_MIN) -> None:
    """Say that a port is being updated, for so long at most. ValueError: a bad name or time."""
    if not 1 <= minutes <= MAX_MAINTENANCE_MIN:
        raise ValueError(f"maintenance: 1 to {MAX_MAINTENANCE_MIN} minutes")
    note = {"port": port, "since_ms": now_ms, "deadline_ms": now_ms + minutes * 60_000}
    write_whole(_path(folder, port), json.dumps(note).encode() + b"\n")


def end_maintenance(folder: Path, port: str) -> None:
    """Say that the port is in use again."""
    _path(folder, port).unlink(missing_ok=True)


def in_maintenance(folder: Path, now_ms: int) -> frozenset[str]:
    """Give the ports that are being updated now. A note that is damaged or expired counts not."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 (twice a second, and quickest)
    except OSError:
        return frozenset()
    wanted = [n for n in names if n.startswith("maintenance-") and n.endswith(".json")]
    paths = [folder / name for name in sorted(wanted)[:MAX_PORTS]]
    return frozenset(port for path in paths if (port := _port_of(path, now_ms)))


def note_alarms(folder: Path, raised: Sequence[str], now_ms: int) -> None:
    """Say which stations have an alarm raised; to be repeated well within ALARMS_STALE_MS."""
    names = [name[:64] for name in raised[: MAX_PORTS // 2]]
    note = {"raised": names, "at_ms": now_ms}
    write_whole(folder / ALARMS_FILE, json.dumps(note).encode() + b"\n")


def raised_alarm(folder: Path, now_ms: int) -> str:
    """Say which alarm keeps a node from being updated; "" if the gateway says there is none."""
    path = folder / ALARMS_FILE
    note = _read(path)
    raised, at_ms = note.get("raised"), note.get("at_ms")
    if not isinstance(raised, list) or type(at_ms) is not int:
        return f"not known: {path} is missing or damaged: is the gateway running?"
    if not now_ms - ALARMS_STALE_MS <= at_ms <= now_ms + CLOCK_STEP_MS:
        return f"not known: {path} is old: is the gateway running?"
    return ", ".join(str(name) for name in raised)


def _path(folder: Path, port: str) -> Path:
    if not _PORT.fullmatch(port):
        raise ValueError(f"{port[:64]!r}: a port name has letters, digits and . _ - only")
    return folder / f"maintenance-{port}.json"


def _port_of(path: Path, now_ms: int) -> str:
    note = _read(path)
    port, since_ms, deadline_ms = note.get("port"), note.get("since_ms"), note.get("deadline_ms")
    if not isinstance(port, str) or type(since_ms) is not int or type(deadline_ms) is not int:
        return ""
    most = since_ms + MAX_MAINTENANCE_MIN * 60_000
    live = since_ms - CLOCK_STEP_MS <= now_ms < min(deadline_ms, most)
    return port if live and path.name == f"maintenance-{port}.json" else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():  # a pipe would be waited for
            return {}
        with path.open("rb") as file:
            data = file.read(MAX_NOTE_BYTES + 1)
        note = json.loads(data) if len(data) <= MAX_NOTE_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}
