"""The [port.gnss] table: what it gives, and how its mistakes are named."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import firmware_bridge
from edge.errors import ConfigError
from edge.fields import Mistakes, Table
from edge.parse_gnss import parse_gnss
from firmware_bridge.gnss_plan import GnssFormat, Origin

SOUND = {
    "source": "hpposllh",
    "channels": ["east_mm", "downslope_mm", "fix_quality"],
    "downslope_azimuth_deg": 215,
    "origin": {"latitude_deg": 46.1, "longitude_deg": 8.9, "height_m": 1500},
}


def parsed(data: object) -> GnssFormat | None:
    found = Mistakes("gateway.toml")
    format_ = parse_gnss(Table(data, "port[0].gnss", found))
    found.raise_if_any()
    return format_


def test_a_whole_table() -> None:
    assert parsed({**SOUND, "least_fix": "float", "max_accuracy_mm": 30}) == GnssFormat(
        "hpposllh",
        ("east_mm", "downslope_mm", "fix_quality"),
        Origin(46.1, 8.9, 1500.0),
        "float",
        30.0,
        215.0,
    )


def test_the_base_is_the_origin_and_only_fixed_is_believed_unless_told() -> None:
    format_ = parsed({"source": "relposned", "channels": ["up_mm"]})
    assert format_ == GnssFormat("relposned", ("up_mm",))
    assert format_.least_fix == "fixed"
    assert format_.max_accuracy_mm == float("inf")
    assert not format_.configure


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"source": "hpposlh"}, "port[0].gnss.source: 'hpposlh' is not one of"),
        ({"channels": []}, "port[0].gnss.channels: name what to read"),
        ({"channels": ["east"]}, "port[0].gnss.channels: 'east' is not one of"),
        ({"channels": ["up_mm", "up_mm"]}, "port[0].gnss: channels: one is named twice"),
        ({"least_fix": "rtk"}, "port[0].gnss.least_fix: 'rtk'"),
        ({"max_accuracy_mm": 0}, "port[0].gnss.max_accuracy_mm: 0 is outside"),
        ({"downslope_azimuth_deg": 400}, "port[0].gnss.downslope_azimuth_deg: 400 is outside"),
        ({"configure": 1}, "port[0].gnss.configure: must be true or false"),
        ({"origin": {}}, "port[0].gnss.origin.latitude_deg: missing"),
        ({"origin": 5}, "port[0].gnss.origin: must be a table"),
        ({"source": "relposned"}, "port[0].gnss: origin: not for source 'relposned'"),
        ({"azimuth": 5}, "port[0].gnss.azimuth: unknown key"),
        (
            {"origin": {**SOUND["origin"], "height": 5}},
            "port[0].gnss.origin.height: unknown key; did you mean 'height_m'?",
        ),
    ],
)
def test_a_mistake_is_named_by_its_path(change: dict, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed({**SOUND, **change})
    assert mistake in str(caught.value)


@pytest.mark.parametrize("missing", ["source", "channels", "origin", "downslope_azimuth_deg"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        parsed({key: value for key, value in SOUND.items() if key != missing})


@pytest.mark.parametrize("junk", [None, 5, [], "x", {"source": {}, "channels": {"a": 1}}])
def test_junk_is_a_mistake_and_not_an_exception(junk: object) -> None:
    with pytest.raises(ConfigError):
        parsed(junk)


def test_the_profile_can_be_pasted() -> None:
    path = Path(firmware_bridge.__file__).parent / "profiles" / "ublox_f9p.toml"
    text = path.read_text()
    (port,) = tomllib.loads(text)["port"]
    assert (port["protocol"], port["baud"]) == ("gnss", 38400)
    format_ = parsed(port["gnss"])
    assert format_ is not None
    assert (format_.source, format_.downslope_azimuth_deg) == ("relposned", 215.0)
    absolute = text.replace("# [port.gnss.origin]", "[port.gnss.origin]").replace(
        'source = "relposned"', 'source = "hpposllh"'
    )
    for key in ("latitude_deg", "longitude_deg", "height_m"):
        absolute = absolute.replace(f"# {key}", key)
    (port,) = tomllib.loads(absolute)["port"]
    format_ = parsed(port["gnss"])
    assert format_ is not None
    assert format_.origin == Origin(46.123456789, 8.987654321, 1523.4567)
