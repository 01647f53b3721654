"""The [port.modbus] table and its mistakes by path."""

from __future__ import annotations

import math

import pytest
from modbus_table import parsed

from edge.errors import ConfigError
from firmware_bridge.modbus_plan import (
    Check,
    ModbusChannel,
    ModbusDevice,
    ModbusPlan,
    Read,
    Wait,
    Write,
)

CHANNEL = {"name": "tilt", "register": 256, "type": "float32"}
DEVICE = {"name": "ipi", "address": 3, "period_s": 60, "channel": [CHANNEL]}


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
