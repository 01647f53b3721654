"""What went out over the second path, and what did not: for the health message and the log."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_WENT = 20


class Told:
    """Counters of each path, since the program started, and what went last, over restarts too.

    A number is told by its last digits.
    """

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.paths = paths
        self._names = {path: _name(path, i) for i, path in enumerate(paths, 1)}
        self._counts = {path: dict.fromkeys(_COUNTS, 0) for path in paths}
        self._last = dict.fromkeys(paths, "")
        self._given_up: dict[str, int] = {}
        self._went: deque[tuple[str, str, int]] = deque(maxlen=MAX_WENT)

    def name(self, path: str) -> str:
        """Say a path without telling a number."""
        return self._names[path]

    def trying(self, path: str) -> None:
        """Count a try."""
        self._counts[path]["tries"] += 1

    def went(self, path: str, alarm_id: str, now_ms: int) -> str:
        """Take that an alarm went; gives a line for the log."""
        self._counts[path]["sent"] += 1
        self._last[path] = ""
        self._went.append((alarm_id, self._names[path], now_ms))
        return f"{self._names[path]}: {alarm_id} went"

    def failed(self, path: str, alarm_id: str, reason: str, *, doubtful: bool) -> str:
        """Take that a try failed, or may have; gives a line for the log."""
        self._counts[path]["doubtful" if doubtful else "failed"] += 1
        self._last[path] = reason
        return f"{self._names[path]}: {alarm_id}: {reason}"

    def given_up(self, why: str, count: int, path: str = "") -> None:
        """Count alarms that do not go this way any more."""
        if count:
            self._given_up[why] = self._given_up.get(why, 0) + count
            if path:
                self._counts[path]["given_up"] += count

    def snapshot(self) -> list[list[Any]]:
        """Return what went last as JSON-ready values."""
        return [list(each) for each in self._went]

    def restore(self, state: list[list[Any]]) -> None:
        """Continue from a snapshot."""
        for alarm_id, name, at in state[-MAX_WENT:]:
            self._went.append((str(alarm_id), str(name), int(at)))

    def values(self, waiting: Mapping[str, int]) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "paths": {
                self._names[path]: self._counts[path]
                | {"waiting": waiting[path], "reason": self._last[path]}
                for path in self.paths
            },
            "given_up": self._given_up,
            "went": [{"id": i, "path": name, "time_ms": at} for i, name, at in self._went],
        }


_COUNTS = ("tries", "sent", "failed", "doubtful", "given_up")


def _name(path: str, place: int) -> str:
    kind, _, which = path.partition(" ")
    return f"sms {place} (..{which[-3:]})" if kind == "sms" else path
