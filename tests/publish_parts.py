"""Parts for the tests of what is published: a configuration of all of it, and who hears it."""

from __future__ import annotations

import queue
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.bench import demo_bundle
from edge.config import Config, load_config

PATIENCE_S = 60.0
WANTED = """
[publish]
forecast = true

[publish.cap]
sender = "slope-7@geo.example.org"

[publish.cap.area.slope]
description = "Bluff above the railway"
circle = "47.15,8.15 0.5"

[publish.home_assistant]

[publish.sensorthings]
every_s = 3600
datastreams = { "slope/crack_1" = 17, "slope/rain" = "rain-7" }
"""


def configured(folder: Path, text: str, *changes: tuple[str, str]) -> Config:
    """The demo's configuration and this; paths are of no matter."""
    path = folder / "gateway.toml"
    demo = (demo_bundle().parent / "gateway.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in demo
        demo = demo.replace(old, new)
    path.write_text(demo + text, encoding="utf-8")
    return load_config(path)


class Listener:
    """Hears everything at a broker, as bytes."""

    def __init__(self, port: int, name: str = "listener") -> None:
        self._inbox: queue.SimpleQueue[mqtt.MQTTMessage] = queue.SimpleQueue()
        self.heard: list[mqtt.MQTTMessage] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, name)
        ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._client.on_connect = lambda c, *_: c.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: ready.put(True)
        self._client.on_message = lambda _, __, message: self._inbox.put(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        ready.get(timeout=PATIENCE_S)

    def until(self, what) -> None:
        end = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < end, sorted({m.topic for m in self.heard})
            try:
                self.heard.append(self._inbox.get(timeout=0.1))
            except queue.Empty:
                continue

    def under(self, end: str) -> list[mqtt.MQTTMessage]:
        return [m for m in self.heard if m.topic.endswith(end)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
