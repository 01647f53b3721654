"""What `talus probe` finds on a line, and the [[port]] stanza for it: pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from firmware_bridge.uart_frame import FRAME

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_UNNAMED = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """A protocol that was recognised, and what is known of it."""

    protocol: str
    seen: tuple[str, ...]
    """For people: what came, one fact each."""
    table: tuple[str, ...]
    """Lines of TOML: the protocol's own table."""
    whole: bool = True
    """Whether there is nothing more to learn by listening on."""
    frame: str = FRAME


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was found."""

    device: str
    """By its stable name."""
    baud: int
    frame: str = FRAME


def is_readable(finding: Finding) -> bool:
    """Say whether a port can be configured by what is known; a TW1 node tells the rest itself."""
    return finding.protocol == "tw1" or bool(finding.table)


def stanza(place: Place, finding: Finding) -> list[str]:
    """Give the lines of TOML to paste into gateway.toml."""
    lines = [
        "[[port]]",
        f"name = {text(port_name(place.device, finding.protocol))}",
        f"device = {text(place.device)}",
        f"baud = {place.baud}",
    ]
    if place.frame != FRAME:
        lines.append(f"frame = {text(place.frame)}")
    lines.append(f"protocol = {text(finding.protocol)}")
    return [*lines, *([""] if finding.table else []), *finding.table]


def port_name(device: str, protocol: str) -> str:
    """Give a short name for a port: the protocol and the end of the device's name."""
    tail = device.rsplit("/", 1)[-1].removeprefix("usb:")
    serial_number = re.search(r"_([A-Za-z0-9]+)-if\d+", tail)
    short = serial_number[1] if serial_number else tail
    return f"{protocol}-{_UNNAMED.sub('-', short).strip('-')[-24:] or 'port'}"


def plain(said: str) -> str:
    """Give what a device says of itself as may stand in a comment and on a terminal."""
    return "".join(c if c.isprintable() else "?" for c in said)


def text(value: str) -> str:
    """Write a TOML basic string."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """Write a TOML key, quoted where it must be."""
    return name if _BARE.match(name) else text(name)
