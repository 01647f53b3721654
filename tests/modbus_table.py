"""The [port.modbus] table, parsed as a gateway does."""

from __future__ import annotations

from edge.fields import Mistakes, Table
from edge.parse_modbus import parse_modbus
from firmware_bridge.modbus_plan import (
    ModbusPlan,
)


def parsed(data: object) -> ModbusPlan | None:
    found = Mistakes("gateway.toml")
    plan = parse_modbus(Table(data, "port[0].modbus", found))
    found.raise_if_any()
    return plan
