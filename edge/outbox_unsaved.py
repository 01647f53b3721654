"""Alarms that no disk takes: in memory until one does, or until they have left.

One that has left is not done with: the journal lacks it, and it is written down once it can be.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.message import Message
    from edge.outbox_held import Stored

MAX_UNSAVED = 1000
"""Alarms held in memory at most while the disk takes nothing at all, and as many that have left."""


class Unsaved:
    """What waits in memory alone, oldest first. ``lost`` counts alarms that never left."""

    def __init__(self) -> None:
        self._waiting: deque[Stored] = deque(maxlen=MAX_UNSAVED)
        self._left: deque[Message] = deque(maxlen=MAX_UNSAVED)
        self.lost = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __bool__(self) -> bool:
        return bool(self._waiting or self._left)

    @property
    def waiting(self) -> list[Stored]:
        """Give those that have to leave."""
        return list(self._waiting)

    @property
    def left(self) -> list[Message]:
        """Give those that have left, and are in no journal."""
        return list(self._left)

    def add(self, alarms: Iterable[Stored]) -> None:
        """Take alarms; the oldest go where there are too many."""
        for stored in alarms:
            self.lost += len(self._waiting) == MAX_UNSAVED
            self._waiting.append(stored)

    def done(self, ids: frozenset[int]) -> None:
        """Take that these have left."""
        if not self._waiting:
            return
        self._left += (s.message for s in self._waiting if s.id in ids and s.message.id)
        self._waiting = deque((s for s in self._waiting if s.id not in ids), MAX_UNSAVED)

    def clear(self) -> None:
        """Take that all of it is on disk."""
        self._waiting.clear()
        self._left.clear()
