"""What `talus watch` knows of the gateways: taken from their messages, shown as lines. Pure.

Whatever comes may come from anybody: every text is cut and made printable before it is kept, every
number checked, and no list grows without end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from edge.alarm import LEVELS

MAX_GATEWAYS = 64
MAX_EACH = 256
"""Stations, and ports, of one gateway."""
MAX_ALARMS = 10
MAX_IDS = 512
MAX_TEXT = 160
_MAX_MS = 2**53
LIVE_STATES = ("opened", "maintenance")


@dataclass(slots=True)
class StationView:
    """How a station stands, as far as it is known."""

    level: int | None = None
    no_data: bool = False
    silent: tuple[str, ...] = ()
    latched: bool = False
    acknowledged_by: str = ""
    shelved: int = 0
    latest_ms: int = 0
    """Time of the newest reading; 0: none heard."""
    trial: str = ""
    """The bundle that is tried here."""
    trial_steps: str = ""

    def words(self) -> str:
        """Say it in a line."""
        level = "level ?" if self.level is None else f"level {self.level} {LEVELS[self.level]}"
        more = [level]
        if self.no_data:
            more.append("NO-DATA")
        elif self.silent:
            more.append(f"silent: {', '.join(self.silent)}")
        if self.latched:
            more.append("latched")
        if self.acknowledged_by:
            more.append(f"acknowledged by {self.acknowledged_by}")
        if self.shelved:
            more.append(f"{self.shelved} shelved")
        return ", ".join(more)


@dataclass(slots=True)
class GatewayView:
    """How a gateway is, as far as it is known."""

    online: bool | None = None
    version: str = ""
    health_ms: int = 0
    outbox_messages: int | None = None
    outbox_bytes: int = 0
    second_path: bool = False
    ports: dict[str, tuple[str, int]] = field(default_factory=dict)
    """State, and when the last reading came."""
    stations: dict[str, StationView] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlarmView:
    """One alarm event."""

    time_ms: int
    gateway: str
    station: str
    level: int
    words: str


class View:
    """All gateways under one topic. `take` gives a line for each change."""

    def __init__(self, topic: str) -> None:
        self._prefix = topic + "/"
        self.gateways: dict[str, GatewayView] = {}
        self.alarms: deque[AlarmView] = deque(maxlen=MAX_ALARMS)
        """The newest last."""
        self._ids: deque[str] = deque(maxlen=MAX_IDS)
        self.ignored = 0

    def take(self, topic: str, values: Any) -> list[str]:
        """Take one message; gives what changed, in words."""
        levels = topic.removeprefix(self._prefix).split("/")
        known = topic.startswith(self._prefix) and isinstance(values, dict)
        if not known or not 2 <= len(levels) <= 3 or not all(map(plain, levels)):
            self.ignored += 1
            return []
        name = plain(levels[0])
        gateway = self.gateways.get(name)
        if gateway is None:
            if len(self.gateways) >= MAX_GATEWAYS:
                self.ignored += 1
                return []
            gateway = self.gateways[name] = GatewayView()
        if len(levels) == 2:
            take = {"status": self._status, "health": self._health}.get(levels[1])
            return [] if take is None else [f"{name} {line}" for line in take(gateway, values)]
        return self._of_station(name, plain(levels[1]), levels[2], values)

    def _of_station(self, name: str, station: str, kind: str, values: dict[str, Any]) -> list[str]:
        stations = self.gateways[name].stations
        full = station not in stations and len(stations) >= MAX_EACH
        if kind not in {"alarm", "state", "telemetry"} or full:
            self.ignored += 1
            return []
        view = stations.setdefault(station, StationView())
        if kind == "telemetry":
            _telemetry(view, values)
            return []
        if kind == "alarm":
            return self._alarm(name, station, view, values)
        before = view.words()
        _state(view, values)
        return [f"{name}/{station} {view.words()}"] if view.words() != before else []

    def _status(self, gateway: GatewayView, values: dict[str, Any]) -> list[str]:
        online = values.get("online")
        gateway.version = plain(values.get("version")) or gateway.version
        if not isinstance(online, bool) or online == gateway.online:
            return []
        gateway.online = online
        return [f"is {'online' if online else 'OFFLINE'}"]

    def _health(self, gateway: GatewayView, values: dict[str, Any]) -> list[str]:
        gateway.health_ms = whole(values.get("time_ms")) or 0
        outbox = values.get("outbox")
        if isinstance(outbox, dict):
            gateway.outbox_messages = whole(outbox.get("messages"))
            gateway.outbox_bytes = whole(outbox.get("bytes")) or 0
        lines = []
        second = values.get("second_path")
        is_open = isinstance(second, dict) and second.get("open") is True
        if is_open != gateway.second_path:
            gateway.second_path = is_open
            lines.append(f"second path is {'open' if is_open else 'closed'}")
        ports = values.get("ports")
        for port, each in list(ports.items())[:MAX_EACH] if isinstance(ports, dict) else ():
            if isinstance(each, dict):
                lines += _port(gateway, plain(port), each)
        return lines + _trials(gateway, values.get("remote"))

    def _alarm(
        self, name: str, station: str, view: StationView, values: dict[str, Any]
    ) -> list[str]:
        alarm_id = plain(values.get("id"))
        level = _level(values.get("level"))
        if not alarm_id or alarm_id in self._ids or level is None:
            return []
        self._ids.append(alarm_id)
        late = " (late)" if values.get("replayed") is True else ""
        drill = values.get("kind") == "drill"
        if not drill:
            _state(view, values)
        reason = plain(values.get("reason"))
        words = f"level {level} {LEVELS[level]}: {reason}{late}"
        time_ms = whole(values.get("time_ms")) or 0
        self.alarms.append(AlarmView(time_ms, name, station, level, words))
        return [f"{name}/{station} {'DRILL ' if drill else ''}{words}"]


def _state(view: StationView, values: dict[str, Any]) -> None:
    level, silent, shelved = (
        _level(values.get("level")),
        values.get("silent"),
        values.get("shelved"),
    )
    view.level = view.level if level is None else level
    view.no_data = values.get("no_data") is True
    view.silent = tuple(map(plain, silent[:MAX_ALARMS])) if isinstance(silent, list) else ()
    view.latched = values.get("latched") is True
    view.acknowledged_by = plain(values.get("acknowledged_by"))
    view.shelved = len(shelved) if isinstance(shelved, dict) else 0


def _trials(gateway: GatewayView, remote: object) -> list[str]:
    """Take which bundles are tried where; gives what is new in it."""
    told = remote.get("trial") if isinstance(remote, dict) else None
    lines = []
    for name, view in gateway.stations.items():
        each = told.get(name) if isinstance(told, dict) else None
        each = each if isinstance(each, dict) else {}
        before, view.trial = view.trial, plain(each.get("bundle"))
        steps, of = whole(each.get("steps")), whole(each.get("of_steps"))
        view.trial_steps = f", {steps or 0} of {of} steps" if view.trial and of else ""
        if view.trial != before:
            begun = f"tries {view.trial}" if view.trial else f"tries {before} no longer"
            lines.append(f"station {name} {begun}")
    return lines


def _telemetry(view: StationView, values: dict[str, Any]) -> None:
    rows = values.get("rows")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, list) and row and (time_ms := whole(row[0])):
            view.latest_ms = max(view.latest_ms, time_ms)


def _port(gateway: GatewayView, name: str, values: dict[str, Any]) -> list[str]:
    state, latest_ms = plain(values.get("state")), whole(values.get("last_reading_ms")) or 0
    before = gateway.ports.get(name)
    if before is None and len(gateway.ports) >= MAX_EACH:
        return []
    gateway.ports[name] = (state, latest_ms)
    return [] if before is not None and before[0] == state else [f"port {name}: {state}"]


def plain(value: object) -> str:
    """Give a text that may be shown: cut, and without what moves a cursor; "" where it is none."""
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else "?" for c in value[:MAX_TEXT])


def whole(value: object) -> int | None:
    """Give a count or a time; None where it is none."""
    return value if type(value) is int and 0 <= value < _MAX_MS else None


def _level(value: object) -> int | None:
    found = whole(value)
    return found if found is not None and found < len(LEVELS) else None
