"""What is put around a message when it is sent: the flag, the properties, the compression."""

from __future__ import annotations

import json
import zlib

import mqtt_parts as parts
from hypothesis import given
from hypothesis import strategies as st

from edge.message import Message, to_json
from edge.mqtt_wrap import (
    LATE_MS,
    LIVE_MS,
    flagged,
    is_late,
    packet_bytes,
    wire_payload,
    wire_properties,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(min_size=1).filter(lambda k: k != "replayed"), VALUES, min_size=1))
def test_the_flag_changes_nothing_else(values) -> None:
    payload = to_json(values)
    late = flagged(payload)
    assert json.loads(late) == values | {"replayed": True}
    assert late.replace(b',"replayed":true}', b"}") == payload  # and so it can be taken off again
    assert flagged(late) == late


@given(st.binary())
def test_what_is_no_object_is_left_alone(data) -> None:
    out = flagged(data)
    assert out == data or (data.startswith(b"{") and data.endswith(b"}"))


def test_a_text_that_speaks_of_the_flag_is_not_the_flag() -> None:
    payload = to_json({"reason": '"replayed":true'})
    assert json.loads(flagged(payload))["replayed"] is True


def test_late_is_what_waited_for_a_connection_or_for_long() -> None:
    hour = 3_600_000.0
    assert not is_late(LIVE_MS - 1, 0.0, hour)
    assert is_late(LIVE_MS, 0.0, hour)
    assert not is_late(LATE_MS - 1, hour, hour)
    assert is_late(LATE_MS, hour, hour)
    assert is_late(52.0, 10.0, 50.0)  # of an earlier run: nobody knows how long that was ago
    assert not is_late(40.0, 10.0, 50.0)


def test_properties_say_id_kind_and_replayed_and_only_telemetry_expires() -> None:
    config = parts.config(1, protocol="5", telemetry_expiry_s=3600)
    found = wire_properties(parts.alarm(3), config, replayed=True)
    assert found.UserProperty == [("id", "s-3-1"), ("kind", "alarm"), ("replayed", "true")]
    assert not hasattr(found, "MessageExpiryInterval")
    found = wire_properties(parts.telemetry(4), config, replayed=False)
    assert found.UserProperty == [("id", "t-4"), ("kind", "telemetry"), ("replayed", "false")]
    assert found.MessageExpiryInterval == 3600
    assert wire_properties(parts.alarm(3), parts.config(1), replayed=True) is None


@given(st.text(max_size=200), st.binary(max_size=300))
def test_a_packet_is_never_larger_than_reckoned(topic, payload) -> None:
    config = parts.config(1, protocol="5", telemetry_expiry_s=2**32 - 2)
    message = Message(topic, payload, 2)
    properties = wire_properties(message, config, replayed=True)
    size = len(properties.pack()) + len(topic.encode()) + len(payload) + 1 + 4 + 2 + 2
    assert size <= packet_bytes(message)


def test_telemetry_alone_is_compressed_and_known_by_its_first_byte() -> None:
    config = parts.config(1, telemetry_encoding="zlib")
    telemetry = parts.telemetry(1, size=1000)
    packed = wire_payload(telemetry, config, replayed=True)
    assert packed[:1] != b"{"
    assert len(packed) < 200
    assert zlib.decompress(packed) == flagged(telemetry.payload)
    assert wire_payload(parts.alarm(1), config, replayed=False) == parts.alarm(1).payload
