"""The one thing that thingsboard-gateway waits for from its server: how much it may send."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from typing import Self

_ASKED = "v1/devices/me/rpc/request/"
_TOLD = "v1/devices/me/rpc/response/"
_NO_LIMITS = {
    "maxPayloadSize": 65536,
    "maxInflightMessages": 1000,
    "rateLimits": {},
    "gatewayRateLimits": {"messages": "", "telemetryMessages": "", "telemetryDataPoints": ""},
}


class ThingsBoard:
    """Answers getSessionLimits: there are none. Use as a context."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "thingsboard", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe(_ASKED + "+", 1)
        self._client.on_message = self._answer
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port, keepalive=5)

    @staticmethod
    def _answer(client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        if json.loads(message.payload).get("method") == "getSessionLimits":
            client.publish(_TOLD + message.topic[len(_ASKED) :], json.dumps(_NO_LIMITS), qos=1)

    def __enter__(self) -> Self:
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
