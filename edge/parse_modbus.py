"""The [port.modbus] table of gateway.toml: the devices on a line, their registers and steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.modbus_frame import MAX_READ, ORDERS, READ_HOLDING, TYPES, WRITE_ONE
from firmware_bridge.modbus_plan import (
    MAX_PERIOD_S,
    MAX_WAIT_MS,
    Check,
    ModbusChannel,
    ModbusDevice,
    ModbusPlan,
    Read,
    Step,
    Wait,
    Write,
)

if TYPE_CHECKING:
    from edge.fields import Table

_VERBS = ("write", "wait", "read", "check")


def parse_modbus(t: Table) -> ModbusPlan | None:
    """Read the table; None, and the mistakes noted, where it is wrong."""
    gap_ms = t.integer("gap_ms", 40, low=2, high=1000)
    echo = t.flag("echo", default=False)
    found = [_device(each) for each in t.tables("device", at_least=1)]
    t.done()
    devices = tuple(device for device in found if device is not None)
    if not devices or len(devices) != len(found):
        return None
    try:
        return ModbusPlan(devices, gap_ms, echo)
    except ValueError as error:
        t.mistakes.add(t.path, str(error))
        return None


def _device(t: Table) -> ModbusDevice | None:
    order = t.text("order", "ABCD", choices=ORDERS)
    function = t.integer("function", READ_HOLDING, low=3, high=4)
    missing = t.numbers("missing", [])
    channels = [_channel(each, order, function, missing) for each in t.tables("channel")]
    steps = [_step(each) for each in t.tables("step")]
    address = t.integer("address", low=1, high=247)
    name = t.text("name")
    if t.has("name") and not name:
        t.wrong("name", "must not be empty")
    period_s = t.number("period_s", low=0.1, high=MAX_PERIOD_S)
    timeout_ms = t.integer("timeout_ms", 1000, low=10, high=60_000)
    retries = t.integer("retries", 2, high=20)
    gap_ms = t.integer("gap_ms", low=2, high=1000) if t.has("gap_ms") else None
    warm_up_ms = t.integer("warm_up_ms", 0, high=MAX_WAIT_MS)
    max_registers = t.integer("max_registers", MAX_READ, low=1, high=MAX_READ)
    t.done()
    if not channels:
        t.wrong("channel", "name what to read: name, register, type")
    good = tuple(channel for channel in channels if channel is not None)
    plan = tuple(step for step in steps if step is not None) or (Read(),)
    known = t.has("address") and name and t.has("period_s") and order in ORDERS
    if not (known and good) or len(good) != len(channels) or None in steps:
        return None
    try:
        return ModbusDevice(
            address=address,
            name=name,
            channels=good,
            period_s=period_s,
            steps=plan,
            timeout_ms=timeout_ms,
            retries=retries,
            gap_ms=gap_ms,
            warm_up_ms=warm_up_ms,
            max_registers=max_registers,
        )
    except ValueError as error:
        t.mistakes.add(t.path, str(error))
        return None


def _channel(
    t: Table, order: str, function: int, missing: tuple[float, ...]
) -> ModbusChannel | None:
    """Read a channel; the device's own order, function and missing are its defaults."""
    name = t.text("name")
    register = t.integer("register", high=0xFFFF)
    type_ = t.text("type", choices=TYPES)
    own_order = t.text("order", order, choices=ORDERS) if t.has("order") else order
    own_function = t.integer("function", function, low=3, high=4)
    scale = t.number("scale", 1.0, low=-1e30, high=1e30)
    offset = t.number("offset", 0.0, low=-1e30, high=1e30)
    own_missing = t.numbers("missing") if t.has("missing") else missing
    t.done()
    if not name or not t.has("register") or type_ not in TYPES or own_order not in ORDERS:
        return None
    try:
        return ModbusChannel(
            name, register, type_, own_order, own_function, scale, offset, own_missing
        )
    except ValueError as error:
        t.mistakes.add(t.path, str(error))
        return None


def _step(t: Table) -> Step | None:
    verb = t.text("do", choices=_VERBS)
    step: Step | None = None
    if verb == "write":
        register = t.integer("register", high=0xFFFF)
        values = t.numbers("values")
        function = t.integer("function", WRITE_ONE, low=6, high=16)
        if any(value != int(value) for value in values):
            t.wrong("values", "whole numbers only, 0 to 65535")
        elif t.has("register") and values:
            step = Write(register, tuple(map(int, values)), function)
    elif verb == "wait":
        wait_ms = t.integer("ms", high=MAX_WAIT_MS)
        step = Wait(wait_ms) if t.has("ms") else None
    elif verb == "read":
        step = Read()
    elif verb == "check":
        register = t.integer("register", high=0xFFFF)
        equals = t.integer("equals", 0, high=0xFFFF)
        mask = t.integer("mask", 0xFFFF, low=1, high=0xFFFF)
        function = t.integer("function", READ_HOLDING, low=3, high=4)
        step = Check(register, equals, mask, function) if t.has("register") else None
    if verb in _VERBS:
        t.done()
    return step
