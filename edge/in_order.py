"""Rows of each port in the order of their times, as far as the lateness allowed goes.

Quality control, as any filter, depends on the order of what it sees: rows that come late must not
lead to other decisions. A row goes on at once where it is the next that was due; after a hole it
waits until the hole is filled or the lateness has passed: by the times of rows, or, where no more
come, since it arrived. O(1) a row.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from edge.flags import Flag

NEXT = 1.5
"""A row within so many usual intervals of the last is the next."""
MEMORY = 0.03
WARM = 5
"""Rows after which an interval is believed; until then nothing waits."""
MAX_WAITING = 256
"""Rows of a port; then the oldest goes on."""
MAX_SOURCES = 64
NEVER_MS, MAX_MS = 2**62, 2**53


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """One calibrated row; NaN missing. ``told``: (place, MISSING or RANGE) from the calibration."""

    time_ms: int
    values: tuple[float, ...] = field(compare=False)
    told: tuple[tuple[int, Flag], ...] = field(compare=False)
    received_ms: int = field(default=0, compare=False)


class _Line:
    """The rows of one port."""

    def __init__(self) -> None:
        self.last_ms = 0
        self.newest_ms = 0
        self.interval_ms = 0.0
        self.ahead_ms = 0
        """From the row before to the last."""
        self.alike = 0
        """Rows in a row that came at another cadence than the usual."""
        self.seen = 0
        self.waiting: list[Row] = []

    def go(self, time_ms: int) -> None:
        """Take that a row goes on."""
        ahead = time_ms - self.last_ms
        if self.last_ms and ahead > 0:
            if not self.seen or ahead <= NEXT * self.interval_ms or self.seen < WARM:
                self.seen += 1
                rate = max(1.0 / self.seen, MEMORY)
                self.interval_ms += rate * (ahead - self.interval_ms)
            else:  # a sensor may be read less often from now on
                alike = NEXT * ahead >= self.ahead_ms and ahead <= NEXT * self.ahead_ms
                self.alike = self.alike + 1 if alike else 1
                self.interval_ms = min(1.05 * self.interval_ms, float(ahead))
                if self.alike >= WARM:
                    self.interval_ms, self.alike = float(ahead), 0
            self.ahead_ms = ahead
        self.last_ms = max(self.last_ms, time_ms)


class InOrder:
    """The rows of one station. With a lateness of 0 each goes on as it comes."""

    def __init__(self, lateness_ms: int) -> None:
        self._lateness_ms = lateness_ms
        self._lines: dict[str, _Line] = {}
        self.due_ms = NEVER_MS
        """Nothing has waited its time before this, on the clock of ``received_ms``: a lower bound,
        so that a tick need not look."""

    @property
    def waits(self) -> bool:
        """Whether any row ever does."""
        return self._lateness_ms > 0

    def take(self, source: str, row: Row) -> list[Row]:
        """Take a row; give those that go on now, in order."""
        if not self._lateness_ms:
            return [row]
        line = self._lines.get(source)
        if line is None:
            if len(self._lines) >= MAX_SOURCES:
                return [row]
            line = self._lines[source] = _Line()
        line.newest_ms = max(line.newest_ms, row.time_ms)
        if row.time_ms <= line.last_ms:  # nothing waits for it any more
            return [row]
        insort(line.waiting, row)
        going = self._going(line)
        if line.waiting:
            self.due_ms = min(self.due_ms, row.received_ms + self._lateness_ms)
        return going

    def _going(self, line: _Line) -> list[Row]:
        out = []
        while line.waiting:
            row = line.waiting[0]
            due = line.seen < WARM or row.time_ms - line.last_ms <= NEXT * line.interval_ms
            past = line.newest_ms - row.time_ms >= self._lateness_ms
            if not (due or past or len(line.waiting) > MAX_WAITING):
                break
            out.append(line.waiting.pop(0))
            line.go(row.time_ms)
        return out

    def past(self, now_ms: int) -> list[tuple[str, Row]]:
        """Give the rows of all ports that the lateness has passed, by a row of any of them.

        A port that fell silent must not keep its last rows until nothing takes them any more.
        """
        found = []
        for source, line in self._lines.items():
            while line.waiting and now_ms - line.waiting[0].time_ms >= self._lateness_ms:
                row = line.waiting.pop(0)
                line.go(row.time_ms)
                found.append((source, row))
        return sorted(found, key=lambda each: each[1].time_ms)

    def overdue(self, now_ms: int) -> list[tuple[str, Row]]:
        """Give the rows that have waited since they arrived as long as any may, in order.

        Those before go with them, and those behind that follow without a hole. A sensor that the
        slope has carried away must not keep its last rows to itself.
        """
        found, arrived_ms = [], now_ms - self._lateness_ms
        for source, line in self._lines.items():
            late = [row.received_ms <= arrived_ms for row in line.waiting]
            if True not in late:
                continue
            count = len(late) - late[::-1].index(True)
            going, line.waiting = line.waiting[:count], line.waiting[count:]
            for row in going:
                line.go(row.time_ms)
            found += [(source, row) for row in (*going, *self._going(line))]
        self._look()
        return sorted(found, key=lambda each: each[1].time_ms)

    def _look(self) -> None:
        arrived = [row.received_ms for line in self._lines.values() for row in line.waiting]
        self.due_ms = min(arrived) + self._lateness_ms if arrived else NEVER_MS

    def shift(self, delta_ms: int) -> None:
        """Move all times of arrival: the clock of the gateway was set."""
        for line in self._lines.values():
            line.waiting = [
                replace(row, received_ms=row.received_ms + delta_ms) for row in line.waiting
            ]
        self._look()

    def let_go(self) -> list[tuple[str, Row]]:
        """Give all that waits: the time line begins anew."""
        found = [(source, row) for source, line in self._lines.items() for row in line.waiting]
        self._lines.clear()
        self.due_ms = NEVER_MS
        return found

    def snapshot(self, now_ms: int) -> dict[str, Any]:
        """Return the state as JSON-ready values; how long each row has waited is as of now."""
        return {
            source: {
                "last_ms": line.last_ms,
                "newest_ms": line.newest_ms,
                "interval_ms": line.interval_ms,
                "ahead_ms": line.ahead_ms,
                "alike": line.alike,
                "seen": line.seen,
                "waiting": [
                    [
                        row.time_ms,
                        [None if v != v else v for v in row.values],
                        [[place, int(flag)] for place, flag in row.told],
                    ]
                    for row in line.waiting
                ],
                "waited_ms": [now_ms - row.received_ms for row in line.waiting],
            }
            for source, line in self._lines.items()
        }

    def restore(self, state: dict[str, Any], now_ms: int, width: int) -> None:
        """Continue from a snapshot; older programs did not keep how long a row has waited.

        Raises ValueError for a row of more or fewer than ``width`` channels.
        """
        lines = {}
        for source, saved in state.items():
            line = lines[str(source)] = _Line()
            line.last_ms, line.newest_ms = int(saved["last_ms"]), int(saved["newest_ms"])
            line.interval_ms, line.seen = float(saved["interval_ms"]), max(0, int(saved["seen"]))
            line.ahead_ms, line.alike = int(saved["ahead_ms"]), int(saved["alike"])
            waited = saved.get("waited_ms", [0] * len(saved["waiting"]))
            rows = zip(saved["waiting"], waited, strict=True)
            for (time_ms, values, told), waited_ms in islice(rows, MAX_WAITING):
                given = tuple(float("nan") if v is None else float(v) for v in values)
                flags = tuple((int(place), Flag(int(flag))) for place, flag in told)
                if len(given) != width or any(not 0 <= place < width for place, _ in flags):
                    raise ValueError(f"a row of {len(given)} channels")
                if not 0 <= time_ms < MAX_MS:
                    raise ValueError(f"a row of {time_ms} ms")
                line.waiting.append(Row(int(time_ms), given, flags, now_ms - int(waited_ms)))
        self._lines = lines
        self._look()
