"""`talus tail`: live readings as text, one line each, as the gateway would read them."""

from __future__ import annotations

import json
import math
import selectors
import time
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from edge.errors import TalusError
from edge.fields import Mistakes, Table
from edge.intake import Intake
from edge.parse_ports import parse_port
from edge.probe_finding import Finding, Place, is_readable, stanza
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.reading import Dropped, Reading, Unit
from firmware_bridge.uart_frame import FRAME

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from edge.parse_ports import PortConfig
    from firmware_bridge.reading import Driver

_TURN_MS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Put(Protocol):
    """Where lines go; ``aside`` for what is no reading."""

    def __call__(self, line: str, *, aside: bool) -> None:
        """Print one line."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """How it is shown, and until when."""

    json_lines: bool = False
    all_inline: bool = False
    count: int = 0
    """Readings; 0: no end."""
    seconds: float = math.inf


def tail(ports: Sequence[PortConfig], put: Put, wanted: Wanted) -> int:
    """Show what comes until there is enough; returns how many readings came."""
    shown = 0
    end_s = time.monotonic() + wanted.seconds
    with selectors.DefaultSelector() as selector:
        intakes = [Intake(port, selector) for port in ports]
        try:
            while time.monotonic() < end_s:
                for intake in intakes:
                    for item in _turn(intake, put):
                        shown += isinstance(item, Reading)
                        _show(item, intake.driver, put, wanted)
                        if shown == wanted.count > 0:
                            return shown
                selector.select(_wait_s(intakes, end_s))
        finally:
            for intake in intakes:
                intake.close()
    return shown


def _turn(intake: Intake, put: Put) -> list[Reading | Dropped]:
    now_ms = time.time_ns() // 1_000_000
    event = intake.poll(now_ms)
    if event:
        put(event, aside=True)
    data = intake.read()
    items = intake.driver.receive(data, now_ms) if data else []
    due, _ = intake.tick(now_ms)
    return items + due


def _wait_s(intakes: Sequence[Intake], end_s: float) -> float:
    now_ms = time.time_ns() // 1_000_000
    wait_ms = min([_TURN_MS, *(intake.wait_ms(now_ms) for intake in intakes)])
    return max(0.0, min(wait_ms / 1000, end_s - time.monotonic()))


def _show(item: Reading | Dropped, driver: Driver, put: Put, wanted: Wanted) -> None:
    write = json_line if wanted.json_lines else text_line
    aside = isinstance(item, Dropped) and not wanted.all_inline
    put(write(item, units_of(driver)), aside=aside)


def units_of(driver: Driver) -> dict[str, str]:
    """Give the units that a node states for its channels; {} where an instrument states none."""
    layout = driver.layout if isinstance(driver, Tw1Driver) else None
    return {each.name: each.unit.text for each in layout or () if each.unit is not Unit.RAW}


def text_line(item: Reading | Dropped, units: dict[str, str]) -> str:
    """Write one line for a person, and for grep and cut."""
    if isinstance(item, Dropped):
        size = f"{item.size} bytes"
        return f"{iso(item.received_ms)} {item.source} dropped {item.reason}: {item.detail}, {size}"
    pairs = [
        f"{_word(name)}={value + 0.0:.10g}{' ' + units[name] if name in units else ''}"
        for name, value in zip(item.channels, item.values, strict=True)
    ]
    return f"{iso(item.time_ms)} {item.source} {' '.join(pairs)}"


def json_line(item: Reading | Dropped, units: dict[str, str]) -> str:
    """Write one JSON object; a missing value is null."""
    if isinstance(item, Dropped):
        return json.dumps(
            {
                "time": iso(item.received_ms),
                "port": item.source,
                "dropped": item.reason,
                "detail": item.detail,
                "bytes": item.size,
            }
        )
    return json.dumps(
        {
            "time": iso(item.time_ms),
            "port": item.source,
            "sequence": None if item.sequence < 0 else item.sequence,
            "uncertainty_ms": None if item.uncertainty_ms < 0 else item.uncertainty_ms,
            "values": {
                name: None if math.isnan(value) else value
                for name, value in zip(item.channels, item.values, strict=True)
            },
            "units": {name: units[name] for name in item.channels if name in units},
        }
    )


def iso(time_ms: int) -> str:
    """Write a time as 2031-10-25T17:46:05.120Z."""
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _word(name: str) -> str:
    """Give a channel's name without what would break the line: a node may be called anything."""
    return "".join(c if c.isprintable() and not c.isspace() and c != "=" else "_" for c in name)


def ports_of(args: argparse.Namespace, put: Put) -> list[PortConfig]:
    """Give what is to be read: ports of a configuration, or the one named. Raises TalusError."""
    if args.config is None:
        return [_found(args, put)]
    from edge.config import load_config

    every = load_config(args.config).ports
    ports = [port for port in every if port.name in args.port or not args.port]
    if not ports:
        raise TalusError(f"{args.config}: no port named {', '.join(args.port)}")
    return ports


def _found(args: argparse.Namespace, put: Put) -> PortConfig:
    """Give the port of a device: what is not told is found as by ``talus probe``."""
    from edge.probe import Asked, probe

    if args.protocol == "tw1" and args.baud:
        place = Place(args.device, args.baud, args.frame or FRAME)
        return port_of(stanza(place, Finding("tw1", (), ())))
    asked = Asked(bauds=(args.baud,) if args.baud else (), frame=args.frame, protocol=args.protocol)
    probed = probe(args.device, asked, lambda line: put(line, aside=True))
    if probed.finding is None or probed.place is None or not is_readable(probed.finding):
        raise TalusError(f"{args.device}: nothing that can be read: talus probe {args.device}")
    return port_of(stanza(probed.place, probed.finding))


def port_of(lines: Sequence[str]) -> PortConfig:
    """Read a [[port]] stanza as gateway.toml is read. Raises ConfigError."""
    mistakes = Mistakes("port")
    (table,) = tomllib.loads("\n".join(lines))["port"]
    port = parse_port(Table(table, "port[0]", mistakes))
    mistakes.raise_if_any()
    return port
