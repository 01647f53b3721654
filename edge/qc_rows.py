"""Rows as such: gaps between them, rows that come late, and the same row twice."""

from __future__ import annotations

from typing import Any

from edge.flags import NOTHING, Flag

MAX_SOURCES = 64
MAX_HOLES = 8
"""Gaps remembered of a source: rows may still come that fill them."""
GAP = 2.5
"""So many usual intervals without a row are a gap."""
DISORDER = 6.0
"""A row that comes up to so many intervals late is out of order; beyond, it fills a gap or lies."""
MEMORY = 0.03


class Rows:
    """The order of rows of each source (port). ``gap_after_ms`` NaN: learned."""

    def __init__(self, gap_after_ms: float) -> None:
        self._gap_ms = gap_after_ms
        self.interval_ms = 0.0
        """Usual, of the source seen last."""
        self._sources: dict[str, list[Any]] = {}

    def reset(self) -> None:
        """Forget the times: the time line began anew."""
        for state in self._sources.values():
            state[0], state[3], state[4] = None, [], []

    def look(self, source: str, time_ms: int, values: list[float]) -> Flag:
        """Judge one row: GAP, LATE, DUPLICATE (the same time and values), CLOCK or nothing."""
        state = self._sources.get(source)
        if state is None:
            if len(self._sources) >= MAX_SOURCES:
                self._sources.clear()
            state = self._sources[source] = [None, 0.0, 0, [], []]
        newest, interval, seen, holes, last = state
        if newest is None:
            state[0], state[4] = time_ms, values
            return NOTHING
        ahead = time_ms - newest
        if ahead <= 0:
            return self._behind(ahead, time_ms, interval, holes, same=_same(values, last))
        state[0], state[4] = time_ms, values
        self.interval_ms = interval
        limit = GAP * interval if self._gap_ms != self._gap_ms else self._gap_ms
        if seen < 5 or ahead <= limit:
            state[2] = seen + 1
            rate = 1.0 / (seen + 1)
            if rate < MEMORY:
                rate = MEMORY
            state[1] = interval + rate * (ahead - interval)
            return NOTHING
        if len(holes) >= MAX_HOLES:
            holes.pop(0)
        holes.append((newest, time_ms))
        state[1] = min(interval * 1.05, float(ahead))  # a sensor may be read less often from now on
        return Flag.GAP

    def _behind(
        self, ahead: int, time_ms: int, interval: float, holes: list[Any], *, same: bool
    ) -> Flag:
        if ahead == 0 and same:
            return Flag.DUPLICATE
        known = any(start < time_ms < end for start, end in holes)
        if known or -ahead <= DISORDER * interval:
            return Flag.LATE
        return Flag.LATE | Flag.CLOCK

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            name: [newest, interval, seen, [list(h) for h in holes], [_or_none(v) for v in last]]
            for name, (newest, interval, seen, holes, last) in self._sources.items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot."""
        self._sources = {
            str(name): [
                newest,
                float(interval),
                int(seen),
                [(int(a), int(b)) for a, b in holes],
                [float("nan") if v is None else float(v) for v in last],
            ]
            for name, (newest, interval, seen, holes, last) in state.items()
        }


def _same(a: list[float], b: list[float]) -> bool:
    return len(a) == len(b) and all(
        x == y or (x != x and y != y) for x, y in zip(a, b, strict=True)
    )


def _or_none(v: float) -> float | None:
    return None if v != v else v
