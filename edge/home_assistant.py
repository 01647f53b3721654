"""Home Assistant MQTT discovery: a device a station, that reads the gateway's own JSON.

Retained under ``<discovery prefix>/<component>/<gateway>/<object>/config``. Nothing else is
published for it; values come with the telemetry.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.alarm import LEVELS
from edge.message import HEALTH, Message, to_json

if TYPE_CHECKING:
    from edge.config import Config
    from edge.parse_channels import ChannelConfig
    from edge.parse_station import StationConfig

PREFIX = "homeassistant"
COMPONENTS = ("sensor", "binary_sensor")
_UNITS = {"degC": "°C", "deg": "°", "m3/m3": "m³/m³", "ohm": "Ω", "raw": "", "1": ""}
_CLASSES = {
    "degC": "temperature", "V": "voltage", "Hz": "frequency", "kPa": "pressure",
    "mm": "distance", "m": "distance", "mm/h": "precipitation_intensity",
}  # fmt: skip
"""Device classes by unit; one that does not know the unit of a channel would refuse it."""
_AVAILABLE = "{{ 'online' if value_json.online else 'offline' }}"
_VALUE = (
    "{{{{ '' if value_json.replayed | default(false) else value_json.rows | map(attribute={place})"
    " | reject('none') | list | last | default('') }}}}"
)
"""The newest value of a channel; '' leaves the last one. A 0.0 is a value like any other."""


def discovery(config: Config, prefix: str) -> list[Message]:
    """Return all that Home Assistant has to know."""
    messages = [_gateway(config, prefix)]
    for station in config.stations:
        messages += _alarm(config, prefix, station)
        messages += [_channel(config, prefix, station, i) for i in range(len(station.channels))]
    return messages


def withdrawn(topics: list[str], messages: list[Message]) -> list[Message]:
    """Return what takes back entities that are no longer there: an empty text, retained."""
    still = {message.topic for message in messages}
    return [Message(t, b"", HEALTH, retain=True) for t in topics if t not in still]


def _gateway(config: Config, prefix: str) -> Message:
    values = {
        "name": "Broker connection",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": f"{prefix}/status",
        "value_template": "{{ 'ON' if value_json.online else 'OFF' }}",
        "device": _device(config.name, ""),
    }
    return _message(config, "binary_sensor", ("status",), values)


def _alarm(config: Config, prefix: str, station: StationConfig) -> list[Message]:
    common = {
        "state_topic": f"{prefix}/{station.name}/state",
        "json_attributes_topic": f"{prefix}/{station.name}/state",
        "availability": _availability(prefix),
        "device": _device(config.name, station.name),
    }
    level = {"name": "Alarm level", "icon": "mdi:landslide", "state_class": "measurement",
             "value_template": "{{ value_json.level }}"}  # fmt: skip
    word = {"name": "Alarm", "icon": "mdi:landslide", "device_class": "enum",
            "options": list(LEVELS),
            "value_template": "{{ value_json.level_name }}"}  # fmt: skip
    no_data = {"name": "No data", "device_class": "problem",
               "value_template": "{{ 'ON' if value_json.no_data else 'OFF' }}"}  # fmt: skip
    return [
        _message(config, "sensor", (station.name, "alarm", "level"), common | level),
        _message(config, "sensor", (station.name, "alarm", "name"), common | word),
        _message(config, "binary_sensor", (station.name, "alarm", "no_data"), common | no_data),
    ]


def _channel(config: Config, prefix: str, station: StationConfig, i: int) -> Message:
    channel = station.channels[i]
    quiet_ms = max(station.no_data_after_ms, 3 * config.telemetry_every_ms, 1000)
    values: dict[str, Any] = {
        "name": channel.name,
        "state_topic": f"{prefix}/{station.name}/telemetry",
        "value_template": _VALUE.format(place=2 + i),  # after time and sequence
        "state_class": "measurement",
        "expire_after": -(-quiet_ms // 1000),  # a sensor that died must not look alive
        "availability": _availability(prefix),
        "device": _device(config.name, station.name),
    }
    unit = _UNITS.get(channel.unit, channel.unit)
    if unit:
        values["unit_of_measurement"] = unit
    known = _device_class(channel)
    if known:
        values["device_class"] = known
    return _message(config, "sensor", (station.name, "channel", channel.name), values)


def _device_class(channel: ChannelConfig) -> str:
    if channel.quantity == "rainfall" and channel.unit in ("mm", "m"):
        return "precipitation" if channel.unit == "mm" else ""
    if channel.quantity == "barometric_pressure" and channel.unit == "kPa":
        return "atmospheric_pressure"
    if channel.unit == "mm/h" and channel.quantity != "rainfall":
        return "speed"
    return _CLASSES.get(channel.unit, "")


def _availability(prefix: str) -> list[dict[str, str]]:
    return [{"topic": f"{prefix}/status", "value_template": _AVAILABLE}]


def _device(gateway: str, station: str) -> dict[str, Any]:
    name = f"{gateway} {station}".strip()
    values: dict[str, Any] = {
        "identifiers": [f"talus/{gateway}/{station}".rstrip("/")],
        "name": name,
        "manufacturer": "Talus",
        "model": "slope" if station else "gateway",
        "sw_version": __version__,
    }
    if station:
        values["via_device"] = f"talus/{gateway}"
    return values


def _message(
    config: Config, component: str, parts: tuple[str, ...], values: dict[str, Any]
) -> Message:
    own = {
        "unique_id": "/".join(("talus", config.name, *parts)),
        "origin": {"name": "Talus", "sw_version": __version__},
        "qos": 1,
    }
    place = f"{component}/{in_topic(config.name)}/{in_topic('/'.join(parts))}"
    topic = f"{config.publish.home_assistant}/{place}/config"
    return Message(topic, to_json(values | own), HEALTH, retain=True)


def in_topic(name: str) -> str:
    """Return a name of letters, digits, '_' and '-' alone; two names never become one."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return plain if plain == name else f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
