"""Which alarm waits for whom on the second path, and what has gone already. Pure.

A *path* is one telephone number or one output. Each alarm takes each path once, over restarts too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edge.second_text import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_WAITING = 256
"""Alarms that wait at most; beyond it the least urgent is given up."""
MAX_TOLD = 1000
"""Alarms of which is remembered where they went."""
HOUR_MS = 3_600_000
_MORE_RETRY_MS = 60_000
_MAX_TIMES = 2000


@dataclass(slots=True)
class Try:
    """An alarm that waits for one path."""

    due_ms: int = 0
    failed: int = 0
    doubtful: int = 0


class Queue:
    """Alarms by id, and the paths that each is still to take."""

    def __init__(self) -> None:
        self._notices: dict[str, Notice] = {}
        self._left: dict[str, dict[str, Try]] = {}
        self._told: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._notices)

    def add(self, notice: Notice, paths: Iterable[str]) -> int:
        """Let an alarm wait for these paths; gives how many alarms were given up for want of room.

        A path that it has taken, or waits for, it does not take again.
        """
        known = [*self._told.get(notice.id, ()), *self._left.get(notice.id, ())]
        new = [path for path in paths if path not in known]
        if not new:
            return 0
        self._notices[notice.id] = notice
        self._left.setdefault(notice.id, {}).update({path: Try() for path in new})
        lost = 0
        while len(self._notices) > MAX_WAITING:
            least = max(self._notices.values(), key=lambda n: n.rank)
            self._forget(least.id)
            lost += 1
        return lost

    def next(
        self, path: str, now_ms: int, allowed: Callable[[Notice], bool] = lambda _: True
    ) -> Notice | None:
        """Give the most urgent that may take a path now, the oldest of its urgency."""
        due = (
            self._notices[each]
            for each, left in self._left.items()
            if path in left and left[path].due_ms <= now_ms and allowed(self._notices[each])
        )
        return min(due, key=lambda n: n.rank, default=None)

    def tried(self, alarm_id: str, path: str) -> Try | None:
        """Give how often an alarm has tried a path; None if it does not wait for it."""
        return self._left.get(alarm_id, {}).get(path)

    def waiting(self, path: str) -> list[Notice]:
        """Give all that wait for a path."""
        return [self._notices[each] for each, left in self._left.items() if path in left]

    def settle(self, alarm_id: str, path: str) -> None:
        """Take that an alarm has taken a path, or never will."""
        told = self._told.pop(alarm_id, [])
        if path not in told:
            told.append(path)
        self._told[alarm_id] = told
        while len(self._told) > MAX_TOLD:
            del self._told[next(iter(self._told))]
        left = self._left.get(alarm_id, {})
        left.pop(path, None)
        if not left:
            self._forget(alarm_id)

    def drop(self, path: str, which: Callable[[Notice], bool]) -> int:
        """Let alarms wait for a path no longer; gives how many did."""
        gone = [notice.id for notice in self.waiting(path) if which(notice)]
        for each in gone:
            del self._left[each][path]
            if not self._left[each]:
                self._forget(each)
        return len(gone)

    def drop_before(self, path: str, time_ms: int) -> int:
        """Let what was taken before a time wait for a path no longer."""
        return self.drop(path, lambda n: n.taken_ms < time_ms)

    def urgency(self, alarm_id: str) -> int:
        """Give the urgency of an alarm that waits, 0 of another."""
        notice = self._notices.get(alarm_id)
        return 0 if notice is None else notice.urgency

    def _forget(self, alarm_id: str) -> None:
        self._notices.pop(alarm_id, None)
        self._left.pop(alarm_id, None)

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set."""
        for each, notice in self._notices.items():
            self._notices[each] = replace(notice, taken_ms=notice.taken_ms + step_ms)
        for left in self._left.values():
            for one in left.values():
                one.due_ms += step_ms

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "notices": [_values(notice) for notice in self._notices.values()],
            "left": {i: {p: _values(t) for p, t in left.items()} for i, left in self._left.items()},
            "told": self._told,
        }

    def restore(self, state: dict[str, Any], paths: Iterable[str], now_ms: int) -> None:
        """Continue from a snapshot; paths that are no longer configured are forgotten."""
        kept = frozenset(paths)
        told = {str(i): [str(p) for p in found] for i, found in state["told"].items()}
        notices = {}
        left: dict[str, dict[str, Try]] = {}
        for values in state["notices"]:
            notice = Notice(**values)
            tries = {
                str(p): Try(min(int(t["due_ms"]), now_ms), int(t["failed"]), int(t["doubtful"]))
                for p, t in state["left"][notice.id].items()
                if p in kept
            }
            if tries:
                taken_ms = min(int(notice.taken_ms), now_ms)
                notices[notice.id] = replace(notice, taken_ms=taken_ms)
                left[notice.id] = tries
        self._notices, self._left, self._told = notices, left, told


class Hour:
    """How much a path has carried within an hour. One of a higher level goes beyond the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.went: list[tuple[int, int]] = []
        """(when, urgency)."""
        self._more_ms: int | None = None
        """When it may be said again that more wait."""

    def allows(self, urgency: int, now_ms: int) -> bool:
        """Whether one of this urgency may go now."""
        self.went = [(at, how) for at, how in self.went if 0 <= now_ms - at < HOUR_MS]
        return len(self.went) < self._limit or urgency > max(how for _, how in self.went)

    def may_say_more(self, now_ms: int) -> bool:
        """Whether it may be said that more wait: once an hour."""
        return self._more_ms is None or not now_ms < self._more_ms <= now_ms + HOUR_MS

    def more_said(self, now_ms: int, *, gone: bool) -> None:
        """Take that it was said, or that this failed."""
        self._more_ms = now_ms + (HOUR_MS if gone else _MORE_RETRY_MS)

    def add(self, urgency: int, now_ms: int) -> None:
        """Take that one went."""
        self.went = [*self.went, (now_ms, urgency)][-_MAX_TIMES:]

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set."""
        self.went = [(at + step_ms, how) for at, how in self.went]
        if self._more_ms is not None:
            self._more_ms += step_ms

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {"went": self.went, "more_ms": self._more_ms}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot."""
        self.went = [(int(at), int(how)) for at, how in state["went"]]
        self._more_ms = None if state["more_ms"] is None else int(state["more_ms"])


def _values(slotted: Notice | Try) -> dict[str, Any]:
    """Return the fields as they are: asdict copies each, at ten times the price."""
    return {name: getattr(slotted, name) for name in slotted.__slots__}
