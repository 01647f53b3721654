"""The [[port]] tables of gateway.toml: a serial device and how to read what comes out of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.quality import TimeRules
from firmware_bridge.line_format import MISSING, LineFormat

if TYPE_CHECKING:
    from edge.fields import Table


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


def parse_port(t: Table) -> PortConfig:
    """Read one port table."""
    name = t.text("name")
    if not name or any(c in name for c in " /+#"):
        t.wrong("name", "must be a name without blanks or '/'")
    protocol = t.text("protocol", choices=("tw1", "lines"))
    clock = t.text("clock", "sync", choices=("sync", "arrival", "node"))
    lines = None
    if protocol == "lines" and not t.has("lines"):
        what = (
            "protocol = 'lines' needs this table: column_count, columns = {tilt = 2}, time_column"
        )
        t.wrong("lines", f"missing: {what}")
    elif protocol == "lines":
        lines = _lines(t.table("lines"))
    elif t.has("lines"):
        t.wrong("lines", "only for protocol = 'lines'")
    own_time = clock == "node" or (lines is not None and lines.time_column is not None)
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
    )
    t.done()
    return port


def _lines(t: Table) -> LineFormat | None:
    columns_table = t.table("columns")
    columns = [(name, columns_table.integer(name, high=4095)) for name, _ in columns_table.items()]
    if not columns:
        t.wrong("columns", "name the columns to read and their numbers, e.g. {tilt = 2, rain = 5}")
    delimiter = t.text("delimiter", ",")
    time_column = t.integer("time_column", 0, high=4095) if t.has("time_column") else None
    record_column = t.integer("record_column", 0, high=4095) if t.has("record_column") else None
    count = t.integer("column_count", low=1, high=4096)
    if not columns or not t.has("column_count"):
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
