"""OGC SensorThings 1.1: the newest value of a channel as an Observation of its datastream.

MQTT create: JSON under ``<root>/Datastreams(<id>)/Observations``. Chosen before Sparkplug B:
surveys and authorities collect slopes in such servers (FROST and others); Sparkplug wants
protobuf, the last will and a topic tree of its own, and its users are those of factory control.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from edge.message import TELEMETRY, Message, number, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.parse_publish import SensorThingsConfig
    from edge.pipeline import Row

ROOT = "v1.1"
_LAST_MS = 253_402_300_799_000


def iso_text(time_ms: int) -> str:
    """Write a time as ISO 8601 in UTC, to the millisecond."""
    time = datetime(1970, 1, 1) + timedelta(milliseconds=min(max(time_ms, 0), _LAST_MS))
    return time.isoformat(timespec="milliseconds") + "Z"


class Observations:
    """The newest value of each configured channel, given away no more often than asked."""

    def __init__(
        self, config: SensorThingsConfig, channels: dict[str, tuple[str, ...]], gateway: str
    ) -> None:
        self._config = config
        self._gateway = gateway
        self._places: dict[str, list[tuple[int, str, str]]] = {}
        for station, channel, stream in config.datastreams:
            place = channels[station].index(channel)
            self._places.setdefault(station, []).append((place, channel, stream))
        self._newest: dict[str, tuple[str, str, int, int, float, int]] = {}
        self._due_ms: int | None = None

    def add(self, rows: Iterable[Row], received_ms: int) -> None:
        """Take the rows of an accepted reading."""
        for row in rows:
            for place, channel, stream in self._places.get(row.station, ()):
                value = row.values[place]
                if value - value == 0.0:  # missing or refused: a gap is the honest answer
                    found = (row.station, channel, row.time_ms, row.sequence, value, received_ms)
                    self._newest[stream] = found

    def flush(self, now_ms: int) -> list[Message]:
        """Give the newest values, if it is time. A clock that was set back gives them at once."""
        every_ms = self._config.every_ms
        if self._due_ms is not None and self._due_ms - every_ms <= now_ms < self._due_ms:
            return []
        messages = [self._message(stream, *found) for stream, found in self._newest.items()]
        if messages:
            self._newest = {}
            self._due_ms = now_ms + every_ms
        return messages

    def _message(
        self, stream: str, station: str, channel: str, time_ms: int, sequence: int, value: float,
        received_ms: int,
    ) -> Message:  # fmt: skip
        values = {
            "phenomenonTime": iso_text(time_ms),
            "resultTime": iso_text(received_ms),
            "result": number(value),
            "parameters": {
                "gateway": self._gateway,
                "station": station,
                "channel": channel,
                "sequence": sequence,
            },
        }
        topic = f"{self._config.root}/Datastreams({stream})/Observations"
        # The relay marks late objects of ours, "{"; a server may refuse what it does not know.
        return Message(topic, b" " + to_json(values), TELEMETRY)
