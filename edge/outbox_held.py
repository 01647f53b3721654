"""Telemetry and health that came just now: in memory for a moment, as most of it never needs disk.

A broker that acknowledges within HOLD_MS costs no write at all; what waits longer goes to disk in
one transaction, and without a connection little is waited for. Alarms are never here: they are on
disk before ``put`` returns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.message import Message
    from edge.spool import Spool

HOLD_MS = 300
"""What a power cut takes with it, besides the rows that are not yet a message: with the default of
`telemetry_every_s` (600 ms) and two turns of the loop not more than a second in all."""
AWAY_HOLD_MS, AWAY_GATHER_MS = 50, 850
"""The same without a connection. Rows are gathered at least so long then: a message is a write."""
MAX_HELD_BYTES = 256 * 1024
MAX_HELD = 1000


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in the outbox; ``put_ms`` is on the clock of the outbox, which counts running."""

    id: int
    message: Message
    put_ms: int = field(default=0, compare=False)


class Held:
    """What is in memory alone, oldest first."""

    def __init__(self, spool: Spool | None = None) -> None:
        self._items: dict[int, Stored] = {}
        self._spool = spool
        self.bytes = 0
        self.rows = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether it must go to disk before its time."""
        return self.bytes > MAX_HELD_BYTES or len(self._items) > MAX_HELD

    def wait_ms(self, now_ms: int, hold_ms: int) -> float:
        """Say in how many ms the oldest has been held for so long."""
        first = next(iter(self._items.values()), None)
        return math.inf if first is None else max(0, first.put_ms + hold_ms - now_ms)

    def add(self, stored: Stored) -> None:
        """Take one."""
        self._items[stored.id] = stored
        self.bytes += len(stored.message.payload)
        self.rows += stored.message.rows
        if self._spool is not None:
            self._spool.message(stored)

    def remove(self, ids: Iterable[int]) -> int:
        """Let go of those of these that are here; returns their readings."""
        rows = 0
        for each in ids:
            found = self._items.pop(each, None)
            if found is not None:
                rows += found.message.rows
                self.bytes -= len(found.message.payload)
                if self._spool is not None:
                    self._spool.gone(each)
        self.rows -= rows
        return rows

    def replace(self, topic: str) -> None:
        """Let go of the retained messages of a topic: another takes their place."""
        old = [i for i, s in self._items.items() if s.message.retain and s.message.topic == topic]
        self.remove(old)

    def has(self, each: int) -> bool:
        """Whether this one is here."""
        return each in self._items

    def all(self) -> list[Stored]:
        """Give all of them."""
        return list(self._items.values())

    def clear(self) -> list[Stored]:
        """Give all of them, and hold none."""
        every = self.all()
        if self._spool is not None:
            self._spool.all_gone()
        self._items, self.bytes, self.rows = {}, 0, 0
        return every
