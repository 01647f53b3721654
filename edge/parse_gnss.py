"""The [port.gnss] table of gateway.toml: what is read of a GNSS receiver, and from what on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from firmware_bridge.gnss_plan import CHANNELS, LEAST_FIX, SOURCES, GnssFormat, Origin

if TYPE_CHECKING:
    from edge.fields import Table


def parse_gnss(t: Table) -> GnssFormat | None:
    """Read the table; None, and the mistakes noted, where it is wrong."""
    source = t.text("source", choices=SOURCES)
    channels = t.texts("channels")
    unknown = [name for name in channels if name not in CHANNELS]
    for name in unknown:
        t.wrong("channels", f"{name!r} is not one of {', '.join(CHANNELS)}")
    if not channels:
        t.wrong("channels", f"name what to read, of {', '.join(CHANNELS)}")
    least_fix = t.text("least_fix", "fixed", choices=tuple(LEAST_FIX))
    accuracy_mm = t.number("max_accuracy_mm", math.inf, low=0.1, high=1e6)
    azimuth = None
    if t.has("downslope_azimuth_deg"):
        azimuth = t.number("downslope_azimuth_deg", low=0.0, high=360.0)
    configure = t.flag("configure", default=False)
    origin = _origin(t.table("origin")) if t.has("origin") else None
    t.done()
    half_origin = t.has("origin") and origin is None
    if unknown or not channels or half_origin:
        return None
    if source not in SOURCES or least_fix not in LEAST_FIX:
        return None
    try:
        return GnssFormat(
            source=source,
            channels=channels,
            origin=origin,
            least_fix=least_fix,
            max_accuracy_mm=accuracy_mm,
            downslope_azimuth_deg=azimuth,
            configure=configure,
        )
    except ValueError as error:
        t.mistakes.add(t.path, str(error))
        return None


def _origin(t: Table) -> Origin | None:
    latitude = t.number("latitude_deg", low=-90.0, high=90.0)
    longitude = t.number("longitude_deg", low=-180.0, high=180.0)
    height = t.number("height_m", low=-1000.0, high=10_000.0)
    t.done()
    if any(map(math.isnan, (latitude, longitude, height))):  # missing, and noted
        return None
    return Origin(latitude, longitude, height)
