"""NMEA 0183 sentences: `$...*hh` found and checked, and GGA, RMC and GST decoded. No I/O.

Fields as in NMEA 0183 4.11 and the u-blox F9 interface description (UBX-22008968). A sentence
without a checksum is not believed. Decoding never raises: damage is a value.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from firmware_bridge.messages import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SENTENCE = 512
"""Longest sentence, bytes from `$` to the checksum. The standard has 82; u-blox sends more."""
DAY_MS = 86_400_000
NO_FIX = 0
AUTONOMOUS = 1
DIFFERENTIAL = 2
RTK_FIXED = 4
RTK_FLOAT = 5

_BODY = re.compile(rb"\$[ -#%-)+-~]*")  # printable, and neither of the reserved `$` and `*`
_ADDRESS = re.compile(rb"\$[A-Z][A-Z0-9]{2,9},")
_HEX = re.compile(rb"[0-9A-Fa-f]{2}")
_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{0,12})?", re.ASCII)
_TIME = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})(\.[0-9]{0,9})?", re.ASCII)
_DATE = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})", re.ASCII)
_ANGLE = re.compile(r"([0-9]{2,3})([0-9]{2}(?:\.[0-9]{0,12})?)", re.ASCII)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_LAST_DATED = 80
"""Two-digit years from here on are 19xx."""


@dataclass(frozen=True, slots=True)
class FalseStart:
    """Bytes that begin as a frame does and are none."""

    claimed: int
    """Bytes of the damaged frame, as far as it tells; 0 where it hardly was one."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, its checksum verified."""

    type: str
    """Such as "GGA", whoever the talker is; of a proprietary one the address, such as "PUBX"."""
    fields: tuple[str, ...]
    """Those after the address."""
    size: int
    """Bytes from `$` to the checksum."""


@dataclass(frozen=True, slots=True)
class Gga:
    """A position by GGA."""

    day_ms: int | None
    """UTC, ms since midnight; None while the receiver has no time."""
    quality: int
    """0 none, 1 autonomous, 2 differential, 4 RTK fixed, 5 RTK float, 6 estimated, 8 simulated."""
    satellites: float
    """Used; NaN where not told. Receivers set for strict NMEA stop at 12."""
    latitude_deg: float
    longitude_deg: float
    height_m: float
    """Above the ellipsoid (altitude + geoid separation); NaN where one of both is missing."""


@dataclass(frozen=True, slots=True)
class Rmc:
    """Date and time by RMC."""

    utc_ms: int | None
    """ms since 1970; None unless marked valid."""


@dataclass(frozen=True, slots=True)
class Gst:
    """Accuracy by GST."""

    day_ms: int | None
    accuracy_mm: float
    """Greatest of the three standard deviations, latitude, longitude, height; NaN if not told."""


def encode_sentence(body: str) -> bytes:
    """Give `$BODY*hh` and its line end."""
    text = body.encode("ascii")
    return b"$%s*%02X\r\n" % (text, _checksum(text))


def cut_sentence(buffer: bytes, at: int) -> Sentence | FalseStart | None:
    """Read the sentence whose `$` is at ``at``; None: its end has not come yet."""
    body = _BODY.match(buffer, at, at + MAX_SENTENCE - 2)
    assert body is not None
    end = body.end()
    address = _ADDRESS.match(buffer, at)
    damaged = FalseStart(end - at if address else 0)
    if end - at > MAX_SENTENCE - 3:
        return damaged
    if end == len(buffer):
        return None
    if buffer[end] != ord("*") or address is None:
        return damaged
    sent = buffer[end + 1 : end + 3]
    if len(sent) < 2:
        return None
    text = buffer[at + 1 : end]
    if not _HEX.fullmatch(sent) or int(sent, 16) != _checksum(text):
        return FalseStart(end + 3 - at)
    name, *fields = text.decode("ascii").split(",")
    if len(name) == 5 and name[0] != "P":
        name = name[2:]
    return Sentence(name, tuple(fields), end + 3 - at)


def decode_sentence(sentence: Sentence) -> Gga | Rmc | Gst | Malformed | None:
    """Decode what is read here; None for a sentence of another type."""
    decode = _DECODERS.get(sentence.type)
    if decode is None:
        return None
    try:
        return decode(sentence.fields)
    except (ValueError, IndexError) as error:
        return Malformed(f"{sentence.type}: {error}"[:120])


def _decode_gga(fields: tuple[str, ...]) -> Gga:
    latitude = _angle(fields[1], fields[2], "NS", 90)
    longitude = _angle(fields[3], fields[4], "EW", 180)
    if len(fields[5]) != 1 or not fields[5].isdigit():
        raise ValueError(f"quality {fields[5]!r}")
    satellites, altitude, separation = _number(fields[6]), _number(fields[8]), _number(fields[10])
    return Gga(
        _day_ms(fields[0]),
        int(fields[5]),
        satellites,
        latitude,
        longitude,
        altitude + separation,
    )


def _decode_rmc(fields: tuple[str, ...]) -> Rmc:
    day_ms = _day_ms(fields[0])
    if fields[1] != "A" or day_ms is None:
        return Rmc(None)
    found = _DATE.fullmatch(fields[8])
    if found is None:
        raise ValueError(f"date {fields[8]!r}")
    day, month, year = map(int, found.groups())
    year += 1900 if year >= _LAST_DATED else 2000
    return Rmc(days_since_1970(year, month, day) * DAY_MS + day_ms)


def _decode_gst(fields: tuple[str, ...]) -> Gst:
    sigmas_m = [_number(fields[i]) for i in (5, 6, 7)]
    greatest = math.nan if any(map(math.isnan, sigmas_m)) else max(sigmas_m)
    return Gst(_day_ms(fields[0]), greatest * 1000)


_DECODERS: dict[str, Callable[[tuple[str, ...]], Gga | Rmc | Gst]] = {
    "GGA": _decode_gga,
    "RMC": _decode_rmc,
    "GST": _decode_gst,
}


def days_since_1970(year: int, month: int, day: int) -> int:
    """Give the days from 1970-01-01; ValueError where there is no such date."""
    return date(year, month, day).toordinal() - _EPOCH_DAY


def _checksum(body: bytes) -> int:
    total = 0
    for byte in body:
        total ^= byte
    return total


def _number(text: str) -> float:
    if not text:
        return math.nan
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"number {text!r}")
    return float(text)


def _day_ms(text: str) -> int | None:
    if not text:
        return None
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"time {text!r}")
    hour, minute, second = (int(found[i]) for i in (1, 2, 3))
    if hour > 23 or minute > 59 or second > 60:  # 60: a leap second
        raise ValueError(f"time {text!r}")
    part_ms = round(float("0" + (found[4] or "")) * 1000)
    return ((hour * 60 + minute) * 60 + second) * 1000 + part_ms


def _angle(text: str, side: str, sides: str, greatest: int) -> float:
    """Read ddmm.mmmm and its hemisphere, in degrees; NaN where both are empty."""
    if not text and not side:
        return math.nan
    found = _ANGLE.fullmatch(text)
    if found is None or len(side) != 1 or side not in sides:
        raise ValueError(f"position {text!r} {side!r}")
    minutes = float(found[2])
    degrees = int(found[1]) + minutes / 60
    if minutes >= 60 or degrees > greatest:
        raise ValueError(f"position {text!r} {side!r}")
    return -degrees if side == sides[1] else degrees
