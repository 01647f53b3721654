"""What is read of a GNSS receiver and when it is believed: `GnssFormat`, and `Origin`."""

from __future__ import annotations

import math
from dataclasses import dataclass

DISPLACEMENT = ("east_mm", "north_mm", "up_mm", "downslope_mm")
STATUS = ("accuracy_mm", "fix_quality", "satellites")
CHANNELS = (*DISPLACEMENT, *STATUS)
SOURCES = ("relposned", "hpposllh", "pvt", "gga")
LEAST_FIX = {"any": 1, "differential": 2, "float": 3, "fixed": 4}
"""Name of the least fix that is believed, and its rank in `FIX_RANK`."""
FIX_RANK = {1: 1, 2: 2, 3: 2, 5: 3, 4: 4}
"""Rank by GGA quality: 4 (RTK fixed) is better than 5 (float). Not there (0 none, 6 dead
reckoning, 7 by hand, 8 simulated): not a measurement."""

# WGS-84 (NGA.STND.0036): semi-major axis, m, and first eccentricity squared.
AXIS_M = 6_378_137.0
_FLATTENING = 1 / 298.257223563
ECCENTRICITY_2 = _FLATTENING * (2 - _FLATTENING)


def to_ecef(
    latitude_deg: float, longitude_deg: float, height_m: float
) -> tuple[float, float, float]:
    """Give the earth-centred x, y, z, m, of a point by its WGS-84 latitude, longitude and height.

    x = (N + h) cos f cos l, y = (N + h) cos f sin l, z = (N (1 - e2) + h) sin f, where
    N = a / sqrt(1 - e2 sin2 f) (Hofmann-Wellenhof et al., GNSS, 2008, eq. 8.4).
    """
    f, el = math.radians(latitude_deg), math.radians(longitude_deg)
    normal = AXIS_M / math.sqrt(1 - ECCENTRICITY_2 * math.sin(f) ** 2)
    across = (normal + height_m) * math.cos(f)
    up = (normal * (1 - ECCENTRICITY_2) + height_m) * math.sin(f)
    return across * math.cos(el), across * math.sin(el), up


@dataclass(frozen=True, slots=True)
class Origin:
    """A fixed point near the rover, from which its displacement is measured. ValueError if wrong.

    Survey it once (a long average, or a known mark) and never change it after.
    """

    latitude_deg: float
    longitude_deg: float
    height_m: float
    """Above the WGS-84 ellipsoid, not above the sea."""

    def __post_init__(self) -> None:
        """Check that it is a point on earth."""
        if not -90 <= self.latitude_deg <= 90:
            raise ValueError(f"latitude_deg {self.latitude_deg}: -90..90")
        if not -180 <= self.longitude_deg <= 180:
            raise ValueError(f"longitude_deg {self.longitude_deg}: -180..180")
        if not -1000 <= self.height_m <= 10_000:
            raise ValueError(f"height_m {self.height_m}: -1000..10000")

    def east_north_up_mm(
        self, latitude_deg: float, longitude_deg: float, height_m: float
    ) -> tuple[float, float, float]:
        """Give where a WGS-84 point lies from here, on the local tangent plane; NaN if one is.

        The difference of the earth-centred positions, turned: e = -sin l dx + cos l dy,
        n = -sin f cos l dx - sin f sin l dy + cos f dz, u = cos f cos l dx + cos f sin l dy +
        sin f dz (Hofmann-Wellenhof et al., eq. 8.24; ESA Navipedia, "Transformations between ECEF
        and ENU coordinates"). In float64 it is good to 0.00001 mm.
        """
        here = to_ecef(self.latitude_deg, self.longitude_deg, self.height_m)
        there = to_ecef(latitude_deg, longitude_deg, height_m)
        dx, dy, dz = (1000 * (b - a) for a, b in zip(here, there, strict=True))
        f, el = math.radians(self.latitude_deg), math.radians(self.longitude_deg)
        outward = math.cos(el) * dx + math.sin(el) * dy
        return (
            math.cos(el) * dy - math.sin(el) * dx,
            math.cos(f) * dz - math.sin(f) * outward,
            math.cos(f) * outward + math.sin(f) * dz,
        )


@dataclass(frozen=True, slots=True)
class GnssFormat:
    """How one receiver is read. ValueError, naming the field, if it contradicts itself."""

    source: str
    """The message that gives readings: "relposned" (from the base, 0.1 mm: what RTK monitoring
    wants), "hpposllh" (0.1 mm), "pvt" (11 mm) or "gga" (as many digits as it is set to send)."""
    channels: tuple[str, ...]
    """Of `CHANNELS`; their order is that of a reading's values."""
    origin: Origin | None = None
    """Needed for displacement from an absolute position; with "relposned" the base is it."""
    least_fix: str = "fixed"
    """A key of `LEAST_FIX`; a position from a lesser fix is not believed."""
    max_accuracy_mm: float = math.inf
    """A position whose own estimate of accuracy is worse, or is not told, is not believed."""
    downslope_azimuth_deg: float | None = None
    """The way the slope faces, clockwise from north; for "downslope_mm", positive downhill."""
    configure: bool = False
    """Whether the receiver is told (in RAM) to send the messages needed."""

    def __post_init__(self) -> None:
        """Check what a configuration can get wrong."""
        if self.source not in SOURCES:
            raise ValueError(f"source {self.source!r}: one of {', '.join(SOURCES)}")
        if not self.channels:
            raise ValueError("channels: none given")
        for name in self.channels:
            if name not in CHANNELS:
                raise ValueError(f"channels: {name!r} is not one of {', '.join(CHANNELS)}")
        if len(set(self.channels)) != len(self.channels):
            raise ValueError(f"channels: one is named twice: {', '.join(self.channels)}")
        if self.least_fix not in LEAST_FIX:
            raise ValueError(f"least_fix {self.least_fix!r}: one of {', '.join(LEAST_FIX)}")
        if not self.max_accuracy_mm > 0:
            raise ValueError(f"max_accuracy_mm {self.max_accuracy_mm}: more than 0")
        self._check_place()

    def _check_place(self) -> None:
        azimuth = self.downslope_azimuth_deg
        if azimuth is not None and not 0 <= azimuth <= 360:
            raise ValueError(f"downslope_azimuth_deg {azimuth}: 0..360")
        if azimuth is None and "downslope_mm" in self.channels:
            raise ValueError("downslope_azimuth_deg: needed for the channel downslope_mm")
        if self.source == "relposned":
            if self.origin is not None:
                raise ValueError("origin: not for source 'relposned', where the base is the origin")
        elif self.origin is None and not set(DISPLACEMENT).isdisjoint(self.channels):
            raise ValueError(f"origin: needed for displacement by source {self.source!r}")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values of a reading, in their order."""
        return self.channels

    def values_mm(self, east: float, north: float, up: float) -> dict[str, float]:
        """Give the four displacement channels."""
        azimuth = math.radians(self.downslope_azimuth_deg or 0.0)
        downslope = east * math.sin(azimuth) + north * math.cos(azimuth)
        return dict(zip(DISPLACEMENT, (east, north, up, downslope), strict=True))
