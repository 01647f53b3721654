"""What this process writes to disk, by the kernel's own count: memory cards wear by it."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_IO = Path("/proc/self/io")
DAY_S = 86_400.0
MARK_S = 600.0
"""How far apart the marks are from which the estimate for a day is made; they reach back a day."""


def written_bytes(path: Path = _IO) -> int | None:
    """Return the bytes a process has sent to disks since it began, None where nobody counts."""
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None


class DiskUse:
    """Counters since the program started, and an estimate for a day from the last day at most."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        written: Callable[[], int | None] = written_bytes,
    ) -> None:
        self._clock = clock
        self._written = written
        self.commits = 0
        """Transactions that were flushed to disk (fsync)."""
        self.stored_bytes = 0
        """Of messages and states, as they were stored."""
        self._began = written() or 0
        self._marks: deque[tuple[float, int]] = deque([(clock(), self._began)])

    def values(self) -> dict[str, Any]:
        """Return the ``disk`` object of the health message; null where the kernel does not tell."""
        now_s, total = self._clock(), self._written()
        return {
            "written_bytes": None if total is None else total - self._began,
            "written_bytes_per_day": None if total is None else self._per_day(now_s, total),
            "stored_bytes": self.stored_bytes,
            "commits": self.commits,
        }

    def _per_day(self, now_s: float, total: int) -> int | None:
        while len(self._marks) > 1 and self._marks[1][0] <= now_s - DAY_S:
            self._marks.popleft()
        then_s, then = self._marks[0]
        if now_s - self._marks[-1][0] >= MARK_S:
            self._marks.append((now_s, total))
        if now_s <= then_s:
            return None
        return round((total - then) * DAY_S / (now_s - then_s))
