"""What a gateway publishes beside its own messages: what stands at the start, and [publish].

Everything leaves through the outbox; what later messages depend on is stored with them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge import home_assistant
from edge.alarm import LEVELS
from edge.message import ALARM, Message, quality_values, to_json
from edge.parse_publish import NOTHING
from edge.publish_forecast import ForecastTopic
from edge.sensorthings import Observations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.alarm import AlarmChange
    from edge.config import Config
    from edge.pipeline import Outcome
    from edge.station import Station

PUBLISHED = "published"
"""Its name among the states of the outbox."""
_UNUSABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class Publisher:
    """The further messages of one gateway; without [publish] it says what stands, once."""

    def __init__(self, config: Config, prefix: str, saved: bytes | None = None) -> None:
        self._config = config
        self._prefix = prefix
        wanted, name = config.publish, config.name
        self._forecasts = ForecastTopic(config.stations, prefix, name) if wanted.forecast else None
        self._things = self._cap = None
        if wanted.sensorthings is not None:
            channels = {s.name: tuple(c.name for c in s.channels) for s in config.stations}
            self._things = Observations(wanted.sensorthings, channels, name)
        if wanted.cap is not None:
            from edge.publish_cap import CapTopic  # XML is loaded where it is used

            self._cap = CapTopic(wanted.cap, prefix, name)
        self._discovered: list[str] = []
        """Topics under which Home Assistant was told of something."""
        self._kept_cap: dict[str, Any] = {}
        """What was out while CAP is switched off: it may be switched on again."""
        self.notes: list[str] = []
        self._used = saved is not None or wanted != NOTHING
        if saved is not None:
            self._restore(saved)

    def birth(self, stations: Mapping[str, Station], now_ms: int) -> list[Message]:
        """Return what is to be said once, at the start: also the level that stands.

        Whoever comes to the broker before anything changes would find none, or an older one.
        """
        wanted: list[Message] = []
        if self._config.publish.home_assistant:
            wanted = home_assistant.discovery(self._config, self._prefix)
        gone = home_assistant.withdrawn(self._discovered, wanted)
        self._discovered = [message.topic for message in wanted]
        return gone + wanted + [self._standing(station, now_ms) for station in stations.values()]

    def _standing(self, station: Station, now_ms: int) -> Message:
        alarm = station.alarm
        values = {
            "format": 1,
            "id": f"{station.name}-{now_ms}-start",
            "gateway": self._config.name,
            "station": station.name,
            "time_ms": now_ms,
            "level": alarm.level,
            "level_name": LEVELS[alarm.level],
            "no_data": alarm.no_data,
            "silent": list(alarm.silent),
            "quality": quality_values(alarm.maintenance),
            "latched": alarm.latched,
            "acknowledged_by": alarm.acknowledged_by,
            "shelved": dict(alarm.shelved),
            "reason": f"level {alarm.level} stands at the start of this gateway",
            "bundle": "none" if station.watch is None else station.watch.label,
        }
        topic = f"{self._prefix}/{station.name}/state"
        return Message(topic, to_json(values), ALARM, retain=True)

    def add(self, outcome: Outcome, received_ms: int) -> None:
        """Take what an accepted reading led to."""
        if self._forecasts is not None:
            self._forecasts.add(outcome.scored)
        if self._things is not None:
            self._things.add(outcome.rows, received_ms)

    def flush(self, now_ms: int) -> list[Message]:
        """Give what was gathered; for whenever telemetry leaves."""
        found = [] if self._forecasts is None else self._forecasts.flush()
        return found if self._things is None else found + self._things.flush(now_ms)

    def alarm(self, change: AlarmChange) -> list[Message]:
        """Give what is to be said of a change, to be stored together with ``state``."""
        return [] if self._cap is None else self._cap.alarm(change)

    def state(self) -> dict[str, bytes]:
        """Return what to keep, by name."""
        if not self._used:
            return {}
        out = self._kept_cap if self._cap is None else self._cap.snapshot()
        return {PUBLISHED: to_json({"cap": out, "discovered": self._discovered})}

    def _restore(self, saved: bytes) -> None:
        try:
            state = json.loads(saved)
            discovered = [str(topic) for topic in state["discovered"]]
            out = dict(state["cap"])
            if self._cap is None:
                self._kept_cap = out
            else:
                stations = [station.name for station in self._config.stations]
                self.notes += self._cap.restore(out, stations)
        except _UNUSABLE as error:
            self.notes.append(f"publish: the saved state cannot be used ({error!r})")
            return
        sound = (topic for topic in discovered if topic.endswith("/config"))
        self._discovered = [topic for topic in sound if not set(topic) & set("+#\0")]
