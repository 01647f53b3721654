"""What was written on a pty held against what came to the subscriber: pure accounting.

Every gateway gets the same lines, about 70 bytes: ``time_ms,row,`` and eight values. The time
follows from the number of the row, so a damaged or joined line is not taken for a reading.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

STEP_MS = 600_000
"""Of the bundle of the demo: with every row the models step once."""
EPOCH_MS = 980_000_000_000 // STEP_MS * STEP_MS
"""2001: at a hundred rows a second there is room for a day until 2100."""
COLUMNS = 10

Came = tuple[float, bytes]
"""When a message came, monotonic seconds, and its payload."""


def line(row: int, values: Sequence[float]) -> bytes:
    """Return the line of a row."""
    told = ",".join(f"{value:.3f}" for value in values)
    return f"{EPOCH_MS + row * STEP_MS},{row},{told}\r\n".encode()


def row_of(text: bytes) -> int | None:
    """Return the number of the row that a line is of; None: it is damaged."""
    parts = text.strip().split(b",")
    if len(parts) != COLUMNS:
        return None
    try:
        time_ms, row = int(parts[0]), int(parts[1])
        values = [float(part) for part in parts[2:]]
    except ValueError:
        return None
    right = time_ms == EPOCH_MS + row * STEP_MS and all(v - v == 0.0 for v in values)
    return row if right else None


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When each row came first, how many came again, and what was no row at all."""

    at_s: Mapping[int, float]
    twice: int
    damaged: int
    steps: int = 0
    """Rows with which the forecast of a model came."""


class _Taken:
    """Rows as they are taken."""

    def __init__(self) -> None:
        self.at_s: dict[int, float] = {}
        self.twice = self.damaged = 0

    def take(self, row: int | None, at_s: float) -> None:
        if row is None:
            self.damaged += 1
        elif row in self.at_s:
            self.twice += 1
        else:
            self.at_s[row] = at_s

    def arrivals(self, steps: int = 0) -> Arrivals:
        return Arrivals(self.at_s, self.twice, self.damaged, steps)


def whole_lines(messages: Iterable[Came]) -> Arrivals:
    """Read messages that hold a line each."""
    taken = _Taken()
    for at_s, payload in messages:
        taken.take(row_of(payload), at_s)
    return taken.arrivals()


def raw_bytes(messages: Iterable[Came]) -> Arrivals:
    """Read messages that hold bytes as they were read: a line may begin in one and end in another.

    A line has come when its end has.
    """
    taken, rest = _Taken(), b""
    for at_s, payload in messages:
        *whole, rest = (rest + payload).split(b"\n")
        for text in whole:
            taken.take(row_of(text), at_s)
    return taken.arrivals()


def talus_rows(messages: Iterable[Came]) -> Arrivals:
    """Read telemetry of talus."""
    taken, steps = _Taken(), 0
    for at_s, payload in messages:
        told: dict[str, Any] = json.loads(payload)
        for row in told["rows"]:
            right = row[0] == EPOCH_MS + row[1] * STEP_MS and None not in row
            taken.take(row[1] if right else None, at_s)
        steps += sum(bool(step["forecasts"]) for step in told["steps"])
    return taken.arrivals(steps)


def thingsboard_rows(messages: Iterable[Came]) -> Arrivals:
    """Read ``v1/gateway/telemetry``: a list of times and values for each device."""
    taken = _Taken()
    for at_s, payload in messages:
        told: dict[str, list[dict[str, Any]]] = json.loads(payload)
        for entries in told.values():
            for entry in entries:
                text = str(entry.get("values", entry).get("line", ""))
                taken.take(row_of(text.encode()), at_s)
    return taken.arrivals()


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the rows of one disturbance."""

    written: int
    lost: int
    twice: int
    back_s: float
    """From the end of the disturbance to the first row written after it; inf: none came."""


def account(
    written_s: Mapping[int, float],
    came: Arrivals,
    ended_s: float,
    excused_s: tuple[float, float] = (0.0, 0.0),
) -> Account:
    """Hold rows against arrivals.

    Rows written in ``excused_s`` count only if they came: nobody can have them who needs a moment
    to open a port again.
    """
    begin_s, end_s = excused_s
    counted = {
        row for row, at_s in written_s.items() if row in came.at_s or not begin_s <= at_s < end_s
    }
    after = [came.at_s[r] for r, at_s in written_s.items() if at_s >= ended_s and r in came.at_s]
    back_s = max(0.0, min(after) - ended_s) if after else float("inf")
    lost = sum(row not in came.at_s for row in counted)
    return Account(len(counted), lost, came.twice, back_s)


def percentile(times: Sequence[float], share: float) -> float:
    """Return the value that so great a share of them does not exceed."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def sustained(written: int, came: int, behind_s: float, allowed_s: float = 0.5) -> bool:
    """Say whether a rate was held: all came, and the writer never had to wait for long."""
    return written > 0 and came >= written and behind_s <= allowed_s
