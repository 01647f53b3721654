"""When which station is to be looked at next: the earliest first, a thousand of them no dearer."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NEVER_MS = 2**62


class Dues:
    """A time for each of so many, by place. A place that was given out has none until it is set."""

    def __init__(self, count: int) -> None:
        self._due = [_NEVER_MS] * count
        self._heap: list[tuple[int, int]] = []

    def lower(self, place: int, due_ms: int) -> None:
        """Set a time, unless an earlier one stands."""
        if due_ms < self._due[place]:
            self._due[place] = due_ms
            heappush(self._heap, (due_ms, place))

    def lower_all(self, due_ms: int) -> None:
        """Set one time for all of them, unless an earlier one stands."""
        for place in range(len(self._due)):
            self.lower(place, due_ms)

    def passed(self, now_ms: int) -> Iterable[int]:
        """Give out the places whose time is over, in order."""
        heap = self._heap
        if not heap or heap[0][0] >= now_ms:
            return ()
        found = []
        while heap and heap[0][0] < now_ms:
            due_ms, place = heappop(heap)
            if due_ms == self._due[place]:  # else it was given out by an earlier one
                self._due[place] = _NEVER_MS
                found.append(place)
        return sorted(found)
