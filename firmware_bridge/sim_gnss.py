"""A simulated RTK rover: mixed NMEA and UBX, on a pty where wanted.

It encodes what it says from true positions, with code of its own, so that a mistake in decoding
does not cancel out.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING

from firmware_bridge.gnss_plan import AXIS_M, ECCENTRICITY_2, Origin, to_ecef
from firmware_bridge.nmea import encode_sentence
from firmware_bridge.sim_faults import Faults, FaultyWire
from firmware_bridge.sim_instruments import Instrument
from firmware_bridge.ubx import (
    NAV_HPPOSLLH,
    NAV_PVT,
    NAV_RELPOSNED,
    NAV_TIMEUTC,
    WEEK_MS,
    encode_message,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LEAP_MS = 18_000
"""GPS time ahead of UTC, since 2017."""
_GPS_EPOCH_MS = 315_964_800_000
_CARRIER = {4: 2, 5: 1}
_LARGEST_PIECE = 40


@dataclass(frozen=True, slots=True)
class RoverRow:
    """Where the rover truly is at one epoch, and how well it knows."""

    utc_ms: int
    east_mm: float
    north_mm: float
    up_mm: float
    quality: int = 4
    """As GGA has it; 0: the fix is lost."""
    accuracy_mm: float = 8.0


def geodetic(
    origin: Origin, east_mm: float, north_mm: float, up_mm: float
) -> tuple[float, float, float]:
    """Give latitude, longitude (degrees) and height (m) of a point by its place from an origin."""
    f, el = math.radians(origin.latitude_deg), math.radians(origin.longitude_deg)
    e, n, u = east_mm / 1000, north_mm / 1000, up_mm / 1000
    x, y, z = to_ecef(origin.latitude_deg, origin.longitude_deg, origin.height_m)
    outward = math.cos(f) * u - math.sin(f) * n
    x += math.cos(el) * outward - math.sin(el) * e
    y += math.sin(el) * outward + math.cos(el) * e
    z += math.sin(f) * u + math.cos(f) * n
    across = math.hypot(x, y)
    latitude, height = f, 0.0
    for _ in range(10):  # converges a thousandfold a turn near the ground
        normal = AXIS_M / math.sqrt(1 - ECCENTRICITY_2 * math.sin(latitude) ** 2)
        height = across * math.cos(latitude) + z * math.sin(latitude) - AXIS_M**2 / normal
        latitude = math.atan2(z, across * (1 - ECCENTRICITY_2 * normal / (normal + height)))
    return math.degrees(latitude), math.degrees(math.atan2(y, x)), height


class SimulatedRover:
    """Gives the bytes of one epoch, as a ZED-F9P sends them: UBX by rising id, then NMEA."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin

    def epoch(self, row: RoverRow) -> list[bytes]:
        """Give the messages of one epoch."""
        place = geodetic(self.origin, row.east_mm, row.north_mm, row.up_mm)
        tow = (row.utc_ms - _GPS_EPOCH_MS + LEAP_MS) % WEEK_MS
        return [
            encode_message(NAV_PVT, _pvt(row, tow, place)),
            encode_message(NAV_HPPOSLLH, _hpposllh(row, tow, place)),
            encode_message(NAV_TIMEUTC, _timeutc(row, tow)),
            encode_message(NAV_RELPOSNED, _relposned(row, tow)),
            encode_message((1, 0x35), b"$GNGGA,\xb5\x62\x01\x07" * 3),  # NAV-SAT: not read here
            *(encode_sentence(body) for body in _sentences(row, place)),
        ]


def _moment(utc_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=utc_ms)


def _pvt(row: RoverRow, tow: int, place: tuple[float, float, float]) -> bytes:
    t = _moment(row.utc_ms)
    latitude, longitude, height = place
    fix = 3 if row.quality else 0
    flags = _CARRIER.get(row.quality, 0) << 6 | (row.quality > 1) << 1 | (row.quality > 0)
    accuracy = round(row.accuracy_mm)
    return struct.pack(
        "<IHBBBBBBIiBBBBiiiiIIiiiiiIIHH4siHH",
        *(tow, t.year, t.month, t.day, t.hour, t.minute, t.second, 7),
        *(20, t.microsecond * 1000, fix, flags, 0, 24 if row.quality else 2),
        *(round(longitude * 1e7), round(latitude * 1e7), round(height * 1e3), 0),
        *(accuracy, accuracy, 0, 0, 0, 0, 0, 0, 0, 120, 0, bytes(4), 0, 0, 0),
    )


def _hpposllh(row: RoverRow, tow: int, place: tuple[float, float, float]) -> bytes:
    fine = [round(place[1] * 1e9), round(place[0] * 1e9), round(place[2] * 1e4)]
    coarse = [round(fine[0] / 100), round(fine[1] / 100), round(fine[2] / 10)]
    rest = [fine[0] - 100 * coarse[0], fine[1] - 100 * coarse[1], fine[2] - 10 * coarse[2]]
    accuracy = round(row.accuracy_mm * 10)
    flags = 0 if row.quality else 1
    return struct.pack(
        "<B2sBIiiiibbbbII", 0, bytes(2), flags, tow, *coarse, 0, *rest, 0, accuracy, accuracy
    )


def _timeutc(row: RoverRow, tow: int) -> bytes:
    t = _moment(row.utc_ms)
    fields = (t.year, t.month, t.day, t.hour, t.minute, t.second, 0x37)
    return struct.pack("<IIiHBBBBBB", tow, 20, t.microsecond * 1000, *fields)


def _relposned(row: RoverRow, tow: int) -> bytes:
    tenths = [round(10 * mm) for mm in (row.north_mm, row.east_mm, -row.up_mm)]
    cm = [round(value / 100) for value in tenths]
    rest = [value - 100 * c for value, c in zip(tenths, cm, strict=True)]
    accuracy = round(row.accuracy_mm * 10)
    flags = _CARRIER.get(row.quality, 0) << 3 | (7 if row.quality > 1 else row.quality > 0)
    return struct.pack(
        "<BBHIiiiii4sbbbbIIIII4sI",
        *(1, 0, 0, tow, *cm, 0, 0, bytes(4), *rest, 0, *[accuracy] * 4, 0, bytes(4), flags),
    )


def _sentences(row: RoverRow, place: tuple[float, float, float]) -> list[str]:
    t = _moment(row.utc_ms)
    time = f"{t:%H%M%S}.{t.microsecond // 10_000:02d}"
    sides = "NS"[place[0] < 0], "EW"[place[1] < 0]
    position = ",".join(
        f"{int(abs(angle)):0{width}d}{abs(angle) % 1 * 60:010.7f},{side}"
        for angle, width, side in zip(place[:2], (2, 3), sides, strict=True)
    )
    sigma = f"{row.accuracy_mm / 1000:.4f}"
    if not row.quality:
        position = ",,,"
    height = f"{place[2] - 47.5:.4f},M,47.5,M" if row.quality else ",M,,M"
    status, mode = ("A", "R") if row.quality else ("V", "N")
    return [
        f"GNRMC,{time},{status},{position},0.004,,{t:%d%m%y},,,{mode},V",
        "GNVTG,,T,,M,0.004,N,0.008,K,R",
        f"GNGGA,{time},{position},{row.quality},12,0.60,{height},1.0,0001",
        f"GNGST,{time},0.02,,,,{sigma},{sigma},{sigma}",
    ]


class RoverPty(Instrument):
    """A `SimulatedRover` on a pty: one epoch every ``interval_s``, in pieces of any size.

    Faults hit each message; pieces do not end where messages do.
    """

    def __init__(
        self,
        rover: SimulatedRover,
        rows: Iterable[RoverRow],
        *,
        link: Path | str | None = None,
        interval_s: float = 1.0,
        faults: Faults | None = None,
    ) -> None:
        super().__init__(link, interval_s, hold=True)
        self.wire = FaultyWire(faults or Faults())
        self._rover = rover
        self._rows = rows
        self._random = Random(self.wire.faults.seed)

    def run(self) -> None:
        """Send every epoch, then keep the device until stopped; in this thread."""
        for row in self._rows:
            self._await_turn()
            if self._stop.is_set():
                break
            data = b"".join(map(self.wire.carry, self._rover.epoch(row)))
            while data:
                size = self._random.randint(1, _LARGEST_PIECE)
                self._send(data[:size])
                data = data[size:]
                self._stop.wait(0.0005)
            self.rows_sent += 1
        self._stop.wait()
