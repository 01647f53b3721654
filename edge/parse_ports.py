"""The [[port]] tables of gateway.toml: a serial device and how to read what comes out of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.quality import TimeRules
from firmware_bridge.line_format import MISSING, LineFormat
from firmware_bridge.uart_frame import FRAME, FRAMES

if TYPE_CHECKING:
    from typing import TypeAlias

    from edge.fields import Table
    from firmware_bridge.gnss_plan import GnssFormat
    from firmware_bridge.modbus_plan import ModbusPlan
    from firmware_bridge.sdi12_plan import Sdi12Plan

    Plan: TypeAlias = GnssFormat | ModbusPlan | Sdi12Plan

_NEEDS = {
    "lines": "column_count, columns = {tilt = 2}, time_column",
    "gnss": "source, channels",
    "modbus": "[[port.modbus.device]] with address and channels",
    "sdi12": "[[port.sdi12.sensor]] with address, command and channels",
}


@dataclass(frozen=True, slots=True)
class PortConfig:
    """One serial device. ``lines`` is None for TW1; ``device`` may be a glob (by-id)."""

    name: str
    device: str
    baud: int
    protocol: str
    clock: str
    lines: LineFormat | None
    time: TimeRules
    frame: str = "8N1"
    """Data bits, parity, stop bits."""
    plan: Plan | None = None
    """What is asked or read of an instrument, where the protocol has a table for it."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the columns that its readings can have; None where a node tells them itself."""
        if self.lines is not None:
            return tuple(name for name, _ in self.lines.columns)
        return None if self.plan is None else self.plan.columns


def parse_port(t: Table) -> PortConfig:
    """Read one port table."""
    name = t.text("name")
    if not name or any(c in name for c in " /+#"):
        t.wrong("name", "must be a name without blanks or '/'")
    protocol = t.text("protocol", choices=("tw1", *_NEEDS))
    clock = t.text("clock", "sync", choices=("sync", "arrival", "node"))
    lines, plan = _instrument(t, protocol)
    own_time = clock == "node" or (lines is not None and lines.time_column is not None)
    own_time = own_time or protocol == "gnss"
    skew_s = t.number("max_skew_s", 0.0 if clock == "node" else 86400.0, low=0.0, high=1e9)
    port = PortConfig(
        name=name,
        device=t.text("device"),
        baud=t.integer("baud", 115200, low=50, high=4_000_000),
        protocol=protocol,
        clock=clock,
        lines=lines,
        time=TimeRules(
            max_skew_ms=round(skew_s * 1000) if own_time else 0,
            max_jump_ms=round(t.number("max_jump_s", 30 * 86400.0, low=1.0, high=1e9) * 1000),
            lateness_ms=round(t.number("lateness_s", 0.0, low=0.0, high=1e7) * 1000),
        ),
        frame=t.text("frame", FRAME, choices=tuple(FRAMES)),
        plan=plan,
    )
    t.done()
    return port


def _instrument(t: Table, protocol: str) -> tuple[LineFormat | None, Plan | None]:
    """Read the table that the protocol needs; None, and the mistakes noted, where it is wrong."""
    for name in _NEEDS:
        if t.has(name) and name != protocol:
            t.wrong(name, f"only for protocol = {name!r}")
    if protocol not in _NEEDS:
        return None, None
    if not t.has(protocol):
        what = f"protocol = {protocol!r} needs this table: {_NEEDS[protocol]}"
        t.wrong(protocol, f"missing: {what}")
        return None, None
    table = t.table(protocol)
    if protocol == "lines":
        return _lines(table), None
    return None, _plan(table, protocol)


def _plan(t: Table, protocol: str) -> Plan | None:
    # Loaded where they are asked for: each start would pay for all.
    if protocol == "gnss":
        from edge.parse_gnss import parse_gnss

        return parse_gnss(t)
    if protocol == "modbus":
        from edge.parse_modbus import parse_modbus

        return parse_modbus(t)
    from edge.parse_sdi12 import parse_sdi12

    return parse_sdi12(t)


def _column(t: Table, name: str, value: object) -> int | str:
    """Read the number of a column, or its name in the header."""
    return t.text(name) if isinstance(value, str) else t.integer(name, high=4095)


def _lines(t: Table) -> LineFormat | None:
    columns_table = t.table("columns")
    columns = [(name, _column(columns_table, name, value)) for name, value in columns_table.items()]
    if not columns:
        t.wrong("columns", "name the columns to read and their numbers, e.g. {tilt = 2, rain = 5}")
    delimiter = t.text("delimiter", ",")
    time_column = t.integer("time_column", 0, high=4095) if t.has("time_column") else None
    record_column = t.integer("record_column", 0, high=4095) if t.has("record_column") else None
    named = any(isinstance(column, str) for _, column in columns)  # then the header has the count
    count = t.integer("column_count", *((0,) if named else ()), low=0 if named else 1, high=4096)
    if not columns or not (named or t.has("column_count")):
        return None
    try:
        lines = LineFormat(
            delimiter=delimiter or ",",
            columns=tuple(columns),
            column_count=count,
            time_column=time_column,
            time_format=t.text("time_format", "iso"),
            utc_offset_minutes=round(t.number("utc_offset_minutes", 0.0, low=-1440, high=1440)),
            record_column=record_column,
            comment=t.text("comment", "#"),
            missing=t.texts("missing", list(MISSING)),
        )
    except (ValueError, re.error) as error:  # strptime: '%Y %Y' is a regex error
        t.mistakes.add(t.path, str(error))
        lines = None
    t.done()
    return lines
