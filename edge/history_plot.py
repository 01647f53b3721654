"""The readings that led to an alarm, gathered from a replay and drawn."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from edge.picture import Line, Panel, draw

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.config import Config
    from edge.pipeline import Outcome

MAX_ROWS = 50_000
SPAN_MS = 14 * 86_400_000
"""How far back the picture goes."""


class Trail:
    """Rows of the station of one alarm, the newest MAX_ROWS."""

    def __init__(self, config: Config, values: Mapping[str, Any]) -> None:
        self._values = values
        self._station = str(values["station"])
        self._channels = config.station(self._station).channels
        self._rows: deque[tuple[int, list[float]]] = deque(maxlen=MAX_ROWS)

    def add(self, outcome: Outcome) -> None:
        """Take what a reading led to."""
        for row in outcome.rows:
            if row.station == self._station:
                self._rows.append((row.time_ms, row.values))

    def picture(self) -> str:
        """Draw the channels that led to the alarm, or all where it names none, as SVG."""
        until = int(self._values["time_ms"])
        rows = [row for row in self._rows if until - SPAN_MS <= row[0] <= until]
        named = _named(self._values)
        panels = []
        for i, channel in enumerate(self._channels):
            if named and channel.name not in named and channel.quantity != "rainfall":
                continue
            times = [t for t, _ in rows]
            values = [v[i] for _, v in rows]
            if any(map(math.isfinite, values)):
                line = Line(channel.name, times, values)
                panels.append(Panel(channel.name, channel.unit, (line,)))
        title = f"{self._values['id']}: {self._values['reason']}"
        return draw(title[:140], panels, [(until, f"level {self._values['level']}")])


def _named(values: Mapping[str, Any]) -> set[str]:
    hits = (
        hit["channel"]
        for rule in values.get("rules", [])
        for condition in rule["conditions"]
        for hit in condition["hits"]
    )
    return {*hits, *(score["channel"] for score in values.get("evidence", []) if score["armed"])}
