"""Run by a Python that has Home Assistant: its own schemas and templates read what is published.

stdin: {"discovery": {topic: payload}, "messages": {topic: payload}}; stdout: what each entity
shows, {topic: [component, state]}. Any refusal of Home Assistant is an exception.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile

from homeassistant.components.mqtt import binary_sensor, sensor
from homeassistant.components.mqtt.discovery import TOPIC_MATCHER
from homeassistant.components.sensor.const import (
    DEVICE_CLASS_STATE_CLASSES,
    DEVICE_CLASS_UNITS,
    SensorDeviceClass,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.template import Template

SCHEMAS = {
    "sensor": sensor.DISCOVERY_SCHEMA,
    "binary_sensor": binary_sensor.DISCOVERY_SCHEMA,
}


async def read(given: dict) -> dict:
    hass = HomeAssistant(tempfile.mkdtemp())
    shown = {}
    for topic, payload in given["discovery"].items():
        component = TOPIC_MATCHER.fullmatch(topic.removeprefix("homeassistant/"))["component"]
        values = SCHEMAS[component](json.loads(payload))
        known = values.get("device_class")
        if component == "sensor" and known not in (None, "enum"):
            device_class = SensorDeviceClass(known)
            assert values.get("unit_of_measurement") in DEVICE_CLASS_UNITS[device_class], topic
            assert values["state_class"] in DEVICE_CLASS_STATE_CLASSES[device_class], topic
        raw = json.loads(payload)
        template = Template(raw["value_template"], hass)
        message = given["messages"][raw["state_topic"]]
        state = template.async_render_with_possible_json_value(message, "REFUSED")
        shown[topic] = [component, state]
        for each in raw.get("availability", ()):
            online = Template(each["value_template"], hass)
            message = given["messages"][each["topic"]]
            assert online.async_render_with_possible_json_value(message, "?") == "online"
    await hass.async_stop(force=True)
    return shown


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read(json.load(sys.stdin)))))
