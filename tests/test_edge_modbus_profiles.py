"""The Modbus profiles against simulators of their instruments, on a pty."""

from __future__ import annotations

import math
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from modbus_table import parsed
from test_bridge_modbus_pty import gathered

import firmware_bridge
from firmware_bridge.drivers.modbus import ModbusDriver
from firmware_bridge.modbus_plan import (
    Check,
    ModbusPlan,
    Read,
    Wait,
    Write,
)
from firmware_bridge.port import Port
from firmware_bridge.reading import Dropped, Reading
from firmware_bridge.sim_modbus import BusPty, SimulatedBus, SimulatedSlave, registers


def profile(name: str) -> tuple[dict, ModbusPlan]:
    """Give the port stanza of a profile, and what it is parsed to."""
    path = Path(firmware_bridge.__file__).parent / "profiles" / f"{name}.toml"
    (port,) = tomllib.loads(path.read_text(encoding="utf-8"))["port"]
    assert port["protocol"] == "modbus"
    assert port["frame"] == "8N1"
    plan = parsed(port["modbus"])
    assert plan is not None
    return port, plan


def hurried(plan: ModbusPlan) -> ModbusPlan:
    """Give a plan whose waits and periods take a tenth of the time."""
    return replace(
        plan,
        devices=tuple(
            replace(
                device,
                period_s=max(0.1, device.period_s / 100),
                warm_up_ms=device.warm_up_ms // 10,
                steps=tuple(
                    Wait(step.ms // 10) if isinstance(step, Wait) else step for step in device.steps
                ),
            )
            for device in plan.devices
        ),
    )


def read_over_a_pty(
    plan: ModbusPlan, slaves: list[SimulatedSlave], enough: int
) -> tuple[ModbusDriver, list[Reading | Dropped]]:
    driver = ModbusDriver("bus", plan)
    with BusPty(SimulatedBus(slaves), time.monotonic) as line:
        port = Port(line.device)
        items = gathered(port, driver, lambda items: len(items) >= enough)
        port.close()
    return driver, items


def after_a_trigger(bank: dict[int, float], error: int | None) -> Callable[[int], dict[int, int]]:
    def measured(number: int) -> dict[int, int]:
        words = {} if error is None else {0x119: error}
        for register, value in bank.items():
            low, high = registers(value * number, "f", "CDAB")
            words |= {register: low, register + 1: high}
        return words

    return measured


def trigger_slave(
    bank: dict[int, float], error: int | None, measure_s: float = 0.1
) -> SimulatedSlave:
    empty = {register + i: 0xFFFF for register in bank for i in (0, 1)}
    if error is not None:
        empty[0x119] = 0
    return SimulatedSlave(
        1,
        empty | {0x118: 0},
        trigger=0x118,
        measure_s=measure_s,
        measures=after_a_trigger(bank, error),
    )


IPI = {0x100: 1.25, 0x102: -0.5, 0x106: 11.5}


def test_the_profile_of_an_in_place_inclinometer_reads_one() -> None:
    port, plan = profile("geokon_ipi")
    assert port["baud"] == 115200
    steps = plan.devices[0].steps
    assert steps == (Write(0x118, (1,)), Wait(1500), Read(), Check(0x119, 0))
    driver, items = read_over_a_pty(hurried(plan), [trigger_slave(IPI, 0)], 2)
    first, second = items
    assert isinstance(first, Reading)
    assert isinstance(second, Reading)
    assert first.channels == ("tilt_a_1", "tilt_b_1", "temperature_1")
    assert first.values == (1.25, -0.5, 11.5)
    assert second.values == (2.5, -1.0, 23.0)  # each a measurement of its own
    assert driver.health().dropped == ()


def test_an_inclinometer_that_found_an_error_gives_no_reading() -> None:
    _, plan = profile("geokon_ipi")
    driver, items = read_over_a_pty(hurried(plan), [trigger_slave(IPI, 12)], 1)
    (item,) = items
    assert isinstance(item, Dropped)
    assert item.reason == "exception"
    assert item.detail == "segment-1 (address 1): register 281 is 12, not 0"
    assert driver.health().nodes == (("segment-1", (("exception", 1),)),)


def test_an_inclinometer_that_is_read_too_early_gives_no_old_values() -> None:
    """Nothing is measured yet: the registers hold NaN."""
    _, plan = profile("geokon_ipi")
    _, items = read_over_a_pty(hurried(plan), [trigger_slave(IPI, 0, measure_s=5)], 1)
    assert [type(item) for item in items] == [Dropped]


def tiltmeter() -> SimulatedSlave:
    values = (0.0125, 0.0, -7.5)
    words = [word for value in values for word in registers(value, "f", "ABCD")]
    return SimulatedSlave(1, dict(enumerate(words)), warm_up_s=0.4)


def test_the_profile_of_a_tiltmeter_waits_until_it_is_warm() -> None:
    port, plan = profile("sisgeo_tiltmeter")
    assert port["baud"] == 9600
    assert plan.devices[0].warm_up_ms == 5000
    unit = tiltmeter()
    _, items = read_over_a_pty(hurried(plan), [unit], 2)
    for item in items:
        assert isinstance(item, Reading)
        assert item.values == pytest.approx((12.5, 0.0, -7.5))
        assert item.values[1] == 0.0
    cold = replace(hurried(plan).devices[0], warm_up_ms=0)
    _, items = read_over_a_pty(ModbusPlan((cold,)), [tiltmeter()], 1)
    assert [item.reason for item in items if isinstance(item, Dropped)] == ["exception"]
    assert "device failure" in items[0].detail


def test_the_tiltmeter_that_a_register_switches_on() -> None:
    """The commented steps of the profile, as they stand."""
    path = Path(firmware_bridge.__file__).parent / "profiles" / "sisgeo_tiltmeter.toml"
    text = path.read_text(encoding="utf-8")
    steps = text[text.index("# [[port.modbus.device.step]]") :].replace("# ", "")
    (port,) = tomllib.loads(text + steps)["port"]
    plan = parsed(port["modbus"])
    assert plan is not None
    assert plan.devices[0].steps == (Write(16, (1,)), Wait(5000), Read(), Write(16, (0,)))
    bank = {i: 0xFFFF for i in range(6)} | {16: 0}  # noqa: C420
    words = [word for value in (0.02, -0.01, 4.0) for word in registers(value, "f", "ABCD")]
    unit = SimulatedSlave(
        1, bank, trigger=16, measure_s=0.4, measures=lambda _: dict(enumerate(words))
    )
    _, items = read_over_a_pty(hurried(plan), [unit], 1)
    assert isinstance(items[0], Reading)
    assert items[0].values == pytest.approx((20.0, -10.0, 4.0))
    assert unit.holding[16] == 0  # and off again


def test_the_profile_of_vibrating_wires_reads_both_kinds() -> None:
    _, plan = profile("vibrating_wire_logger")
    interface = trigger_slave({0x100: 2812.5, 0x102: 3100.0}, None, measure_s=0.2)
    logger = SimulatedSlave(2, inputs={100: 12569, 101: 9999, 116: 65493})
    driver, items = read_over_a_pty(hurried(plan), [interface, logger], 2)
    got = {item.channels: item.values for item in items if isinstance(item, Reading)}
    assert got["piezometer_hz", "piezometer_ohm"] == (2812.5, 3100.0)
    first, second, temperature = got["crackmeter_1_hz", "crackmeter_2_hz", "crackmeter_1_degc"]
    assert first == pytest.approx(1256.9)
    assert math.isnan(second)
    assert temperature == pytest.approx(-4.3)
    assert driver.health().values_rejected == (("missing", 1),)


def test_a_wire_that_does_not_ring_is_no_frequency_of_zero() -> None:
    _, plan = profile("vibrating_wire_logger")
    silent = trigger_slave({0x100: 0.0, 0x102: 3100.0}, None)
    _, items = read_over_a_pty(ModbusPlan(hurried(plan).devices[:1], 20), [silent], 1)
    assert isinstance(items[0], Reading)
    assert math.isnan(items[0].values[0])
    assert items[0].values[1] == 3100.0
