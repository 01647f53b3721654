"""GNSS: position to displacement, and what a configuration can get wrong."""

from __future__ import annotations

import math

import pytest
from gnss_rows import ENU, ORIGIN, format_of

from firmware_bridge.drivers.gnss import GnssFormat
from firmware_bridge.gnss_plan import Origin, to_ecef
from firmware_bridge.sim_gnss import geodetic


def test_ecef_of_known_points() -> None:
    assert to_ecef(0, 0, 0) == (6_378_137.0, 0, 0)
    x, y, z = to_ecef(90, 0, 10)
    assert (x, y) == pytest.approx((0, 0), abs=1e-8)
    assert z == pytest.approx(6_356_752.314245 + 10, abs=1e-6)  # the semi-minor axis


def test_pyproj_agrees_on_east_north_up() -> None:
    pyproj = pytest.importorskip("pyproj", reason="NOT TESTED: no pyproj here (pip install pyproj)")
    for latitude in (-77.7, -33.1, 0.0, 46.123456789, 71.3):
        origin = Origin(latitude, 8.987654321, 1523.4567)
        turn = pyproj.Transformer.from_pipeline(
            "+proj=pipeline +step +proj=cart +ellps=WGS84 +step +proj=topocentric +ellps=WGS84"
            f" +lon_0={origin.longitude_deg!r} +lat_0={latitude!r} +h_0={origin.height_m!r}"
        )
        for d in (0.0, 1e-9, 3e-8, -2e-5, 4e-3):
            point = (latitude + d, origin.longitude_deg - 2 * d, origin.height_m + 100 * d)
            theirs = turn.transform(point[1], point[0], point[2])
            ours = origin.east_north_up_mm(*point)
            assert ours == pytest.approx([1000 * v for v in theirs], abs=1e-4)


@pytest.mark.parametrize("step", [(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (-1.0, 1.0, -1.0)])
def test_one_millimetre_survives_anywhere(step: tuple[float, float, float]) -> None:
    for latitude, longitude, height in ((46.1, 8.9, 1500), (-54, -179.9, 3), (80, 179.9, 4000)):
        origin = Origin(latitude, longitude, height)
        far = (250_000.0, -120_000.0, 40_000.0)
        for base in ((0.0, 0.0, 0.0), far):
            moved = tuple(a + b for a, b in zip(base, step, strict=True))
            before = origin.east_north_up_mm(*geodetic(origin, *base))
            after = origin.east_north_up_mm(*geodetic(origin, *moved))
            assert [b - a for a, b in zip(before, after, strict=True)] == pytest.approx(
                step, abs=1e-4
            )


def test_downslope_is_along_the_azimuth() -> None:
    for azimuth, expected in ((0, 4.0), (90, 3.0), (180, -4.0), (270, -3.0), (360, 4.0)):
        format_ = format_of("relposned", ("downslope_mm",), downslope_azimuth_deg=float(azimuth))
        assert format_.values_mm(3.0, 4.0, 9.0)["downslope_mm"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"source": "rtcm"}, "source"),
        ({"channels": ()}, "channels"),
        ({"channels": ("east_mm", "x")}, "channels"),
        ({"channels": ("east_mm", "east_mm")}, "channels"),
        ({"channels": ("downslope_mm",)}, "downslope_azimuth_deg"),
        ({"downslope_azimuth_deg": 361.0}, "downslope_azimuth_deg"),
        ({"downslope_azimuth_deg": math.nan}, "downslope_azimuth_deg"),
        ({"least_fix": "rtk"}, "least_fix"),
        ({"max_accuracy_mm": 0.0}, "max_accuracy_mm"),
        ({"max_accuracy_mm": math.nan}, "max_accuracy_mm"),
        ({"origin": None}, "origin"),
        ({"source": "relposned"}, "origin"),
    ],
)
def test_a_format_that_contradicts_itself_says_where(arguments: dict, named: str) -> None:
    sound = {"source": "hpposllh", "channels": ENU, "origin": ORIGIN}
    GnssFormat(**sound)
    GnssFormat("gga", ("fix_quality",))  # without displacement no origin is needed
    with pytest.raises(ValueError, match=named):
        GnssFormat(**{**sound, **arguments})


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ((91.0, 0.0, 0.0), "latitude_deg"),
        ((math.nan, 0.0, 0.0), "latitude_deg"),
        ((0.0, 181.0, 0.0), "longitude_deg"),
        ((0.0, 0.0, 1e5), "height_m"),
    ],
)
def test_an_origin_that_is_none(place: tuple[float, float, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Origin(*place)
