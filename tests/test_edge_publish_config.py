"""The table [publish] of gateway.toml: what it says, and what a person is told of a mistake."""

from __future__ import annotations

import pytest
from publish_parts import WANTED, configured

from edge.errors import ConfigError
from edge.parse_publish import CapArea


def test_the_table_is_read(tmp_path) -> None:
    publish = configured(tmp_path, WANTED).publish
    assert publish.forecast
    assert publish.home_assistant == "homeassistant"
    assert publish.cap is not None
    assert (publish.cap.status, publish.cap.scope) == ("Test", "Private")
    area = CapArea("Bluff above the railway", circle="47.15,8.15 0.5")
    assert dict(publish.cap.areas) == {"slope": area}
    assert publish.sensorthings is not None
    assert publish.sensorthings.every_ms == 3_600_000
    assert publish.sensorthings.datastreams == (
        ("slope", "crack_1", "17"),
        ("slope", "rain", "'rain-7'"),
    )


SENDER = 'sender = "a@b"'


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (SENDER, "", "publish.cap.sender: missing"),
        (SENDER, 'sender = "a b"', "publish.cap.sender: 'a b'"),
        (SENDER, SENDER + '\nstatus = "Real"', "publish.cap.status: 'Real' is not one of Test"),
        (SENDER, SENDER + '\nstatus = "Actual"', "publish.cap.area: status 'Actual' needs"),
        (SENDER, SENDER + '\nscope = "Restricted"', "publish.cap.restriction: goes with"),
        (SENDER, SENDER + "\naddresses = []", "publish.cap.addresses: scope 'Private' needs"),
        (SENDER, SENDER + '\naddresses = ["a\\"b"]', "publish.cap.addresses: names"),
        (SENDER, SENDER + '\ninstructions = ["run"]', "publish.cap.instructions: four texts"),
        (SENDER, SENDER + "\nfrom_level = 0", "publish.cap.from_level: 0 is outside 1 .. 4"),
        (SENDER, SENDER + '\nevent = " "', "publish.cap.event: must say"),
        (SENDER, SENDER + "\nlanguage = 'de'", "publish.cap.language: unknown key"),
        ("area.slope", "area.other", "publish.cap.area.other: no such station; there are: slope"),
        ("1,2 3,4 5,6 1,2", "1,2 3,4 5,6", "publish.cap.area.slope.polygon: 'lat,lon lat,lon"),
        ("1,2 3,4 5,6 1,2", "91,2 3,4 5,6 91,2", "publish.cap.area.slope.polygon"),
        ("7,8 0.5", "7,8", "publish.cap.area.slope.circle: 'lat,lon radius'"),
        ("7,8 0.5", "7,181 0.5", "publish.cap.area.slope.circle"),
        ("7,8 0.5", "7,8 0", "publish.cap.area.slope.circle"),
        ('"slope/rain" = 1', '"rain" = 1', "sensorthings.datastreams.rain: no such channel"),
        ('"slope/rain" = 1', '"slope/rain" = "a/b"', "datastreams.slope/rain: the id of"),
        ('"slope/rain" = 1', '"slope/rain" = 2', "datastreams: one id for two channels"),
        ("[publish.home_assistant]", "[publish.home_assistant]\nprefix = 'a/#'",
         "publish.home_assistant.prefix: 'a/#': a plain topic"),
        ("[publish.home_assistant]", "[publish.homeassistant]",
         "publish.homeassistant: unknown key; did you mean 'home_assistant'?"),
        ("every_s = 1", "every_s = -1", "publish.sensorthings.every_s"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_path(tmp_path, old: str, new: str, why: str) -> None:
    good = f"""
[publish.cap]
{SENDER}
[publish.cap.area.slope]
polygon = "1,2 3,4 5,6 1,2"
circle = "7,8 0.5"
[publish.home_assistant]
[publish.sensorthings]
every_s = 1
datastreams = {{ "slope/rain" = 1, "slope/tilt_x" = 2 }}
"""
    assert configured(tmp_path, good).publish.cap is not None
    if "Actual" in new:
        good = good.replace('circle = "7,8 0.5"', "").replace('polygon = "1,2 3,4 5,6 1,2"', "")
    assert old in good
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, good.replace(old, new))
    assert why in str(caught.value)


@pytest.mark.parametrize("what", ["home_assistant", "sensorthings"])
def test_who_reads_json_gets_no_compressed_telemetry(tmp_path, what: str) -> None:
    compact = ("[mqtt]\n", '[mqtt]\ntelemetry_encoding = "zlib"\n')
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, WANTED, compact)
    assert f"publish.{what}: reads JSON" in str(caught.value)
