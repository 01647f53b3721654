"""The [port.sdi12] table of gateway.toml: the sensors of the bus, and what is asked of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.sdi12_frame import is_address, verb_of
from firmware_bridge.sdi12_plan import (
    COMMANDS,
    MAX_PERIOD_S,
    MAX_WAIT_S,
    MISSING,
    Sdi12Plan,
    Sdi12Sensor,
)

if TYPE_CHECKING:
    from edge.fields import Table


def parse_sdi12(t: Table) -> Sdi12Plan | None:
    """Read the table; None, and the mistakes noted, where it is wrong."""
    gap_ms = t.integer("gap_ms", 20, low=17, high=1000)
    framing = tuple(_framing(t, key) for key in ("prefix", "suffix"))
    found = tuple(_sensor(sensor) for sensor in t.tables("sensor", at_least=1))
    t.done()
    sensors = tuple(sensor for sensor in found if sensor is not None)
    if not sensors or len(sensors) < len(found) or None in framing:
        return None
    prefix, suffix = (each or b"" for each in framing)
    try:
        return Sdi12Plan(sensors=sensors, gap_ms=gap_ms, prefix=prefix, suffix=suffix)
    except ValueError as error:
        t.mistakes.add(t.path, str(error))
        return None


def _framing(t: Table, key: str) -> bytes | None:
    text = t.text(key, "")
    if text.isascii():
        return text.encode()
    t.wrong(key, f"{text!r}: ASCII only, such as '\\r'")
    return None


def _sensor(t: Table) -> Sdi12Sensor | None:
    address, name = t.text("address"), t.text("name")
    command = t.text("command", "MC")
    if t.has("address") and not is_address(address):
        t.wrong("address", f"{address!r} is not one of '0'-'9', 'a'-'z', 'A'-'Z'")
    if t.has("name") and not name:
        t.wrong("name", "must not be empty")
    if verb_of(command) is None:
        t.wrong("command", f"{command!r} is not one of {COMMANDS}")
    places = t.table("channels")
    channels = tuple((channel, places.integer(channel, high=98)) for channel, _ in places.items())
    if not channels:
        t.wrong("channels", "name the values to read and their places, as in {moisture = 0}")
    period_s = t.number("period_s", low=0.1, high=MAX_PERIOD_S)
    timeout_ms = t.integer("timeout_ms", 1000, low=20, high=60_000)
    retries = t.integer("retries", 3, high=20)
    max_wait_s = t.integer("max_wait_s", 120, high=MAX_WAIT_S)
    missing = t.numbers("missing", list(MISSING))
    t.done()
    if not is_address(address) or verb_of(command) is None or not channels or not name:
        return None
    if period_s != period_s:  # not given, and noted
        return None
    try:
        return Sdi12Sensor(
            address=address,
            name=name,
            command=command,
            channels=channels,
            period_s=period_s,
            timeout_ms=timeout_ms,
            retries=retries,
            max_wait_s=max_wait_s,
            missing=missing,
        )
    except ValueError as error:
        t.mistakes.add(t.path, str(error))
        return None
