"""UBX messages of u-blox receivers: found, checked and decoded. No I/O.

    b5 62  class  id  u16 length  payload  ck_a ck_b     little-endian; checksum: Fletcher, 8 bit

Fields as in the u-blox F9 HPG 1.32 interface description (UBX-22008968). pyubx2's reader loses
what a short read cuts, so the framing is our own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import accumulate, count
from operator import mul
from typing import TYPE_CHECKING

from firmware_bridge.messages import Malformed
from firmware_bridge.nmea import (
    AUTONOMOUS,
    DAY_MS,
    DIFFERENTIAL,
    NO_FIX,
    RTK_FIXED,
    RTK_FLOAT,
    FalseStart,
    days_since_1970,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PAYLOAD = 4096
"""A frame that claims more is no frame here: what we read has 92 bytes at most."""
MAX_FRAME = MAX_PAYLOAD + 8
WEEK_MS = 7 * DAY_MS

NAV_PVT = (0x01, 0x07)
NAV_HPPOSLLH = (0x01, 0x14)
NAV_TIMEUTC = (0x01, 0x21)
NAV_RELPOSNED = (0x01, 0x3C)
CFG_VALSET = (0x06, 0x8A)
ACK_NAK = (0x05, 0x00)
ACK_ACK = (0x05, 0x01)

_PVT = struct.Struct("<IH6BIi4B4i2I30xH")
_PVT_SIZE = 92
_HPPOSLLH = struct.Struct("<B2xBI4i4b2I")
_TIMEUTC = struct.Struct("<IIiH6B")
_RELPOSNED = struct.Struct("<BxHI5i4x4b5I4xI")


@dataclass(frozen=True, slots=True)
class UbxMessage:
    """One UBX frame, its checksum verified."""

    kind: tuple[int, int]
    """Class and id, such as `NAV_PVT`."""
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes on the line."""
        return len(self.payload) + 8


@dataclass(frozen=True, slots=True)
class Pvt:
    """NAV-PVT: time, position (to 1e-7 degrees: 11 mm) and the quality of the fix."""

    tow_ms: int
    """GPS time of week of the epoch, ms."""
    utc_ms: int | None
    """ms since 1970; None unless date and time are marked valid and fully resolved."""
    quality: int
    """As GGA has it: 0, 1, 2, 4 RTK fixed, 5 RTK float. A 2-D or time-only fix is 0."""
    satellites: int
    latitude_deg: float
    longitude_deg: float
    height_m: float
    """Above the ellipsoid."""
    accuracy_mm: float
    """The greater of the horizontal and the vertical estimate."""


@dataclass(frozen=True, slots=True)
class HighPrecisionPosition:
    """NAV-HPPOSLLH: position to 1e-9 degrees and 0.1 mm; it does not tell the kind of fix."""

    tow_ms: int
    valid: bool
    latitude_deg: float
    longitude_deg: float
    height_m: float
    accuracy_mm: float


@dataclass(frozen=True, slots=True)
class RelativePosition:
    """NAV-RELPOSNED version 1: from the base to the rover, to 0.1 mm."""

    tow_ms: int
    quality: int
    """As `Pvt.quality`; 0 too where the vector is not valid, or normalised to a length of 1."""
    north_mm: float
    east_mm: float
    down_mm: float
    accuracy_mm: float
    """Greatest of the three."""


@dataclass(frozen=True, slots=True)
class UtcTime:
    """NAV-TIMEUTC."""

    tow_ms: int
    utc_ms: int | None


def fletcher(data: bytes) -> bytes:
    """Give the two checksum bytes of class, id, length and payload."""
    sums = list(accumulate(data))
    return bytes((sums[-1] & 255, sum(sums) & 255)) if sums else b"\0\0"


class Fletcher:
    """The checksum of any part of a buffer, at the cost of adding all of it up once."""

    __slots__ = ("_plain", "_weighted")

    def __init__(self, data: bytes) -> None:
        self._plain = list(accumulate(data, initial=0))
        self._weighted = list(accumulate(map(mul, count(), data), initial=0))

    def of(self, start: int, end: int) -> bytes:
        """Give what `fletcher` gives for data[start:end]."""
        plain = self._plain[end] - self._plain[start]
        second = end * plain - (self._weighted[end] - self._weighted[start])
        return bytes((plain & 255, second & 255))


def encode_message(kind: tuple[int, int], payload: bytes) -> bytes:
    """Give the bytes of one frame."""
    body = bytes(kind) + len(payload).to_bytes(2, "little") + payload
    return b"\xb5\x62" + body + fletcher(body)


def cut_message(
    buffer: bytes, at: int, checks: Callable[[int, int], bytes] | None = None
) -> UbxMessage | FalseStart | None:
    """Read the frame whose b5 is at ``at``; None: its end has not come yet.

    ``checks`` gives the checksum of a part of the buffer, where that is at hand.
    """
    if buffer[at + 1 : at + 2] not in (b"", b"\x62"):
        return FalseStart(0)
    if len(buffer) - at < 6:
        return None
    length = buffer[at + 4] | buffer[at + 5] << 8
    if length > MAX_PAYLOAD:
        return FalseStart(8)
    end = at + 6 + length
    if len(buffer) < end + 2:
        return None
    check = fletcher(buffer[at + 2 : end]) if checks is None else checks(at + 2, end)
    if check != buffer[end : end + 2]:
        return FalseStart(length + 8)
    return UbxMessage((buffer[at + 2], buffer[at + 3]), buffer[at + 6 : end])


UbxValue = Pvt | HighPrecisionPosition | RelativePosition | UtcTime


def decode_message(message: UbxMessage) -> UbxValue | Malformed | None:
    """Decode what is read here; None for a message of another kind."""
    decode = _DECODERS.get(message.kind)
    if decode is None:
        return None
    value = decode(message.payload)
    if not isinstance(value, Malformed) and value.tow_ms >= WEEK_MS:
        return Malformed(f"time of week {value.tow_ms} ms")
    return value


def _decode_pvt(payload: bytes) -> Pvt | Malformed:
    if len(payload) < _PVT_SIZE:  # it has grown from 84, and may again
        return Malformed(f"NAV-PVT of {len(payload)} bytes")
    (tow, *when, valid, _, nano, fix, flags, _, satellites, lon, lat, height, _, h, v, flags3) = (
        _PVT.unpack_from(payload)
    )
    carrier = flags >> 6
    quality = _quality(carrier, differential=bool(flags & 2))
    if fix not in (3, 4) or not flags & 1 or flags3 & 1:
        quality = NO_FIX
    utc_ms = _utc_ms(when, nano) if valid & 7 == 7 else None
    return Pvt(
        tow, utc_ms, quality, satellites, lat / 1e7, lon / 1e7, height / 1e3, float(max(h, v))
    )


def _decode_hpposllh(payload: bytes) -> HighPrecisionPosition | Malformed:
    if len(payload) != _HPPOSLLH.size or payload[0] != 0:
        return Malformed(f"NAV-HPPOSLLH version {payload[:1].hex()} of {len(payload)} bytes")
    (_, flags, tow, lon, lat, height, _, lon_hp, lat_hp, height_hp, _, h, v) = _HPPOSLLH.unpack(
        payload
    )
    return HighPrecisionPosition(
        tow,
        not flags & 1,
        (lat * 100 + lat_hp) / 1e9,
        (lon * 100 + lon_hp) / 1e9,
        (height * 10 + height_hp) / 1e4,
        max(h, v) / 10,
    )


def _decode_relposned(payload: bytes) -> RelativePosition | Malformed:
    if len(payload) != _RELPOSNED.size or payload[0] != 1:
        return Malformed(f"NAV-RELPOSNED version {payload[:1].hex()} of {len(payload)} bytes")
    (_, _, tow, north, east, down, *_, north_hp, east_hp, down_hp, _, a, b, c, _, _, flags) = (
        _RELPOSNED.unpack(payload)
    )
    quality = _quality(flags >> 3 & 3, differential=bool(flags & 2))
    if flags & 5 != 5 or flags & 0x200:
        quality = NO_FIX
    return RelativePosition(
        tow,
        quality,
        (north * 100 + north_hp) / 10,
        (east * 100 + east_hp) / 10,
        (down * 100 + down_hp) / 10,
        max(a, b, c) / 10,
    )


def _decode_timeutc(payload: bytes) -> UtcTime | Malformed:
    if len(payload) != _TIMEUTC.size:
        return Malformed(f"NAV-TIMEUTC of {len(payload)} bytes")
    tow, _, nano, *when, valid = _TIMEUTC.unpack(payload)
    return UtcTime(tow, _utc_ms(when, nano) if valid & 7 == 7 else None)


_DECODERS = {
    NAV_PVT: _decode_pvt,
    NAV_HPPOSLLH: _decode_hpposllh,
    NAV_RELPOSNED: _decode_relposned,
    NAV_TIMEUTC: _decode_timeutc,
}


def _quality(carrier: int, *, differential: bool) -> int:
    if carrier:
        return RTK_FIXED if carrier == 2 else RTK_FLOAT if carrier == 1 else NO_FIX
    return DIFFERENTIAL if differential else AUTONOMOUS


def _utc_ms(when: list[int], nano: int) -> int | None:
    year, month, day, hour, minute, second = when
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        days = days_since_1970(year, month, day)
    except ValueError:
        return None
    return days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + round(nano / 1e6)


_NEEDED = {
    "relposned": (0x2091008E, 0x20910090, 0x20910007, 0x20910009),
    "hpposllh": (0x20910034, 0x20910036, 0x20910007, 0x20910009),
    "pvt": (0x20910007, 0x20910009),
    "gga": (0x209100BB, 0x209100BD, 0x209100AC, 0x209100AE, 0x209100D4, 0x209100D6, 0x10930006),
}
"""Keys CFG-MSGOUT-* of UART1 and USB: RELPOSNED, HPPOSLLH and PVT; GGA, RMC, GST and
CFG-NMEA-HIGHPREC."""


def configuration(source: str) -> bytes:
    """Give the UBX-CFG-VALSET that makes a receiver of generation 9 send what a source needs.

    Once an epoch, on UART1 and USB, in RAM: gone with the next power cut. It sets no baud rate, no
    navigation rate and no mode.
    """
    pairs = b"".join(struct.pack("<IB", key, 1) for key in _NEEDED[source])
    return encode_message(CFG_VALSET, b"\0\1\0\0" + pairs)
