"""A Modbus line over a real pty: several slaves, faults, babble, a port that comes back."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

import pytest

from firmware_bridge.drivers.modbus import ModbusDriver
from firmware_bridge.modbus_plan import ModbusChannel, ModbusDevice, ModbusPlan
from firmware_bridge.port import Port, PortState
from firmware_bridge.reading import Driver, Dropped, Reading
from firmware_bridge.sim_faults import Faults
from firmware_bridge.sim_modbus import BusPty, SimulatedBus, SimulatedSlave, registers

Items = list[Reading | Dropped]


def gathered(port: Port, driver: Driver, enough: Callable[[Items], bool]) -> Items:
    """Run a small gateway loop until there is enough, at most 30 s."""
    items: Items = []
    end_s = time.monotonic() + 30
    while not enough(items) and time.monotonic() < end_s:
        now_ms = time.time_ns() // 1_000_000
        event = port.poll(now_ms)
        if event is not None and event.state is PortState.OPENED:
            driver.opened(now_ms)
        fileno = port.fileno()
        if fileno is None:
            time.sleep(0.02)
            continue
        items += driver.receive(b"", now_ms)
        request = driver.write_next(now_ms)
        if request:
            port.write(request)
        due_ms = driver.due_ms(now_ms)
        wait_ms = 20 if due_ms is None else min(20, max(0, due_ms - now_ms))
        if select.select([fileno], [], [], wait_ms / 1000)[0]:
            items += driver.receive(port.read(), time.time_ns() // 1_000_000)
    return items


def plan_of(*addresses: int, timeout_ms: int = 80, **more) -> ModbusPlan:
    devices = tuple(
        ModbusDevice(
            address,
            f"device-{address}",
            (
                ModbusChannel(f"tilt_{address}", 0, "float32", "CDAB"),
                ModbusChannel(f"count_{address}", 7),
            ),
            period_s=0.1,
            timeout_ms=timeout_ms,
        )
        for address in addresses
    )
    return ModbusPlan(devices, gap_ms=2, **more)


def unit(address: int, **more) -> SimulatedSlave:
    low, high = registers(address / 8, "f", "CDAB")
    return SimulatedSlave(address, {0: low, 1: high, 7: 100 + address}, **more)


def truth(address: int) -> tuple[float, ...]:
    return (address / 8, 100.0 + address)


@pytest.mark.parametrize("echo", [False, True])
def test_several_slaves_in_short_pieces(echo: bool) -> None:
    bus = SimulatedBus([unit(1), unit(2), unit(3)], echo=echo)
    driver = ModbusDriver("bus", plan_of(1, 2, 3, timeout_ms=2000, echo=echo))
    with BusPty(bus, time.monotonic) as line:
        port = Port(line.device, 19200)
        items = gathered(port, driver, lambda items: len(items) >= 18)
        port.close()
    assert not [item for item in items if isinstance(item, Dropped)]
    for item in items:
        assert isinstance(item, Reading)
        assert item.values == truth(int(item.channels[0][-1]))
    assert {item.channels for item in items if isinstance(item, Reading)} == {
        (f"tilt_{n}", f"count_{n}") for n in (1, 2, 3)
    }
    echoes = dict(driver.health().ignored)
    assert echoes.get("echo", 0) >= (36 if echo else 0)
    assert "noise" not in echoes


def test_damage_over_a_pty_makes_no_false_reading_and_every_loss_is_attributed() -> None:
    faults = Faults(flip_rate=0.1, drop_rate=0.2, duplicate_rate=0.05, garbage_rate=0.1, seed=3)
    bus = SimulatedBus([unit(1), unit(2), unit(3, dead=True)], faults=faults)
    driver = ModbusDriver("bus", plan_of(1, 2, 3))
    with BusPty(bus, time.monotonic) as line:
        port = Port(line.device)
        items = gathered(port, driver, lambda items: len(items) >= 25)
        port.close()
    assert bus.wire.flipped + bus.wire.lost + bus.wire.garbage > 5
    readings = [item for item in items if isinstance(item, Reading)]
    assert len(readings) >= 10
    for reading in readings:
        assert reading.values == truth(int(reading.channels[0][-1]))
    lost = [item for item in items if isinstance(item, Dropped)]
    health = driver.health()
    nodes = {name: dict(counts) for name, counts in health.nodes}
    assert sum(count for _, count in health.dropped) == len(lost)
    assert nodes["device-3"].get("timeout", 0) >= 1
    assert "readings" not in nodes["device-3"]
    for number in (1, 2, 3):
        own = [item for item in lost if f"device-{number} " in item.detail]
        counted = sum(nodes[f"device-{number}"].get(what, 0) for what in ("timeout", "crc"))
        assert counted == len(own)


def test_a_babbling_pty_is_read_through_and_left_at_the_deadline() -> None:
    bus = SimulatedBus([unit(1), unit(2, dead=True)])
    driver = ModbusDriver("bus", plan_of(1, 2))
    began_s = time.monotonic()
    with BusPty(bus, time.monotonic, babble=b"\x01\x03\x55") as line:
        port = Port(line.device)
        items = gathered(
            port, driver, lambda items: {type(item) for item in items} == {Reading, Dropped}
        )
        port.close()
    assert time.monotonic() - began_s < 20
    assert next(item.values for item in items if isinstance(item, Reading)) == truth(1)
    assert next(item.reason for item in items if isinstance(item, Dropped)) == "crc"
    assert dict(driver.health().ignored)["noise"] > 100


def test_a_cable_that_is_pulled_and_put_back(tmp_path) -> None:
    link = tmp_path / "bus"
    driver = ModbusDriver("bus", plan_of(1))
    port = Port(str(link), open_retry_ms=20)
    for _ in range(3):
        with BusPty(SimulatedBus([unit(1)]), time.monotonic, link=link):
            items = gathered(
                port, driver, lambda items: sum(isinstance(item, Reading) for item in items) >= 3
            )
            got = [item for item in items if isinstance(item, Reading)]
            assert len(got) >= 3
            assert {item.values for item in got} == {truth(1)}
    port.close()
