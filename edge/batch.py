"""Telemetry gathered until it is worth a message: rows and scores, a station each.

Names stand once in a message, under ``..._fields``; rows and steps hold values alone, as a field
link is paid for by the byte. A forecast row holds its quantiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.message import TELEMETRY, Message, number, quality_values, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.pipeline import Outcome
    from edge.station import Station
    from edge.watch import Scored

MAX_ROWS = 50
"""Rows after which a message leaves before its time."""
_SCORE_FIELDS = ("kind", "channel", "value", "threshold", "armed")


class Batch:
    """Rows and grid steps of all stations since the last flush."""

    def __init__(self, prefix: str, gateway: str) -> None:
        self._prefix = prefix
        self._gateway = gateway
        self._rows: dict[str, list[list[Any]]] = {}
        self._steps: dict[str, list[dict[str, Any]]] = {}
        self._forecast_fields: dict[str, list[tuple[str, int]]] = {}
        self._flags: dict[str, list[Any]] = {}
        self._readings: dict[str, int] = {}
        self._count = 0
        self.held = 0
        """Readings that wait here."""

    @property
    def full(self) -> bool:
        """Whether some station has enough for a message."""
        return any(len(rows) >= MAX_ROWS for rows in self._rows.values())

    @property
    def empty(self) -> bool:
        """Whether there is nothing to flush."""
        return not self._rows

    def mention(self, stations: Iterable[str]) -> None:
        """See to it that a message of each leaves, though it may have no rows."""
        for station in stations:
            self._rows.setdefault(station, [])

    def add(self, outcome: Outcome) -> None:
        """Take what an accepted reading led to; the reading is counted with its first row."""
        for i, row in enumerate(outcome.rows):
            values = [number(v) for v in row.values]
            rows = self._rows.setdefault(row.station, [])
            rows.append([row.time_ms, row.sequence, *values])
            if row.flags:
                flags = self._flags.setdefault(row.station, [])
                flags += [[f.time_ms, f.channel, f.flags.texts] for f in row.flags]
            self._readings[row.station] = self._readings.get(row.station, 0) + (i == 0)
            self.held += i == 0
        for scored in outcome.scored:
            name = scored.observation.station
            if scored.scores:
                self._steps.setdefault(name, []).append(_step(scored))
            if scored.forecasts:
                self._forecast_fields[name] = list(scored.forecasts.keys)

    def flush(self, stations: dict[str, Station], now_ms: int) -> list[Message]:
        """Give what was gathered, a message a station."""
        messages = []
        for name, rows in self._rows.items():
            self._count += 1
            alarm = stations[name].alarm
            values = {
                "format": 1,
                "id": f"{name}-{now_ms}-{self._count}",
                "gateway": self._gateway,
                "station": name,
                "level": alarm.level,
                "no_data": alarm.no_data,
                "fields": ["time_ms", "sequence", *stations[name].channels],
                "rows": rows,
                "score_fields": _SCORE_FIELDS,
                "forecast_fields": self._forecast_fields.get(name, []),
                "steps": self._steps.get(name, []),
            }
            if alarm.maintenance:  # said only where there is something to say
                values["quality"] = quality_values(alarm.maintenance)
            if name in self._flags:  # [time_ms, channel ("": the whole row), what]
                values["flags"] = self._flags[name]
            topic = f"{self._prefix}/{name}/telemetry"
            readings = self._readings.get(name, 0)
            messages.append(Message(topic, to_json(values), TELEMETRY, rows=readings))
        self._rows, self._steps, self._readings, self.held = {}, {}, {}, 0
        self._flags = {}
        return messages


def _step(scored: Scored) -> dict[str, Any]:
    return {
        "time_ms": scored.observation.time_ms,
        "scores": [
            [s.kind, s.channel, number(s.value), number(s.threshold), s.armed]
            for s in scored.scores
        ],
        "forecasts": [[number(v) for v in f.values] for f in scored.forecasts],
    }
