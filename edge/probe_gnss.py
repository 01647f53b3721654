"""Recognising a GNSS receiver by its NMEA sentences and UBX messages. Pure."""

from __future__ import annotations

import math
from collections import Counter

from edge.probe_finding import Finding
from firmware_bridge.gnss_plan import FIX_RANK, LEAST_FIX, Origin
from firmware_bridge.gnss_stream import GnssStream
from firmware_bridge.messages import Malformed
from firmware_bridge.nmea import Gga, Sentence, decode_sentence
from firmware_bridge.ubx import (
    HighPrecisionPosition,
    Pvt,
    RelativePosition,
    UbxMessage,
    decode_message,
)

_NAMES = {
    (0x01, 0x07): "NAV-PVT",
    (0x01, 0x14): "NAV-HPPOSLLH",
    (0x01, 0x21): "NAV-TIMEUTC",
    (0x01, 0x3C): "NAV-RELPOSNED",
}
_SOURCES = (  # the best first
    ("relposned", RelativePosition),
    ("hpposllh", HighPrecisionPosition),
    ("pvt", Pvt),
    ("gga", Gga),
)
_FIXES = {1: "autonomous", 2: "differential", 3: "PPS", 4: "RTK fixed", 5: "RTK float"}
_Place = HighPrecisionPosition | Pvt | Gga
_ENOUGH_SENTENCES = 2
"""Eight bits guard a sentence: one alone may be chance."""


def recognise_gnss(data: bytes) -> Finding | None:
    """Look at what came in; None if it is no GNSS receiver."""
    items = [i for i in GnssStream().receive(data) if isinstance(i, UbxMessage | Sentence)]
    sentences = sum(isinstance(item, Sentence) for item in items)
    if sentences < _ENOUGH_SENTENCES and sentences == len(items):
        return None
    kinds = Counter(_named(item) for item in items)
    values = [value for item in items if (value := _decoded(item)) is not None]
    seen = [", ".join(f"{kind} x{count}" for kind, count in sorted(kinds.items()))]
    for source, kind in _SOURCES:
        if any(isinstance(value, kind) for value in values):
            return _finding(source, values, seen)
    return Finding("gnss", (*seen, "none of them tells a position: set the receiver to"), (), False)


def _decoded(item: UbxMessage | Sentence) -> object:
    value = decode_sentence(item) if isinstance(item, Sentence) else decode_message(item)
    return None if isinstance(value, Malformed) else value


def _named(item: UbxMessage | Sentence) -> str:
    if isinstance(item, Sentence):
        return item.type
    return _NAMES.get(item.kind, f"UBX {item.kind[0]:02x}-{item.kind[1]:02x}")


def _finding(source: str, values: list[object], seen: list[str]) -> Finding:
    qualities = [v.quality for v in values if isinstance(v, RelativePosition | Pvt | Gga)]
    best = max(qualities, key=lambda quality: FIX_RANK.get(quality, 0), default=0)
    rank = FIX_RANK.get(best, 0)
    seen.append(f"best fix: {_FIXES.get(best, 'none')}")
    table = ["[port.gnss]", f'source = "{source}"']
    origin = None if source == "relposned" else _origin(values)
    if source != "relposned" and origin is None:
        seen.append("no position yet: give it a view of the sky, then probe again")
        return Finding("gnss", tuple(seen), (*table, 'channels = ["fix_quality"]'), whole=False)
    table.append('channels = ["east_mm", "north_mm", "up_mm", "fix_quality"]')
    least = next((name for name, needed in LEAST_FIX.items() if needed == rank), "fixed")
    raise_it = '  # raise it to "fixed" once RTK works' if least != "fixed" else ""
    table.append(f'least_fix = "{least}"{raise_it}')
    if origin is not None:
        table += [
            "",
            "[port.gnss.origin]  # where it is now: survey it once and never change it after",
            f"latitude_deg = {origin.latitude_deg:.9f}",
            f"longitude_deg = {origin.longitude_deg:.9f}",
            f"height_m = {origin.height_m:.4f}",
        ]
    return Finding("gnss", tuple(seen), tuple(table))


def _origin(values: list[object]) -> Origin | None:
    """Give the last position that was told, of the best kind."""
    for kind in (HighPrecisionPosition, Pvt, Gga):
        for value in reversed(values):
            if isinstance(value, kind) and _is_position(value):
                return Origin(value.latitude_deg, value.longitude_deg, value.height_m)
    return None


def _is_position(value: _Place) -> bool:
    fixed = value.valid if isinstance(value, HighPrecisionPosition) else value.quality > 0
    place = (value.latitude_deg, value.longitude_deg, value.height_m)
    sane = all(map(math.isfinite, place)) and -1000 <= value.height_m <= 10_000
    return fixed and sane and abs(value.latitude_deg) <= 90 and abs(value.longitude_deg) <= 180
