"""Home Assistant discovery, read as Home Assistant reads it: topics, keys, units, templates."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.alarm import LEVELS
from edge.bench import demo_bundle
from edge.config import Config, load_config
from edge.message import Message
from edge.parse_channels import QUANTITIES, UNITS
from edge.parse_publish import NOTHING, PublishConfig
from edge.pipeline import Pipeline
from edge.publish import PUBLISHED, Publisher

WHY = "NOT TESTED: pip install jinja2 to render the templates of Home Assistant"
PREFIX = "talus/demo"
NOW_MS = 1_704_067_200_000
TOPIC = re.compile(r"(?P<component>\w+)/(?:(?P<node>[a-zA-Z0-9_-]+)/)?(?P<object>[a-zA-Z0-9_-]+)"
                   r"/config\Z")  # fmt: skip
ANY = {"name", "state_topic", "value_template", "availability", "device", "unique_id", "origin",
       "qos", "device_class", "json_attributes_topic", "entity_category", "icon"}  # fmt: skip
KEYS = {
    "sensor": ANY | {"state_class", "unit_of_measurement", "expire_after", "options"},
    "binary_sensor": ANY,
}
# Units that each device class of a sensor takes; one it does not take is an error in its log.
CLASS_UNITS = {
    "distance": {"mm", "cm", "m", "km"}, "temperature": {"°C", "°F", "K"},
    "voltage": {"V", "mV"}, "frequency": {"Hz", "kHz", "MHz", "GHz"},
    "pressure": {"Pa", "hPa", "kPa", "bar", "mbar"},
    "atmospheric_pressure": {"hPa", "kPa", "mbar", "bar"}, "precipitation": {"mm", "cm", "in"},
    "precipitation_intensity": {"mm/h", "mm/d"}, "speed": {"mm/h", "mm/d", "m/s"},
    "enum": {None},
}  # fmt: skip
PAIRS = [(quantity, unit) for quantity in QUANTITIES for unit in UNITS]
BINARY_CLASSES = {"problem", "connectivity"}


def config_of(publish: PublishConfig | None = None) -> Config:
    config = load_config(demo_bundle().parent / "gateway.toml")
    return replace(config, publish=publish or PublishConfig(home_assistant="homeassistant"))


def born(config: Config, saved: bytes | None = None) -> tuple[Publisher, list[Message]]:
    publisher = Publisher(config, f"talus/{config.name}", saved)
    stations = Pipeline(config, {s.name: "no bundle" for s in config.stations}).stations
    return publisher, publisher.birth(stations, NOW_MS)


def entities(config: Config) -> dict[str, dict[str, Any]]:
    """What Home Assistant makes of it, by topic; all that it would refuse is refused here."""
    found: dict[str, dict[str, Any]] = {}
    for message in born(config)[1]:
        if not message.topic.endswith("/config"):
            continue
        matched = TOPIC.match(message.topic.removeprefix("homeassistant/"))
        assert matched, message.topic
        assert message.retain
        assert message.topic not in found
        values = json.loads(message.payload)
        component = matched["component"]
        assert set(values) <= KEYS[component], message.topic
        assert {"state_topic", "unique_id", "device", "origin"} <= set(values)
        known = values.get("device_class")
        if component == "binary_sensor":
            assert known in BINARY_CLASSES
        elif known is not None:
            assert values.get("unit_of_measurement") in CLASS_UNITS[known], values
        if known == "enum":
            assert "state_class" not in values
            assert values["options"] == list(LEVELS)
        found[message.topic] = values | {"component": component}
    assert len({values["unique_id"] for values in found.values()}) == len(found)
    return found


def one(config: Config, unique_id: str) -> dict[str, Any]:
    (found,) = (v for v in entities(config).values() if v["unique_id"] == f"talus/{unique_id}")
    return found


def rendered(template: str, payload: dict[str, Any]) -> str:
    """Render as Home Assistant does: sandboxed, and what is not there would be in its log."""
    jinja2 = pytest.importorskip("jinja2", reason=WHY)
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    logged: list[str] = []

    class Log:
        warning = error = lambda _, *words: logged.append(str(words))

    undefined = jinja2.make_logging_undefined(Log())
    text = json.dumps(payload)
    environment = ImmutableSandboxedEnvironment(undefined=undefined)
    shown = environment.from_string(template).render(value=text, value_json=json.loads(text))
    assert logged == []
    return shown.strip()


def wide() -> Config:
    """A gateway "wide" whose station has a channel of every quantity in every unit."""
    config = config_of()
    (station,) = config.stations
    channels = tuple(
        replace(station.channels[0], name=f"{quantity} {unit}", quantity=quantity, unit=unit)
        for quantity, unit in PAIRS
    )
    return replace(config, name="wide", stations=(replace(station, channels=channels),))


def telemetry(*rows: list[float | None], **more: Any) -> dict[str, Any]:
    return {"format": 1, "rows": [[NOW_MS + i, i, *row] for i, row in enumerate(rows)], **more}


def test_a_slope_is_a_device_with_its_level_its_silence_and_its_channels() -> None:
    found = entities(config_of())
    by_device: dict[str, list[str]] = {}
    for values in found.values():
        by_device.setdefault(values["device"]["identifiers"][0], []).append(values["name"])
    assert by_device == {
        "talus/demo": ["Broker connection"],
        "talus/demo/slope": [
            "Alarm level", "Alarm", "No data", "crack_1", "crack_2", "tilt_x", "tilt_y",
            "pore_pressure", "rain", "soil_moisture", "air_temperature",
        ],
    }  # fmt: skip
    for values in found.values():
        if values["device"]["model"] == "slope":
            assert values["device"]["via_device"] == "talus/demo"
            assert [each["topic"] for each in values["availability"]] == ["talus/demo/status"]
    crack = one(config_of(), "demo/slope/channel/crack_1")
    assert (crack["device_class"], crack["unit_of_measurement"]) == ("distance", "mm")
    assert crack["state_class"] == "measurement"
    assert crack["expire_after"] == 7200  # no_data_after_s: a dead sensor does not look alive
    rain = one(config_of(), "demo/slope/channel/rain")
    assert (rain["device_class"], rain["unit_of_measurement"]) == ("precipitation", "mm")
    tilt = one(config_of(), "demo/slope/channel/tilt_x")
    assert "device_class" not in tilt  # it has none for mrad


def test_the_templates_show_what_the_messages_say() -> None:
    config = config_of()
    state = {"level": 3, "level_name": "warning", "no_data": True}
    assert rendered(one(config, "demo/slope/alarm/level")["value_template"], state) == "3"
    assert rendered(one(config, "demo/slope/alarm/name")["value_template"], state) == "warning"
    no_data = one(config, "demo/slope/alarm/no_data")
    assert no_data["device_class"] == "problem"
    assert rendered(no_data["value_template"], state) == "ON"
    assert rendered(no_data["value_template"], state | {"no_data": False}) == "OFF"
    available = no_data["availability"][0]["value_template"]
    assert rendered(available, {"online": True}) == "online"
    assert rendered(available, {"online": False}) == "offline"
    status = one(config, "demo/status")
    assert rendered(status["value_template"], {"online": True}) == "ON"
    assert rendered(status["value_template"], {"online": False}) == "OFF"


def test_a_channel_shows_its_newest_value_and_zero_is_one() -> None:
    first = one(config_of(), "demo/slope/channel/crack_1")["value_template"]
    second = one(config_of(), "demo/slope/channel/crack_2")["value_template"]
    rows = telemetry([1.5, 10.0], [2.5, 0.0], [None, None])
    assert rendered(first, rows) == "2.5"
    assert rendered(second, rows) == "0.0"
    # '' leaves the state as it is: no row, none with a value, or what waited through an outage.
    assert rendered(first, telemetry()) == ""
    assert rendered(first, telemetry([None, 1.0])) == ""
    assert rendered(first, rows | {"replayed": True}) == ""


def test_every_quantity_in_every_unit_is_something_home_assistant_takes() -> None:
    assert len(entities(wide())) == 4 + len(PAIRS)


def test_names_that_mqtt_or_home_assistant_would_not_have_stay_apart() -> None:
    config = replace(config_of(), name="north.1")
    (station,) = config.stations
    names = ("crack.1", "crack_1", "crack 1", "Riß +#", "{{ 1 }}", "' | x", "a" * 300)
    channels = tuple(replace(station.channels[0], name=name) for name in names)
    odd = replace(config, stations=(replace(station, name="s.1", channels=channels),))
    found = entities(odd)
    assert {values["name"] for values in found.values()} >= set(names)
    for i, name in enumerate(names):
        values = one(odd, f"north.1/s.1/channel/{name}")
        assert f"attribute={i + 2})" in values["value_template"]  # its place, never its name
        assert values["state_topic"] == "talus/north.1/s.1/telemetry"


def test_what_stands_is_told_at_the_start() -> None:
    (state,) = (m for m in born(config_of())[1] if not m.topic.endswith("/config"))
    assert (state.topic, state.retain) == ("talus/demo/slope/state", True)
    values = json.loads(state.payload)
    assert (values["level"], values["level_name"], values["no_data"]) == (0, "normal", False)


def test_a_channel_that_is_gone_is_taken_back_and_all_of_it_when_switched_off() -> None:
    config = config_of()
    publisher, first = born(config)
    told = {m.topic for m in first if m.topic.endswith("/config")}
    (station,) = config.stations
    fewer = replace(config, stations=(replace(station, channels=station.channels[1:]),))
    less, second = born(fewer, publisher.state()[PUBLISHED])
    (gone,) = (m for m in second if not m.payload)
    assert gone.retain
    assert "crack_1" in gone.topic
    off, third = born(replace(config, publish=NOTHING), less.state()[PUBLISHED])
    assert {m.topic for m in third if not m.payload} == told - {gone.topic}
    assert [m.topic for m in third if m.payload] == ["talus/demo/slope/state"]
    assert all(m.retain for m in third)
    _, fourth = born(replace(config, publish=NOTHING), off.state()[PUBLISHED])
    assert [bool(m.payload) for m in fourth] == [True]


@pytest.fixture
def home_assistant() -> str:
    """A Python that has Home Assistant: ``pip install homeassistant paho-mqtt`` in a venv."""
    python = os.environ.get("TALUS_HOME_ASSISTANT", "")
    if not python:
        pytest.skip("NOT TESTED: TALUS_HOME_ASSISTANT names no Python that has homeassistant")
    return python


def test_home_assistant_itself_takes_it(home_assistant, tmp_path, broker, room, talus) -> None:
    from export.demo import make_node, write_config

    node = make_node(1500.0)
    with node:
        gateway = talus(write_config(tmp_path, node.device, broker.port))
        room.wait(lambda: node.rows_sent == 1426 and 4 in room.levels())
        gateway.stop()
    room.wait(lambda: any(not status["online"] for status in room.of("status")))
    messages = {topic: json.dumps(values) for topic, values, _ in room.messages}
    online = json.dumps({"format": 1, "gateway": "demo", "online": True})
    messages |= {"talus/demo/status": online, "talus/wide/status": online}
    messages["talus/wide/slope/state"] = messages["talus/demo/slope/state"]
    messages["talus/wide/slope/telemetry"] = json.dumps(telemetry([1.0] * len(PAIRS)))
    told = born(config_of())[1] + born(wide())[1]
    discovery = {m.topic: m.payload.decode() for m in told if m.topic.endswith("/config")}
    given = json.dumps({"discovery": discovery, "messages": messages})
    script = Path(__file__).with_name("home_assistant_reads.py")
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    began_s = time.monotonic()
    read = subprocess.run(
        [home_assistant, str(script)], input=given, capture_output=True, text=True, check=False,
        env=clean, timeout=120,
    )  # fmt: skip
    assert read.returncode == 0, f"{time.monotonic() - began_s:.0f} s: {read.stderr[-3000:]}"
    states = {topic: state for topic, (_, state) in json.loads(read.stdout).items()}
    shown = {json.loads(discovery[topic])["unique_id"]: state for topic, state in states.items()}
    row = json.loads(messages["talus/demo/slope/telemetry"])["rows"][-1]
    assert shown["talus/demo/slope/alarm/level"] == "4"
    assert shown["talus/demo/slope/alarm/name"] == "alarm"
    assert shown["talus/demo/slope/alarm/no_data"] == "OFF"
    assert float(shown["talus/demo/slope/channel/crack_1"]) == row[2]
    assert float(shown["talus/demo/slope/channel/rain"]) == row[7]
    assert len(shown) == len(born(config_of())[1]) - 1 + 4 + len(PAIRS)
