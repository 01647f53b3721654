"""The TW1 driver against a simulated node: readings, and every damage as what it is."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tw1_pair import CHANNELS, NOW_MS, met, only_dropped, only_reading, pair, sent

from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.framing import (
    ACK_REQ,
    ERROR,
    RESERVED,
    RESPONSE,
    VERSION,
    Frame,
    encode,
)
from firmware_bridge.messages import DATA, DATA_BATCH, DESCRIBE, HELLO
from firmware_bridge.reading import ROW_REASONS, Dropped, Reading
from firmware_bridge.sim_faults import Faults, FaultyWire
from firmware_bridge.sim_node import SimulatedNode, describe


def test_a_node_is_asked_and_then_read() -> None:
    node, driver = pair(stats_every=1)
    assert driver.layout == CHANNELS
    reading = only_reading(driver.receive(sent(node, (1.234, 0.0)), NOW_MS + 5))
    assert reading == Reading("node-1", NOW_MS + 5, 0, ("tilt", "pore"), (1.234, 0.0), NOW_MS + 5)
    again = only_reading(driver.receive(sent(node, second=1), NOW_MS + 1005))
    assert again.channels is reading.channels
    health = driver.health()
    assert health.battery_mv == 3600
    assert health.firmware == "1.0.0"
    assert health.node_uid == node.identity.uid.hex()
    assert health.dropped == ()


def test_byte_by_byte_gives_the_same() -> None:
    node, driver = pair()
    stream = b"".join(sent(node, (float(i), 1.0), i) for i in range(20)) + b"\x07garbage\0"
    twin = Tw1Driver("node-1", clock="arrival")
    twin.opened(NOW_MS)
    met(node, twin)
    whole = driver.receive(stream, NOW_MS)
    assert whole == [item for byte in stream for item in twin.receive(bytes((byte,)), NOW_MS)]
    assert driver.health() == twin.health()


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_any_bytes_never_raise(parts: list[bytes]) -> None:
    _, driver = pair()
    for part in parts:
        driver.receive(part, NOW_MS)
    counted = sum(count for _, count in driver.health().dropped)
    assert counted <= sum(map(len, parts)) + 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from([HELLO, DESCRIBE, DATA, DATA_BATCH, 0x3F, 0x77]),
            st.integers(0, 15),
            st.binary(max_size=40),
        ),
        max_size=10,
    ),
    st.booleans(),
)
def test_any_payload_in_a_sound_frame_never_raises(messages: list, known: bool) -> None:
    node, driver = pair() if known else (SimulatedNode(describe(CHANNELS)), Tw1Driver("x"))
    for kind, flags, payload in messages:
        start = node.layout.schema.to_bytes(2, "little") if kind == DATA and known else b""
        driver.receive(encode(Frame(VERSION, flags, kind, 1, 0, start + payload)), NOW_MS)
        driver.write_next(NOW_MS)
    assert driver.health().frames_ok >= len(messages)


def test_every_sample_is_accounted_for_on_a_bad_line() -> None:
    node, driver = pair()
    wire = FaultyWire(Faults(flip_rate=0.1, drop_rate=0.1, duplicate_rate=0.1, seed=9))
    items: list[Reading | Dropped] = []
    rows = 3000
    for i in range(rows):
        items += driver.receive(wire.carry(sent(node, (0.001 * i, 1.0), i)), NOW_MS + 1000 * i)
    items += driver.receive(sent(node, second=rows), NOW_MS + 1000 * rows)  # shows the last gap
    readings = [item for item in items if isinstance(item, Reading)]
    reasons = Counter(item.reason for item in items if isinstance(item, Dropped))
    health = driver.health()
    assert len(readings) + health.gaps == rows + 1
    assert health.gaps == wire.lost + wire.flipped
    assert health.duplicates == reasons.pop("duplicate") == wire.duplicated
    assert set(reasons) <= ROW_REASONS
    assert sum(reasons.values()) == wire.flipped
    assert [r.sequence for r in readings] == sorted({r.sequence for r in readings})
    assert all(r.values[0] in (round(0.001 * r.sequence, 3), 1.5) for r in readings)


def test_a_value_out_of_range_or_missing_is_nan_and_counted() -> None:
    node, driver = pair()
    reading = only_reading(driver.receive(sent(node, (261.0, 0.0)), NOW_MS))
    assert math.isnan(reading.values[0])
    assert reading.values[1] == 0.0
    reading = only_reading(driver.receive(sent(node, (1.0, math.nan), 1), NOW_MS))
    assert math.isnan(reading.values[1])
    dropped = only_dropped(driver.receive(sent(node, (math.nan, math.nan), 2), NOW_MS))
    assert dropped.reason == "empty"
    assert dict(driver.health().values_rejected) == {"invalid": 3, "range": 1}
    assert driver.health().gaps == 0


def test_unknown_types_and_flags_are_counted_and_ignored() -> None:
    node, driver = pair()
    assert driver.receive(encode(Frame(VERSION, 0, 0x7E, 1, 0, b"new")), NOW_MS) == []
    payload = node.layout.pack(0, 0, (1.0, 2.0))
    only_reading(driver.receive(encode(Frame(VERSION, RESERVED, DATA, 1, 0, payload)), NOW_MS))
    assert driver.receive(encode(Frame(VERSION, RESPONSE | ERROR, DESCRIBE, 1, 0, b"")), 0) == []
    echo = encode(Frame(VERSION, ACK_REQ, DESCRIBE, 1, 9, b"\0"))
    assert driver.receive(echo, NOW_MS) == []
    assert dict(driver.health().ignored) == {"type": 1, "flag": 1, "error": 1, "echo": 1}
    assert driver.health().reboots == 0  # the echo has our boot counter, not the node's


def test_an_unknown_version_is_damage() -> None:
    _, driver = pair()
    dropped = only_dropped(driver.receive(encode(Frame(2, 0, DATA, 1, 0, b"x" * 20)), NOW_MS))
    assert dropped.reason == "version"


def test_a_batch_is_as_many_samples() -> None:
    node, driver = pair(batch=4)
    frames = [sent(node, (0.5 * i, float(i)), i) for i in range(8)]
    assert [bool(frame) for frame in frames] == [False, False, False, True] * 2
    items = driver.receive(frames[3], NOW_MS) + driver.receive(frames[7], NOW_MS + 4000)
    assert [r.values for r in items] == [(0.5 * i, float(i)) for i in range(8)]
    assert [r.time_ms - NOW_MS for r in items] == [-3000, -2000, -1000, 0, 1000, 2000, 3000, 4000]
    assert [r.sequence for r in items] == list(range(8))


@pytest.mark.parametrize("size", [0, 1, 18, 19, 27, 29, 244])
def test_a_batch_of_another_size_is_refused(size: int) -> None:
    node, driver = pair()
    payload = (node.layout.schema.to_bytes(2, "little") + bytes(16) + b"\2" * 226)[:size]
    frame = encode(Frame(VERSION, 0, DATA_BATCH, 1, 0, payload))
    assert only_dropped(driver.receive(frame, NOW_MS)).reason == "format"


def test_a_frame_cut_by_a_vanishing_port_is_one_row() -> None:
    node, driver = pair()
    frame = sent(node)
    driver.receive(frame[:20], NOW_MS)
    driver.opened(NOW_MS + 1000)
    items = driver.receive(frame[20:] + sent(node, second=1), NOW_MS + 1000)
    assert [getattr(item, "reason", "reading") for item in items] == [
        "truncated",
        "partial",
        "reading",
    ]
    assert "partial" not in ROW_REASONS
    assert driver.write_next(NOW_MS + 1000) != b""  # who is there now?
