"""Telemetry gathered until it is worth a message: rows and scores, a station each.

Names stand once in a message, under ``..._fields``; rows and steps hold values alone, as a field
link is paid for by the byte. A forecast row holds its quantiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from edge.message import TELEMETRY, Message, quality_values, to_json
from edge.row_text import listed, row_text, step_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.pipeline import Outcome
    from edge.station import Station

Taken: TypeAlias = tuple[str, str, list[Any], int]
MAX_ROWS = 50
"""Rows after which a message leaves before its time."""
_SCORE_FIELDS = ("kind", "channel", "value", "threshold", "armed")


class Batch:
    """Rows and grid steps of all stations since the last flush."""

    def __init__(self, prefix: str, gateway: str) -> None:
        self._prefix = prefix
        self._gateway = gateway
        self._rows: dict[str, list[str]] = {}
        self._steps: dict[str, list[str]] = {}
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

    def add(self, outcome: Outcome) -> list[Taken]:
        """Take what an accepted reading led to; the reading is counted with its first row.

        Returns its rows, as `add_row` takes them.
        """
        taken = []
        for i, row in enumerate(outcome.rows):
            text = row_text(row.time_ms, row.sequence, row.values)
            flags = [[f.time_ms, f.channel, f.flags.texts] for f in row.flags]
            taken.append((row.station, text, flags, int(i == 0)))
            self.add_row(*taken[-1])
        for scored in outcome.scored:
            name = scored.observation.station
            if scored.scores:
                self._steps.setdefault(name, []).append(step_text(scored))
            if scored.forecasts:
                self._forecast_fields[name] = list(scored.forecasts.keys)
        return taken

    def add_row(self, station: str, text: str, flags: list[Any], counted: int) -> None:
        """Take a row as text; ``counted``: how many readings it stands for, 0 or 1."""
        self._rows.setdefault(station, []).append(text)
        if flags:
            self._flags.setdefault(station, []).extend(flags)
        self._readings[station] = self._readings.get(station, 0) + counted
        self.held += counted

    def flush(self, stations: dict[str, Station], now_ms: int) -> list[Message]:
        """Give what was gathered, a message a station."""
        messages = []
        for name, rows in self._rows.items():
            self._count += 1
            alarm = stations[name].alarm
            values: dict[str, Any] = {
                "format": 1,
                "id": f"{name}-{now_ms}-{self._count}",
                "gateway": self._gateway,
                "station": name,
                "level": alarm.level,
                "no_data": alarm.no_data,
                "fields": ["time_ms", "sequence", *stations[name].channels],
                "score_fields": _SCORE_FIELDS,
                "forecast_fields": self._forecast_fields.get(name, []),
            }
            if alarm.maintenance:  # said only where there is something to say
                values["quality"] = quality_values(alarm.maintenance)
            if name in self._flags:  # [time_ms, channel ("": the whole row), what]
                values["flags"] = self._flags[name]
            steps = self._steps.get(name, [])
            more = f',"rows":{listed(rows)},"steps":{listed(steps)}}}'
            payload = to_json(values)[:-1] + more.encode()
            topic = f"{self._prefix}/{name}/telemetry"
            readings = self._readings.get(name, 0)
            messages.append(Message(topic, payload, TELEMETRY, rows=readings))
        self._rows, self._steps, self._readings, self.held = {}, {}, {}, 0
        self._flags = {}
        return messages
