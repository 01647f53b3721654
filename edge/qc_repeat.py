"""A row of long ago that comes once more on all channels: a slip of a logger or of a table.

A bounded ring of hashes of whole rows. Two rows may be alike by chance where few channels vary, so
a row is only called a copy where that is as good as impossible: each channel that varies tells as
much as it seldom repeats its last value.
"""

from __future__ import annotations

import base64
import math
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = 10_000
"""A year and more of hourly rows, ten weeks at ten minutes."""
ALL_ROWS = 500_000
"""Of all stations of a gateway: beyond fifty of them each remembers fewer."""
MIN_ROWS = 500
BITS = 40
SURE_NATS = 18.5
"""The chance to meet any of ROWS rows is then 1e-4 a row that has nothing else against it..."""
JUMPED_NATS = 11.0
"""...and of a row that jumps as well so much suffices."""
RECENT = 24
"""The last rows do not count: a slope at rest repeats itself."""
_MASK = (1 << BITS) - 1


def rows_each(stations: int) -> int:
    """Return how many rows each of so many stations remembers."""
    return max(MIN_ROWS, min(ROWS, ALL_ROWS // max(stations, 1)))


class Repeats:
    """The rows of one station: a ring of hashes, and a table of places that finds them.

    The table is open addressing over two bytes a slot: a tenth of what a dictionary would hold. A
    place that was taken over by another row no longer has the hash that led to it; such slots are
    passed over, and cleared away when the table is made anew.
    """

    def __init__(self, rows: int = ROWS) -> None:
        self._rows = rows
        self._ring, self._table = array("q"), array("H")
        self._next = self._mask = self._free = 0
        self._fill(self._ring, 0)
        self._expected = -1
        """Place of the row after the one that was repeated last."""

    def look(self, values: Sequence[float], nats: float, *, jumps: bool) -> bool:
        """Take one row of which ``nats`` tell it from others; whether it is one of long ago."""
        key = hash(tuple(values)) & _MASK
        slot = self._slot(key)
        place = self._table[slot] - 1
        if place >= 0:  # it was here before
            age = (self._next - place - 1) % len(self._ring) + 1
            follows = place == self._expected and nats >= 0.5 * JUMPED_NATS
            if age > RECENT and (follows or nats >= SURE_NATS or (jumps and nats >= JUMPED_NATS)):
                self._expected = (place + 1) % self._rows
                return True
        self._expected = -1
        self._keep(key, slot)
        return False

    def keep(self, values: Sequence[float]) -> None:
        """Take a row that came late: it may come once more as well."""
        key = hash(tuple(values)) & _MASK
        self._keep(key, self._slot(key))

    def _slot(self, key: int) -> int:
        """Return the slot of a key, or the free one where it belongs."""
        table, ring, mask = self._table, self._ring, self._mask
        slot = key & mask
        while (place := table[slot]) and ring[place - 1] != key:
            slot = (slot + 1) & mask
        return slot

    def _keep(self, key: int, slot: int) -> None:
        at = self._next
        if at == len(self._ring):
            self._ring.append(key)
        else:
            self._ring[at] = key
        self._next = (at + 1) % self._rows
        if not self._table[slot]:
            self._free -= 1
        self._table[slot] = at + 1
        if self._free <= 0:
            self._fill(self._ring, self._next)

    def _fill(self, ring: array[int], following: int) -> None:
        """Make the table anew, at most half full."""
        self._ring, self._next = ring, following
        size = 64
        while size < 2 * len(ring):
            size *= 2
        self._table, self._mask = array("H", bytes(2 * size)), size - 1
        table, mask = self._table, self._mask
        # From the oldest on: of two that are alike the newer is found.
        for place in (*range(following, len(ring)), *range(following)):
            key = ring[place]
            slot = key & mask
            while (taken := table[slot]) and ring[taken - 1] != key:
                slot = (slot + 1) & mask
            table[slot] = place + 1
        self._free = size // 4 - (id(self) >> 4) % (size // 8)
        """So many more slots may be taken; not as many in all stations, which would then all make
        their tables anew with the same row."""

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        packed = b"".join(key.to_bytes(BITS // 8, "little") for key in self._ring)
        return {
            "ring": base64.b85encode(packed).decode(),
            "next": self._next,
            "expected": self._expected,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot, also of a station that remembered more rows, or fewer."""
        packed, size = base64.b85decode(state["ring"]), BITS // 8
        keys = [int.from_bytes(packed[i : i + size], "little") for i in range(0, len(packed), size)]
        following = int(state["next"])
        if len(keys) > ROWS or not 0 <= following <= len(keys):
            raise ValueError("not a ring of rows")
        whole = len(keys) == self._rows or (len(keys) < self._rows and following == len(keys))
        if not whole:  # in order, the newest of them
            keys = (keys[following:] + keys[:following])[-self._rows :]
            following = len(keys)
        following %= self._rows
        self._fill(array("q", keys), following)
        self._expected = int(state["expected"]) if whole else -1


def nats_of(repeats: float) -> float:
    """Return what a channel tells that repeats its last value so often (0..1), bounded."""
    return -math.log(min(1.0, max(repeats, 0.005)))
