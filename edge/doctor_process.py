"""The running gateway as the kernel sees it: who it is, what it has open, what it writes."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.disk_use import written_bytes
from firmware_bridge.lock import LOCK_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from edge.doctor_root import Root


@dataclass(frozen=True, slots=True)
class Process:
    """A ``talus run``. ``pid`` 0: it holds the folder, and nobody says who it is."""

    pid: int
    age_s: float
    written_bytes: int | None
    """None: the kernel does not tell us of another user's process."""
    files: frozenset[str] | None
    """What it has open, by real path; None as above."""


def running(root: Root, data_dir: Path) -> Process | None:
    """Return the gateway that holds a data folder, None where none does. Takes no lock itself."""
    path = data_dir / LOCK_FILE
    try:
        found = path.stat()
    except OSError:
        return None
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    locks = root.text("proc/locks")
    if locks is None:
        return Process(0, 0.0, None, None) if _is_held(data_dir) else None
    for line in locks.splitlines():
        # 1: FLOCK  ADVISORY  WRITE 20945 fe:00:2222418 0 EOF; "->" stands before one who waits
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[5].endswith(f":{found.st_ino}"):
            process = _process(root, int(words[4])) if words[4].isdecimal() else None
            # Another file system has a file of that number as well; and some (btrfs, overlayfs)
            # are called otherwise here than there.
            is_ours = words[5] == f"{device}:{found.st_ino}"
            files = None if process is None else process.files
            if is_ours or files is None or os.path.realpath(path) in files:
                return process
    return None


def _is_held(data_dir: Path) -> bool:
    """Try the lock, for an instant and shared: only where the kernel lists no locks."""
    try:
        with (data_dir / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _process(root: Root, pid: int) -> Process:
    folder = root.path / f"proc/{pid}"
    return Process(pid, _age_s(root, pid), written_bytes(folder / "io"), _files(folder / "fd"))


def _age_s(root: Root, pid: int) -> float:
    _, _, rest = (root.text(f"proc/{pid}/stat") or "").rpartition(")")
    up = (root.text("proc/uptime") or "").split()
    try:
        return max(0.0, float(up[0]) - int(rest.split()[19]) / os.sysconf("SC_CLK_TCK"))
    except (IndexError, ValueError):
        return 0.0


def _files(folder: Path) -> frozenset[str] | None:
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return None
    found = set()
    for name in names:
        try:
            found.add(os.readlink(folder / name))  # noqa: PTH115 - "socket:[7]" is no path
        except OSError:
            continue
    return frozenset(found)
