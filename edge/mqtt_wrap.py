"""What is put around a message when it is sent, and never before: the outbox holds it bare.

``replayed``: whoever hears a message that waited through an outage must not take it for news. In
3.1.1 there is no room for that but in the payload, so a JSON object gets one member more, at its
end: ``{...}`` becomes ``{...,"replayed":true}``. What is not late has no such member, and stays
byte for byte what a replay of the capture gives. A topic of its own would have to be subscribed
to, and allowed, twice. Retained messages never bear it: they tell how things stand, however late.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.message import TELEMETRY

if TYPE_CHECKING:
    from edge.message import Message
    from edge.parse_mqtt import MqttConfig

REPLAYED = b'"replayed":true'
"""As it stands in a message; inside a text its quotes would be escaped."""
_ID = re.compile(rb'"id":"([\w.:/-]{1,200})"')
_ID_WITHIN = 256
_HEADER_BYTES = 300
"""More than number and properties take beside payload and topic (whose end stands there twice)."""


LIVE_MS = 2_000
"""What was put so long before a connection began has waited for it."""
LATE_MS = 10_000
"""What was put so long before it is sent is no news, connection or not."""

_ROUNDED_MS = 2.0


def is_late(age_ms: float, connected_ms: float, running_ms: float) -> bool:
    """Whether a message is sent late, all times counted back from now.

    ``running_ms``: since this run began; what is older was left over by an earlier one, and nobody
    knows for how long the gateway was off.
    """
    return age_ms >= min(connected_ms + LIVE_MS, LATE_MS, running_ms + _ROUNDED_MS)


def flagged(payload: bytes) -> bytes:
    """Return a JSON object with ``replayed``, once; anything else as it is."""
    is_object = len(payload) > 2 and payload.startswith(b"{") and payload.endswith(b"}")
    if not is_object or REPLAYED in payload:
        return payload
    return payload[:-1] + b"," + REPLAYED + b"}"


def wire_payload(message: Message, config: MqttConfig, *, replayed: bool) -> bytes:
    """Return the bytes to be sent. zlib: telemetry alone; its first byte is never ``{``."""
    payload = flagged(message.payload) if replayed else message.payload
    if config.telemetry_encoding == "zlib" and message.priority == TELEMETRY:
        return zlib.compress(payload)
    return payload


def wire_properties(message: Message, config: MqttConfig, *, replayed: bool) -> Properties | None:
    """Return what MQTT 5 sends beside the payload, None on 3.1.1."""
    if config.protocol != "5":
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    found = _ID.search(message.payload[:_ID_WITHIN])
    pairs = [("id", found[1].decode("ascii", "replace"))] if found else []
    pairs.append(("kind", message.topic.rsplit("/", 1)[-1]))
    late = replayed or REPLAYED in message.payload
    pairs.append(("replayed", "true" if late else "false"))
    properties.UserProperty = pairs
    if message.priority == TELEMETRY and config.telemetry_expiry_s:
        properties.MessageExpiryInterval = config.telemetry_expiry_s
    return properties


def packet_bytes(message: Message) -> int:
    """Return at least as many bytes as the packet of a message has."""
    return len(message.payload) + 2 * len(message.topic.encode()) + _HEADER_BYTES
