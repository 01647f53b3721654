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
BITS = 40
SURE_NATS = 18.5
"""The chance to meet any of ROWS rows is then 1e-4 a row that has nothing else against it..."""
JUMPED_NATS = 11.0
"""...and of a row that jumps as well so much suffices."""
RECENT = 24
"""The last rows do not count: a slope at rest repeats itself."""
_MASK = (1 << BITS) - 1


class Repeats:
    """The rows of one station."""

    def __init__(self) -> None:
        self._ring = array("q")
        self._places: dict[int, int] = {}
        self._next = 0
        self._expected = -1
        """Place of the row after the one that was repeated last."""

    def look(self, values: Sequence[float], nats: float, *, jumps: bool) -> bool:
        """Take one row of which ``nats`` tell it from others; whether it is one of long ago."""
        key = hash(tuple(values)) & _MASK
        place = self._places.get(key)
        if place is not None:
            age = (self._next - place) % ROWS if len(self._ring) == ROWS else self._next - place
            follows = place == self._expected and nats >= 0.5 * JUMPED_NATS
            if age > RECENT and (follows or nats >= SURE_NATS or (jumps and nats >= JUMPED_NATS)):
                self._expected = (place + 1) % ROWS
                return True
        self._expected = -1
        self._keep(key)
        return False

    def keep(self, values: Sequence[float]) -> None:
        """Take a row that came late: it may come once more as well."""
        self._keep(hash(tuple(values)) & _MASK)

    def _keep(self, key: int) -> None:
        at = self._next
        if len(self._ring) < ROWS:
            self._ring.append(key)
        else:
            old = self._ring[at]
            if self._places.get(old) == at:
                del self._places[old]
            self._ring[at] = key
        self._places[key] = at
        self._next = (at + 1) % ROWS

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        packed = b"".join(key.to_bytes(BITS // 8, "little") for key in self._ring)
        return {
            "ring": base64.b85encode(packed).decode(),
            "next": self._next,
            "expected": self._expected,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot."""
        packed, size = base64.b85decode(state["ring"]), BITS // 8
        keys = [int.from_bytes(packed[i : i + size], "little") for i in range(0, len(packed), size)]
        following = int(state["next"])
        if len(keys) > ROWS or not 0 <= following < ROWS:
            raise ValueError("not a ring of rows")
        self._ring = array("q", keys)
        order = [*range(following, len(keys)), *range(min(following, len(keys)))]
        self._places = {keys[i]: i for i in order}
        self._next, self._expected = following, int(state["expected"])


def nats_of(repeats: float) -> float:
    """Return what a channel tells that repeats its last value so often (0..1), bounded."""
    return -math.log(min(1.0, max(repeats, 0.005)))
