"""A durable subscriber, and what came to it."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from typing import Self

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message as it came, duplicates too."""

    at_s: float
    topic: str
    payload: bytes

    @property
    def kind(self) -> str:
        """Return the last part of its topic."""
        return self.topic.rsplit("/", 1)[1]

    def values(self) -> dict[str, Any]:
        """Return the text of it."""
        found: dict[str, Any] = json.loads(self.payload)
        return found


class Room:
    """A durable subscriber (QoS 1, its session survives), connected to the broker itself."""

    def __init__(self, port: int, *topics: str, name: str = "room") -> None:
        self.arrived: list[Arrived] = []
        self._topics = topics or ("talus/#",)
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
        self._client.on_connect = self._connected
        self._client.on_disconnect = lambda *_: self._ready.clear()
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port, keepalive=5)
        self._client.loop_start()
        self.await_connected()

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(topic, 1) for topic in self._topics])

    def _take(self, _: Any, __: Any, message: mqtt.MQTTMessage) -> None:
        self.arrived.append(Arrived(time.monotonic(), message.topic, bytes(message.payload)))

    @property
    def away(self) -> bool:
        """Whether it is not subscribed now."""
        return not self._ready.is_set()

    def await_connected(self) -> None:
        """Wait until it is subscribed."""
        if not self._ready.wait(PATIENCE_S):
            raise RuntimeError("the subscriber got no answer from the broker")

    def alarms(self) -> list[dict[str, Any]]:
        """Return every alarm that came, duplicates too, as they came."""
        return [m.values() for m in list(self.arrived) if m.kind == "alarm"]

    def rows(self, station: str) -> set[int]:
        """Return the numbers of the rows of a station that came by telemetry."""
        found: set[int] = set()
        for each in list(self.arrived):
            if each.topic.endswith(f"/{station}/telemetry"):
                found.update(row[1] for row in each.values()["rows"])
        return found

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
