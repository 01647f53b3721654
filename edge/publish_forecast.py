"""The latest forecasts of each station, retained under ``<prefix>/<station>/forecast``.

Telemetry holds every step of them as bare rows; this is for whoever wants the one that stands,
with its intervals spelt out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.message import HEALTH, Message, forecast_values, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.parse_station import StationConfig
    from edge.watch import Scored


class ForecastTopic:
    """The forecasts of one gateway since the last flush."""

    def __init__(self, stations: Iterable[StationConfig], prefix: str, gateway: str) -> None:
        self._prefix = prefix
        self._gateway = gateway
        self._units = {s.name: {c.name: c.unit for c in s.channels} for s in stations}
        self._latest: dict[str, Scored] = {}

    def add(self, scored: Iterable[Scored]) -> None:
        """Take the grid steps that a reading led to."""
        for step in scored:
            if step.forecasts:
                self._latest[step.observation.station] = step

    def flush(self) -> list[Message]:
        """Give a message for each station that has a new forecast."""
        messages = [self._message(station, step) for station, step in self._latest.items()]
        self._latest = {}
        return messages

    def _message(self, station: str, step: Scored) -> Message:
        units = self._units[station]
        values: dict[str, Any] = {
            "format": 1,
            "gateway": self._gateway,
            "station": station,
            "time_ms": step.observation.time_ms,
            "forecasts": [
                forecast_values(each) | {"unit": units[each.channel]} for each in step.forecasts
            ],
        }
        # With health, not telemetry: one a station waits at most, the newest in its place.
        return Message(f"{self._prefix}/{station}/forecast", to_json(values), HEALTH, retain=True)
