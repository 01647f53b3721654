"""A simulated node and the TW1 driver that reads it, met."""

from __future__ import annotations

from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.reading import Channel, Dropped, Quantity, Reading, Unit
from firmware_bridge.sim_node import SimulatedNode, describe

CHANNELS = (
    Channel("tilt", Quantity.TILT, Unit.MRAD, -260.0, 260.0, 1000),
    Channel("pore", Quantity.PORE_PRESSURE, Unit.KPA, -100.0, 300.0, 1000),
)
NOW_MS = 1_700_000_000_000


def met(node: SimulatedNode, driver: Tw1Driver, now_ms: int = NOW_MS) -> None:
    """Let the driver ask until it has nothing more to ask."""
    for _ in range(100):
        asked = driver.write_next(now_ms)
        if not asked:
            return
        driver.receive(node.receive(asked), now_ms)
    raise AssertionError("the driver never stops asking")


def pair(**arguments: object) -> tuple[SimulatedNode, Tw1Driver]:
    node = SimulatedNode(describe(CHANNELS), **arguments)
    driver = Tw1Driver("node-1", clock="arrival")
    driver.opened(NOW_MS)
    met(node, driver)
    return node, driver


def sent(node: SimulatedNode, row: tuple[float, ...] = (1.5, 20.0), second: int = 0) -> bytes:
    return b"".join(node.sample(row, second * 1_000_000))


def only_dropped(items: list[Reading | Dropped]) -> Dropped:
    (item,) = items
    assert isinstance(item, Dropped)
    return item


def only_reading(items: list[Reading | Dropped]) -> Reading:
    (item,) = items
    assert isinstance(item, Reading)
    return item
