"""SDI-12 over a real pty, through the port that the gateway uses."""

from __future__ import annotations

import math
import select
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import firmware_bridge
from edge.fields import Mistakes, Table
from edge.parse_ports import parse_port
from firmware_bridge.drivers.sdi12 import Sdi12Driver, Sdi12Plan, Sdi12Sensor
from firmware_bridge.port import Port, PortState
from firmware_bridge.reading import Dropped, Reading
from firmware_bridge.sim_faults import Faults
from firmware_bridge.sim_sdi12 import BusFaults, Sdi12Pty, SimulatedBus, SimulatedSensor

if TYPE_CHECKING:
    from collections.abc import Callable

Items = list[Reading | Dropped]
PATIENCE_S = 30.0


def gathered(device: str, driver: Sdi12Driver, enough: Callable[[Items], bool]) -> Items:
    """Run a small gateway loop until there is enough."""
    items: Items = []
    port = Port(device, 9600)
    end_s = time.monotonic() + PATIENCE_S
    while not enough(items) and time.monotonic() < end_s:
        now_ms = time.time_ns() // 1_000_000
        event = port.poll(now_ms)
        if event is not None and event.state is PortState.OPENED:
            driver.opened(now_ms)
        items += driver.receive(b"", now_ms)
        fileno = port.fileno()
        if fileno is None:
            time.sleep(0.02)
            continue
        question = driver.write_next(now_ms)
        if question:
            port.write(question)
        due_ms = driver.due_ms(now_ms)
        wait_s = 0.05 if due_ms is None else min(0.05, max(0.0, (due_ms - now_ms) / 1000))
        if select.select([fileno], [], [], wait_s)[0]:
            items += driver.receive(port.read(), time.time_ns() // 1_000_000)
    port.close()
    return items


def readings(items: Items) -> list[Reading]:
    return [item for item in items if isinstance(item, Reading)]


def count_of(items: Items, address: str) -> int:
    return sum(reading.channels[0][0] == address for reading in readings(items))


def asked(address: str, command: str, values: int, **other) -> Sdi12Sensor:
    channels = tuple((f"{address}_{i}", i) for i in range(values))
    arguments = {"period_s": 0.2, "timeout_ms": 150, **other}
    return Sdi12Sensor(address, f"s{address}", command, channels, **arguments)


def test_a_bus_of_several_over_a_pty() -> None:
    rows = [(0.0, 1.5 + i, -i / 4) for i in range(500)]
    bus = SimulatedBus(
        [
            SimulatedSensor("0", rows, page_values=2),
            SimulatedSensor("1", rows, wait_s=0),
            SimulatedSensor("2", rows),
            SimulatedSensor("9", rows),
        ],
        echo=True,
    )
    bus.sensors[3].alive = False
    commands = (("0", "MC"), ("1", "CC"), ("2", "RC0"), ("9", "MC"))
    plan = Sdi12Plan(tuple(asked(a, command, 3, timeout_ms=400) for a, command in commands))
    driver = Sdi12Driver("bus", plan)
    with Sdi12Pty(bus) as instrument:
        items = gathered(
            instrument.device, driver, lambda items: min(count_of(items, a) for a in "012") >= 8
        )
    for sensor in bus.sensors[:3]:
        got = [r.values for r in readings(items) if r.channels[0][0] == sensor.address]
        assert len(got) >= 8
        places = [sensor.measured.index(values) for values in got]
        assert places == sorted(set(places))
    nodes = {address: dict(counts) for address, counts in driver.health().nodes}
    assert nodes["9"]["timeout"] >= 1
    assert "readings" not in nodes["9"]
    assert {item.reason for item in items if isinstance(item, Dropped)} == {"timeout"}


def test_faults_over_a_pty_lose_readings_and_make_none() -> None:
    rows = [(round(0.37 * i - 40, 2), round(91 - 0.11 * i, 2)) for i in range(2000)]
    sensors = [SimulatedSensor("0", rows, measure_ms=20), SimulatedSensor("1", rows[::-1])]
    bus = SimulatedBus(
        sensors,
        faults=Faults(0.05, 0.2, 0.05, 0.05, seed=3),
        bus_faults=BusFaults(0.02, 0.1, 0.05, 200),
    )
    plan = Sdi12Plan((asked("0", "MC", 2, max_wait_s=2), asked("1", "RC0", 2)))
    driver = Sdi12Driver("bus", plan)
    with Sdi12Pty(bus) as instrument:
        items = gathered(
            instrument.device, driver, lambda items: min(count_of(items, a) for a in "01") >= 6
        )
    for sensor in sensors:
        truth = set(sensor.measured)
        got = [r.values for r in readings(items) if r.channels[0][0] == sensor.address]
        assert len(got) >= 6
        assert truth.issuperset(got)
    nodes = dict(driver.health().nodes)
    assert dict(nodes["0"])["retries"] >= 1
    lost = sum(isinstance(item, Dropped) for item in items)
    assert lost == sum(count for _, count in driver.health().dropped)


def profile(name: str, **change: object) -> tuple[Sdi12Driver, dict]:
    """Read a profile's port; only its period is shortened."""
    text = (Path(firmware_bridge.__file__).parent / "profiles" / name).read_text()
    (data,) = tomllib.loads(text)["port"]
    for sensor in data["sdi12"]["sensor"]:
        assert sensor["period_s"] >= 10
        sensor.update(change)
    found = Mistakes(name)
    port = parse_port(Table(data, "port[0]", found))
    found.raise_if_any()
    assert isinstance(port.plan, Sdi12Plan)
    return Sdi12Driver(port.name, port.plan), data


def test_the_soil_moisture_profile_is_read_end_to_end() -> None:
    driver, data = profile("sdi12_soil_moisture.toml", period_s=0.5)
    assert (data["baud"], data["frame"]) == (9600, "8N1")
    rows = [(2150.5 + i, 8.1, 0.0) for i in range(100)]
    sensors = [SimulatedSensor(a, rows) for a in "124"]
    sensors[1] = SimulatedSensor("2", [(-9999.0, 8.1, 0.0)])
    with Sdi12Pty(SimulatedBus(sensors)) as instrument:
        items = gathered(instrument.device, driver, lambda items: len(items) >= 6)
    by_name = {reading.channels: reading.values for reading in readings(items)[:3]}
    assert by_name["counts_1m", "temperature_1m", "conductivity_1m"] == (2150.5, 8.1, 0.0)
    assert by_name["counts_4m", "temperature_4m"] == (2150.5, 8.1)
    second = by_name["counts_2m", "temperature_2m", "conductivity_2m"]
    assert math.isnan(second[0])
    assert second[1:] == (8.1, 0.0)
    assert driver.health().dropped == ()
    counts_to_water = 3.879e-4 * 2150.5 - 0.6956
    assert counts_to_water == pytest.approx(0.1386, abs=1e-3)
