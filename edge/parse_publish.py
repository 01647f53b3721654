"""The [publish] table of gateway.toml: what is published beside the gateway's own messages.

A table that is not there publishes nothing. CAP stays Test and Private until somebody says
otherwise: a gateway is no alerting authority.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.fields import Table
    from edge.parse_station import StationConfig

STATUSES = ("Test", "Actual", "Exercise", "Draft")
SCOPES = ("Private", "Restricted", "Public")
_TOKEN = re.compile(r"[^\s,<&]{1,256}\Z")
"""An identifier or sender of CAP: no space, comma, < or &, as references are joined by these."""
_PLAIN_TOPIC = re.compile(r"[^+#\0\s/$][^+#\0\s]*(?<!/)\Z")
_DATASTREAM = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_PLACE = re.compile(r"(-?\d{1,2}(?:\.\d{1,9})?),(-?\d{1,3}(?:\.\d{1,9})?)\Z")
_MAX_RADIUS_KM = 1000.0


@dataclass(frozen=True, slots=True)
class CapArea:
    """Where people are concerned: a polygon or a circle in the words of CAP, or only a name."""

    description: str
    polygon: str = ""
    circle: str = ""


@dataclass(frozen=True, slots=True)
class CapConfig:
    """OASIS CAP 1.2: who says it, to whom, and where."""

    sender: str
    sender_name: str = ""
    status: str = "Test"
    scope: str = "Private"
    restriction: str = ""
    addresses: tuple[str, ...] = ("operations-room",)
    event: str = "Landslide"
    instructions: tuple[str, ...] = ()
    """What people should do at levels 1 to 4; none: it says nothing of it."""
    web: str = ""
    contact: str = ""
    from_level: int = 1
    areas: tuple[tuple[str, CapArea], ...] = ()
    """(station, area)."""


@dataclass(frozen=True, slots=True)
class SensorThingsConfig:
    """OGC SensorThings 1.1: which channel is which datastream of the server."""

    root: str
    every_ms: int
    datastreams: tuple[tuple[str, str, str], ...]
    """(station, channel, id as it stands in the topic)."""


@dataclass(frozen=True, slots=True)
class PublishConfig:
    """What is published beside the gateway's own messages; by itself nothing."""

    forecast: bool = False
    cap: CapConfig | None = None
    home_assistant: str = ""
    """Its discovery prefix; "": none."""
    sensorthings: SensorThingsConfig | None = None


NOTHING = PublishConfig()


def parse_publish(
    t: Table, stations: tuple[StationConfig, ...], encoding: str = "json"
) -> PublishConfig:
    """Read the table; ``encoding`` is that of telemetry."""
    cap, home, things = (t.table(key) for key in ("cap", "home_assistant", "sensorthings"))
    publish = PublishConfig(
        forecast=t.flag("forecast", default=False),
        cap=_cap(cap, stations) if t.has("cap") else None,
        home_assistant=_home(home) if t.has("home_assistant") else "",
        sensorthings=_things(things, stations) if t.has("sensorthings") else None,
    )
    for key in ("home_assistant", "sensorthings"):
        if t.has(key) and encoding != "json":
            t.wrong(key, f"reads JSON: not with mqtt.telemetry_encoding = {encoding!r}")
    t.done()
    return publish


def _home(t: Table) -> str:
    prefix = _topic(t, "prefix", "homeassistant")
    t.done()
    return prefix


def _topic(t: Table, key: str, default: str) -> str:
    topic = t.text(key, default)
    if not _PLAIN_TOPIC.match(topic):
        t.wrong(key, f"{topic!r}: a plain topic such as {default!r}")
    return topic


def _cap(t: Table, stations: tuple[StationConfig, ...]) -> CapConfig:
    cap = CapConfig(
        sender=t.text("sender"),
        sender_name=t.text("sender_name", ""),
        status=t.text("status", "Test", choices=STATUSES),
        scope=t.text("scope", "Private", choices=SCOPES),
        restriction=t.text("restriction", ""),
        addresses=t.texts("addresses", ["operations-room"]),
        event=t.text("event", "Landslide"),
        instructions=t.texts("instructions", []),
        web=t.text("web", ""),
        contact=t.text("contact", ""),
        from_level=t.integer("from_level", 1, low=1, high=4),
        areas=_areas(t.table("area"), tuple(station.name for station in stations)),
    )
    if not _TOKEN.match(cap.sender):
        t.wrong("sender", f"{cap.sender!r}: a name such as 'slope-7@geo.example.org', without "
                "spaces, commas, '<' or '&'")  # fmt: skip
    if (cap.scope == "Restricted") != bool(cap.restriction):
        t.wrong("restriction", "goes with scope 'Restricted', and that with it")
    if any(not a.strip() or '"' in a for a in cap.addresses):
        t.wrong("addresses", "names that are not empty, without '\"'")
    if cap.scope == "Private" and not cap.addresses:
        t.wrong("addresses", "scope 'Private' needs somebody whom it is for")
    if not cap.event.strip():
        t.wrong("event", "must say what it is about")
    if len(cap.instructions) not in (0, 4):
        t.wrong("instructions", "four texts, for levels 1 to 4")
    placed = {name for name, area in cap.areas if area.polygon or area.circle}
    lacking = [station.name for station in stations if station.name not in placed]
    if cap.status == "Actual" and lacking:
        t.wrong("area", f"status 'Actual' needs a polygon or circle for {', '.join(lacking)}")
    t.done()
    return cap


def _areas(t: Table, stations: tuple[str, ...]) -> tuple[tuple[str, CapArea], ...]:
    found = []
    for name, _ in t.items():
        area = t.table(name)
        if name not in stations:
            t.wrong(name, f"no such station; there are: {', '.join(stations)}")
        found.append((name, _area(area, name)))
    return tuple(found)


def _area(t: Table, station: str) -> CapArea:
    area = CapArea(t.text("description", station), t.text("polygon", ""), t.text("circle", ""))
    if not area.description.strip():
        t.wrong("description", "must say where it is")
    corners = area.polygon.split()
    if area.polygon and not (
        all(map(_on_earth, corners)) and len(corners) >= 4 and corners[0] == corners[-1]
    ):
        t.wrong("polygon", "'lat,lon lat,lon ...', four or more, the last one the first again")
    if area.circle:
        place, _, radius = area.circle.partition(" ")
        if not (_on_earth(place) and _is_radius(radius)):
            t.wrong("circle", "'lat,lon radius', the radius in km")
    t.done()
    return area


def _on_earth(place: str) -> bool:
    found = _PLACE.match(place)
    return found is not None and abs(float(found[1])) <= 90 and abs(float(found[2])) <= 180


def _is_radius(text: str) -> bool:
    if not re.fullmatch(r"\d{1,4}(\.\d{1,6})?", text):
        return False
    return 0 < float(text) <= _MAX_RADIUS_KM


def _things(t: Table, stations: tuple[StationConfig, ...]) -> SensorThingsConfig:
    known = {(station.name, channel.name) for station in stations for channel in station.channels}
    streams = t.table("datastreams", required=True)
    found = []
    for key, value in streams.items():
        station, _, channel = key.partition("/")
        stream = _datastream(value)
        if (station, channel) not in known:
            streams.wrong(key, "no such channel: write 'station/channel'")
        if not stream:
            streams.wrong(key, "the id of a datastream of the server: a number or a short text")
        found.append((station, channel, stream))
    if len({stream for _, _, stream in found}) != len(found):
        t.wrong("datastreams", "one id for two channels")
    every_ms = round(1000 * t.number("every_s", 60.0, low=0.0, high=86_400.0))
    things = SensorThingsConfig(_topic(t, "root", "v1.1"), every_ms, tuple(found))
    t.done()
    return things


def _datastream(value: object) -> str:
    """Return the id as it stands between the brackets; "" where it can be none."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return str(value)
    if isinstance(value, str) and _DATASTREAM.match(value):
        return f"'{value}'"
    return ""
