"""A gateway that starts beside a node that is already sending: nothing of it is lost."""

from __future__ import annotations

import math
import struct
from zlib import crc32

import pytest

from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.interview import Interview
from firmware_bridge.messages import Description, Hello, decode_description
from firmware_bridge.reading import Channel, Dropped, Quantity, Reading, Unit
from firmware_bridge.samples import HELD
from firmware_bridge.sim_node import SimulatedNode, describe

CHANNELS = tuple(
    Channel(f"tilt_{i}", Quantity.TILT, Unit.MRAD, -260.0, 260.0, 1000) for i in range(8)
)
NOW_MS = 1_700_000_000_000


def sample(node: SimulatedNode, i: int, every_ms: int) -> bytes:
    return node.sample([float(i)] * len(node.layout.descriptions), i * every_ms * 1000)[0]


def run(node: SimulatedNode, driver: Tw1Driver, first: int, last: int) -> list[Reading | Dropped]:
    """Samples every 3 ms, and an answer to each question between them."""
    items: list[Reading | Dropped] = []
    for i in range(first, last):
        now_ms = NOW_MS + 3 * i
        items += driver.receive(sample(node, i, 3), now_ms)
        items += driver.receive(node.receive(driver.write_next(now_ms)), now_ms)
    return items


def test_a_busy_node_is_understood_by_a_gateway_that_starts_late() -> None:
    node, driver = SimulatedNode(describe(CHANNELS)), Tw1Driver("late")
    driver.opened(NOW_MS)
    items = run(node, driver, 0, 200)
    assert [item.sequence for item in items if isinstance(item, Reading)] == list(range(200))
    assert len(items) == 200
    assert driver.health().gaps == 0


def test_samples_wait_for_their_layout_and_the_oldest_give_way() -> None:
    node, driver = SimulatedNode(describe(CHANNELS)), Tw1Driver("late")
    driver.opened(NOW_MS)
    refused = []
    for i in range(HELD + 10):
        refused += driver.receive(sample(node, i, 3), NOW_MS + i)
    assert [item.reason for item in refused if isinstance(item, Dropped)] == ["schema"] * 10
    items = []
    for i in range(20):
        items += driver.receive(node.receive(driver.write_next(NOW_MS + 100 + i)), NOW_MS + 100)
    assert [item.sequence for item in items] == list(range(10, HELD + 10))
    assert [item.received_ms for item in items] == [NOW_MS + i for i in range(10, HELD + 10)]


def test_a_node_with_a_new_layout_loses_nothing_either() -> None:
    node, driver = SimulatedNode(describe(CHANNELS)), Tw1Driver("renewed")
    driver.opened(NOW_MS)
    run(node, driver, 0, 50)
    hello = node.reboot(describe(CHANNELS[:3]))
    items = driver.receive(hello, NOW_MS + 150) + run(node, driver, 50, 100)
    readings = [item for item in items if isinstance(item, Reading)]
    assert [reading.sequence for reading in readings] == list(range(50, 100))
    assert {reading.channels for reading in readings} == {("tilt_0", "tilt_1", "tilt_2")}


def _record(
    i: int, n: int, quantity: int, unit: int, low: float, high: float, name: bytes
) -> bytes:
    return struct.pack("<BBBBBbIff", i, n, quantity, unit, 1, -3, 1000, low, high) + name


@pytest.mark.parametrize(
    "record",
    [
        _record(0, 1, 200, 3, -1.0, 1.0, b"new_sensor"),  # a quantity of newer firmware
        _record(0, 1, 2, 99, -1.0, 1.0, b"new_unit"),
        _record(0, 1, 2, 3, 0.0, 0.0, b"no_bounds"),
        _record(0, 1, 2, 3, math.nan, math.nan, b"no_bounds"),
        _record(0, 1, 2, 3, -2147483.6, 2147483.6, b"wide"),
        _record(0, 1, 2, 3, -1.0, 1.0, b"padded" + bytes(10)),
    ],
)
def test_a_node_is_understood_whatever_of_its_records_we_do_not_know(record: bytes) -> None:
    """The schema is made of the records as they came, and not of what we make of them."""
    schema = crc32(record) & 0xFFFF
    interview = Interview()
    interview.take_hello(Hello(1, bytes(8), (1, 0, 0), bytes(8), schema, 253, 0), 0)
    description = decode_description(record)
    assert isinstance(description, Description)
    assert interview.take_description(description, 0) is None
    assert interview.layout is not None
    assert interview.layout.schema == schema
