"""The [port.sdi12] table: what it gives, and how its mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

import firmware_bridge
from edge.calibration import Linear
from edge.config import load_config
from edge.errors import ConfigError
from edge.fields import Mistakes, Table
from edge.parse_sdi12 import parse_sdi12
from edge.tips import Counter
from firmware_bridge.sdi12_plan import MISSING, Sdi12Plan, Sdi12Sensor

SENSOR = {
    "address": "3",
    "name": "probe",
    "command": "CC",
    "period_s": 60,
    "channels": {"moisture": 0, "temperature": 2},
}


def parsed(data: object) -> Sdi12Plan | None:
    found = Mistakes("gateway.toml")
    plan = parse_sdi12(Table(data, "port[0].sdi12", found))
    found.raise_if_any()
    return plan


def test_a_whole_table() -> None:
    more = {"timeout_ms": 500, "retries": 5, "max_wait_s": 30, "missing": [-1]}
    plan = parsed({"gap_ms": 50, "suffix": "\r", "prefix": "", "sensor": [{**SENSOR, **more}]})
    channels = (("moisture", 0), ("temperature", 2))
    sensor = Sdi12Sensor("3", "probe", "CC", channels, 60.0, 500, 5, 30, (-1.0,))
    assert plan == Sdi12Plan((sensor,), gap_ms=50, suffix=b"\r")


def test_what_is_not_stated_asks_for_a_crc_three_times_again() -> None:
    plan = parsed({"sensor": [{key: SENSOR[key] for key in SENSOR if key != "command"}]})
    assert plan is not None
    (sensor,) = plan.sensors
    assert (sensor.command, sensor.retries, sensor.timeout_ms) == ("MC", 3, 1000)
    assert sensor.missing == MISSING
    assert (plan.gap_ms, plan.prefix, plan.suffix) == (20, b"", b"")


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"address": "%"}, "sensor[0].address: '%' is not one of '0'-'9'"),
        ({"address": 3}, "sensor[0].address: must be a text"),
        ({"name": ""}, "sensor[0].name: must not be empty"),
        ({"command": "V"}, "sensor[0].command: 'V' is not one of M, MC"),
        ({"period_s": 0}, "sensor[0].period_s: 0 is outside"),
        ({"channels": {}}, "sensor[0].channels: name the values"),
        ({"channels": {"a": 99}}, "sensor[0].channels.a: 99 is outside"),
        ({"channels": {"a": "0"}}, "sensor[0].channels.a: must be a whole number"),
        ({"channels": {"a": 1, "b": 1}}, "sensor[0]: channels: value 1 is a and b"),
        ({"command": "M", "channels": {"a": 9}}, "sensor[0]: channels: a = 9: 0..8 for M"),
        ({"timeout_ms": 1}, "sensor[0].timeout_ms: 1 is outside"),
        ({"retries": 2.5}, "sensor[0].retries: must be a whole number"),
        ({"max_wait_s": 1000}, "sensor[0].max_wait_s: 1000 is outside"),
        ({"missing": [True]}, "sensor[0].missing: must be a list of numbers"),
        ({"adress": "3"}, "sensor[0].adress: unknown key; did you mean 'address'?"),
    ],
)
def test_a_mistake_of_a_sensor_is_named_by_its_path(change: dict, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed({"sensor": [{**SENSOR, **change}]})
    assert f"port[0].sdi12.{mistake}" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"sensor": []}, ".sensor: at least 1 needed"),
        ({"sensor": SENSOR}, ".sensor: there may be several: write [[port.sdi12.sensor]]"),
        ({"sensor": [SENSOR, SENSOR]}, ": address: '3' is there twice"),
        ({"gap_ms": 5}, ".gap_ms: 5 is outside"),
        ({"prefix": "é"}, ".prefix: 'é': ASCII only"),
        ({"suffix": "x" * 40}, ": suffix: 40 bytes, at most 32"),
        ({"crc": True}, ".crc: unknown key"),
    ],
)
def test_a_mistake_of_the_bus_is_named_by_its_path(change: dict, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed({"sensor": [SENSOR], **change})
    assert f"port[0].sdi12{mistake}" in str(caught.value)


@pytest.mark.parametrize("missing", ["address", "name", "period_s", "channels"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"sensor\[0\].{missing}"):
        parsed({"sensor": [{key: value for key, value in SENSOR.items() if key != missing}]})


@pytest.mark.parametrize(
    "junk", [None, 5, [], "x", {"sensor": [5]}, {"sensor": [{"channels": 5, "address": {}}]}]
)
def test_junk_is_a_mistake_and_not_an_exception(junk: object) -> None:
    with pytest.raises(ConfigError):
        parsed(junk)


GATEWAY = """
[gateway]
name = "slope"
[mqtt]
host = "127.0.0.1"
[[station]]
name = "north"
bundle = ""
"""
CHANNEL = """
[[station.channel]]
name = "water"
port = "{port}"
column = "{column}"
unit = "{unit}"
"""


@pytest.mark.parametrize(
    ("profile", "port", "column", "unit"),
    [
        ("sdi12_soil_moisture.toml", "soil", "counts_2m", "m3/m3"),
        ("tipping_bucket.toml", "rain", "tips", "mm"),
        ("campbell_toa5.toml", "logger", "pore_pressure", "kPa"),
    ],
)
def test_a_profile_is_part_of_a_whole_configuration(
    profile: str, port: str, column: str, unit: str, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.toml"
    text = (Path(firmware_bridge.__file__).parent / "profiles" / profile).read_text()
    channel = CHANNEL.format(port=port, column=column, unit=unit)
    if "# [[station.channel]]" in text:
        text, _, commented = text.partition("# [[station.channel]]")
        channel = "[[station.channel]]" + commented.replace("\n# ", "\n")
    path.write_text(GATEWAY + channel + text)
    config = load_config(path)
    assert [each.name for each in config.ports] == [port]
    (found,) = config.stations[0].channels
    assert (found.port, found.plan.column, found.unit) == (port, column, unit)
    if profile == "tipping_bucket.toml":
        assert found.plan.stages == (Counter(200, 65_536), Linear(0.2))
        assert found.aggregate == "sum"
    path.write_text(GATEWAY + channel.replace(f'"{column}"', '"typo"') + text)
    with pytest.raises(ConfigError, match="typo"):
        load_config(path)
