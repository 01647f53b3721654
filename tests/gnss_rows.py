"""A rover on a slope, epoch by epoch: what the GNSS tests send and look for."""

from __future__ import annotations

from firmware_bridge.drivers.gnss import GnssFormat
from firmware_bridge.gnss_plan import Origin
from firmware_bridge.reading import Driver, Dropped, Reading
from firmware_bridge.sim_gnss import RoverRow, SimulatedRover

ORIGIN = Origin(46.123456789, 8.987654321, 1523.4567)
ROVER = SimulatedRover(ORIGIN)
T0_MS = 1_760_000_000_000
ENU = ("east_mm", "north_mm", "up_mm")

Items = list[Reading | Dropped]


def format_of(source: str, channels: tuple[str, ...] = ENU, **more) -> GnssFormat:
    if source != "relposned" and "origin" not in more:
        more["origin"] = ORIGIN
    return GnssFormat(source, channels, **more)


def epoch(row: RoverRow) -> bytes:
    return b"".join(ROVER.epoch(row))


def row_at(i: int, quality: int = 4, accuracy_mm: float = 8.0) -> RoverRow:
    return RoverRow(T0_MS + 1000 * i, 10.0 * i, -5.0 * i, -2.5 * i, quality, accuracy_mm)


def fed(driver: Driver, rows: list[RoverRow], lag_ms: int = 80) -> Items:
    return [item for row in rows for item in driver.receive(epoch(row), row.utc_ms + lag_ms)]


def readings(items: Items) -> list[Reading]:
    return [item for item in items if isinstance(item, Reading)]


def reasons(items: Items) -> list[str]:
    return [item.reason if isinstance(item, Dropped) else "reading" for item in items]
