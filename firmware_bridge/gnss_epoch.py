"""One position of a GNSS receiver, whichever message told it: `Epoch`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firmware_bridge.gnss_plan import DISPLACEMENT, FIX_RANK, LEAST_FIX
from firmware_bridge.nmea import Gga, Gst, Rmc
from firmware_bridge.ubx import HighPrecisionPosition, Pvt, RelativePosition, UtcTime

if TYPE_CHECKING:
    from firmware_bridge.gnss_plan import GnssFormat

GnssValue = Gga | Rmc | Gst | Pvt | HighPrecisionPosition | RelativePosition | UtcTime


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one message of the source told, and the message that completes it."""

    key_ms: int | None
    """Time of week (UBX) or of day (GGA); None where the receiver has none yet."""
    place_mm: tuple[float, float, float]
    """East, north, up of the origin; NaN where there is no position, or no origin."""
    quality: int | None
    """As GGA has it; None where not told."""
    accuracy_mm: float
    satellites: float
    size: int
    """Bytes of the message."""
    received_ms: int

    def completed(self, partner: Pvt | Gst | None) -> Epoch:
        """Take over from another message of the same epoch what this one does not tell."""
        if isinstance(partner, Gst):
            return replace(self, accuracy_mm=partner.accuracy_mm)
        if partner is None:
            return self
        quality = partner.quality if self.quality is None else self.quality
        return replace(self, quality=quality, satellites=float(partner.satellites))

    def is_believed(self, format: GnssFormat) -> bool:
        """Say whether its position is good enough."""
        # Where no quality was told there is still a position that was marked valid: "any" fix.
        rank = 1 if self.quality is None else FIX_RANK.get(self.quality, 0)
        return rank >= LEAST_FIX[format.least_fix] and (
            self.accuracy_mm <= format.max_accuracy_mm or format.max_accuracy_mm == math.inf
        )

    def values(self, format: GnssFormat) -> tuple[float, ...]:
        """Give one value a channel; NaN where unknown or not believed."""
        told = {
            "accuracy_mm": self.accuracy_mm,
            "fix_quality": math.nan if self.quality is None else float(self.quality),
            "satellites": self.satellites,
        }
        if self.is_believed(format):
            told |= format.values_mm(*self.place_mm)
        else:
            told |= dict.fromkeys(DISPLACEMENT, math.nan)
        return tuple(told[name] for name in format.channels)


def epoch_of(value: GnssValue, format: GnssFormat, size: int, now_ms: int) -> Epoch | None:
    """Give the epoch of a message of the source; None for any other message."""
    if isinstance(value, RelativePosition) and format.source == "relposned":
        place = (value.east_mm, value.north_mm, -value.down_mm)
        return Epoch(value.tow_ms, place, value.quality, value.accuracy_mm, math.nan, size, now_ms)
    if isinstance(value, HighPrecisionPosition) and format.source == "hpposllh":
        place = _place(value, format)
        quality = None if value.valid else 0
        return Epoch(value.tow_ms, place, quality, value.accuracy_mm, math.nan, size, now_ms)
    if isinstance(value, Pvt) and format.source == "pvt":
        satellites = float(value.satellites)
        place = _place(value, format)
        return Epoch(
            value.tow_ms, place, value.quality, value.accuracy_mm, satellites, size, now_ms
        )
    if isinstance(value, Gga) and format.source == "gga":
        place = _place(value, format)
        return Epoch(value.day_ms, place, value.quality, math.nan, value.satellites, size, now_ms)
    return None


def key_of(value: Pvt | Gst) -> int | None:
    """Give the time of week or day by which a message is matched to an epoch."""
    return value.tow_ms if isinstance(value, Pvt) else value.day_ms


def partner_type(format: GnssFormat) -> type[Pvt | Gst] | None:
    """Give the kind of message that completes an epoch; None where none is needed."""
    asked = set(format.channels)
    if format.source == "gga" and ("accuracy_mm" in asked or format.max_accuracy_mm < math.inf):
        return Gst
    if format.source == "relposned" and "satellites" in asked:
        return Pvt
    if format.source == "hpposllh" and (
        format.least_fix != "any" or asked & {"fix_quality", "satellites"}
    ):
        return Pvt
    return None


def _place(
    value: Pvt | HighPrecisionPosition | Gga, format: GnssFormat
) -> tuple[float, float, float]:
    if format.origin is None:
        return (math.nan, math.nan, math.nan)
    return format.origin.east_north_up_mm(value.latitude_deg, value.longitude_deg, value.height_m)
