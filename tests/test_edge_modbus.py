"""The [port.modbus] table, its mistakes by path, and the profiles against their simulators."""

from __future__ import annotations

import math
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from test_bridge_modbus_pty import gathered

import firmware_bridge
from edge.errors import ConfigError
from edge.fields import Mistakes, Table
from edge.parse_modbus import parse_modbus
from firmware_bridge.drivers.modbus import ModbusDriver
from firmware_bridge.modbus_plan import (
    Check,
    ModbusChannel,
    ModbusDevice,
    ModbusPlan,
    Read,
    Wait,
    Write,
)
from firmware_bridge.port import Port
from firmware_bridge.reading import Dropped, Reading
from firmware_bridge.sim_modbus import BusPty, SimulatedBus, SimulatedSlave, registers

CHANNEL = {"name": "tilt", "register": 256, "type": "float32"}
DEVICE = {"name": "ipi", "address": 3, "period_s": 60, "channel": [CHANNEL]}


def parsed(data: object) -> ModbusPlan | None:
    found = Mistakes("gateway.toml")
    plan = parse_modbus(Table(data, "port[0].modbus", found))
    found.raise_if_any()
    return plan


def test_what_is_left_out_has_a_sensible_default() -> None:
    plan = parsed({"device": [DEVICE]})
    assert plan == ModbusPlan(
        (ModbusDevice(3, "ipi", (ModbusChannel("tilt", 256, "float32"),), 60.0),)
    )
    assert plan.devices[0].steps == (Read(),)


def test_a_whole_table() -> None:
    steps = [
        {"do": "write", "register": 0x118, "values": [1, 2], "function": 16},
        {"do": "wait", "ms": 1500},
        {"do": "read"},
        {"do": "check", "register": 0x119, "equals": 2, "mask": 0x0F, "function": 4},
    ]
    channels = [
        CHANNEL,
        {
            "name": "raw",
            "register": 300,
            "type": "int16",
            "order": "DCBA",
            "function": 3,
            "scale": 0.1,
            "offset": -5,
            "missing": [-1],
        },
    ]
    device = {
        **DEVICE,
        "order": "CDAB",
        "function": 4,
        "missing": [-9999],
        "timeout_ms": 300,
        "retries": 0,
        "gap_ms": 100,
        "warm_up_ms": 5000,
        "max_registers": 16,
        "step": steps,
        "channel": channels,
    }
    assert parsed({"gap_ms": 7, "echo": True, "device": [device]}) == ModbusPlan(
        (
            ModbusDevice(
                3,
                "ipi",
                (
                    ModbusChannel("tilt", 256, "float32", "CDAB", 4, missing=(-9999.0,)),
                    ModbusChannel("raw", 300, "int16", "DCBA", 3, 0.1, -5.0, (-1.0,)),
                ),
                60.0,
                (
                    Write(0x118, (1, 2), 16),
                    Wait(1500),
                    Read(),
                    Check(0x119, 2, 0x0F, 4),
                ),
                300,
                0,
                100,
                5000,
                16,
            ),
        ),
        7,
        True,
    )


AT = "port[0].modbus.device[0]"


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"address": 0}, f"{AT}.address: 0 is outside 1 .. 247"),
        ({"adress": 5}, f"{AT}.adress: unknown key; did you mean 'address'?"),
        ({"name": ""}, f"{AT}.name: must not be empty"),
        ({"period_s": 0}, f"{AT}.period_s: 0 is outside"),
        ({"order": "CDBA"}, f"{AT}.order: 'CDBA' is not one of"),
        ({"function": 6}, f"{AT}.function: 6 is outside 3 .. 4"),
        ({"timeout_ms": 5}, f"{AT}.timeout_ms: 5 is outside"),
        ({"retries": 21}, f"{AT}.retries: 21 is outside"),
        ({"gap_ms": 0}, f"{AT}.gap_ms: 0 is outside"),
        ({"warm_up_ms": -1}, f"{AT}.warm_up_ms: -1 is outside"),
        ({"max_registers": 1}, f"{AT}: max_registers 1: tilt needs more"),
        ({"channel": []}, f"{AT}.channel: name what to read"),
        ({"channel": CHANNEL}, f"{AT}.channel: there may be several: write [[port.modbus"),
        ({"channel": [{**CHANNEL, "type": "float"}]}, f"{AT}.channel[0].type: 'float' is not"),
        ({"channel": [{**CHANNEL, "order": "AB"}]}, f"{AT}.channel[0].order: 'AB' is not"),
        ({"channel": [{**CHANNEL, "scale": 0}]}, f"{AT}.channel[0]: scale 0.0"),
        ({"channel": [{**CHANNEL, "unit": "deg"}]}, f"{AT}.channel[0].unit: unknown key"),
        (
            {"channel": [{**CHANNEL, "type": "uint16", "missing": [-1]}]},
            f"{AT}.channel[0]: missing: -1.0 is no uint16",
        ),
        ({"channel": [{**CHANNEL, "register": 65535}]}, f"{AT}.channel[0]: register 65535"),
        ({"step": [{"do": "reed"}]}, f"{AT}.step[0].do: 'reed' is not one of"),
        ({"step": [{"do": "wait", "ms": 5}]}, f"{AT}: step: exactly one reads"),
        ({"step": [{"do": "read"}, {"do": "read"}]}, f"{AT}: step: exactly one reads"),
        ({"step": [{"do": "read"}, {"do": "wait", "ms": 5}]}, f"{AT}: step: neither the first"),
        ({"step": [{"do": "read", "ms": 5}]}, f"{AT}.step[0].ms: unknown key"),
        ({"step": [{"do": "check"}, {"do": "read"}]}, f"{AT}.step[0].register: missing"),
        ({"step": [{"do": "write", "register": 5}]}, f"{AT}.step[0].values: missing"),
        (
            {"step": [{"do": "write", "register": 5, "values": [0.5]}, {"do": "read"}]},
            f"{AT}.step[0].values: whole numbers only",
        ),
        (
            {"step": [{"do": "write", "register": 5, "values": [1, 2]}, {"do": "read"}]},
            f"{AT}: step: function 6: 2 registers, 1..1",
        ),
        (
            {
                "step": [
                    {"do": "write", "register": 5, "values": [1], "function": 7},
                    {"do": "read"},
                ]
            },
            f"{AT}: step: function 7: 6 or 16",
        ),
        (
            {"step": [{"do": "check", "register": 5, "equals": 4, "mask": 3}, {"do": "read"}]},
            f"{AT}: step: equals 4",
        ),
    ],
)
def test_a_mistake_is_named_by_its_path(change: dict, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed({"device": [{**DEVICE, **change}]})
    assert mistake in str(caught.value)


@pytest.mark.parametrize(
    ("table", "mistake"),
    [
        ({}, "port[0].modbus.device: at least 1 needed"),
        ({"device": [DEVICE], "gap_ms": 1}, "port[0].modbus.gap_ms: 1 is outside"),
        ({"device": [DEVICE], "echo": "no"}, "port[0].modbus.echo: must be true or false"),
        ({"device": [DEVICE], "baud": 9600}, "port[0].modbus.baud: unknown key"),
        (
            {"device": [DEVICE, {**DEVICE, "name": "b", "channel": [{**CHANNEL, "name": "b"}]}]},
            "port[0].modbus: address: '3' is there twice on this port",
        ),
        (
            {"device": [DEVICE, {**DEVICE, "address": 4}]},
            "port[0].modbus: name: 'ipi' is there twice on this port",
        ),
        (
            {"device": [DEVICE, {**DEVICE, "address": 4, "name": "b"}]},
            "port[0].modbus: channel: 'tilt' is there twice on this port",
        ),
    ],
)
def test_a_mistake_of_the_line(table: dict, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(table)
    assert mistake in str(caught.value)


@pytest.mark.parametrize("missing", ["name", "address", "period_s", "channel"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        parsed({"device": [{key: value for key, value in DEVICE.items() if key != missing}]})


@pytest.mark.parametrize(
    "junk",
    [
        None,
        5,
        [],
        "x",
        {"device": 5},
        {"device": [5]},
        {"device": [{**DEVICE, "channel": [5]}]},
        {"device": [{**DEVICE, "step": [None]}]},
        {"device": [{**DEVICE, "step": [{"do": "write", "register": 1, "values": [1e300]}]}]},
        {"device": [{**DEVICE, "missing": [math.nan]}]},
    ],
)
def test_junk_is_a_mistake_and_not_an_exception(junk: object) -> None:
    with pytest.raises(ConfigError):
        parsed(junk)


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
