"""Recorded readings through the same pipeline, without hardware: captures, CSV, logger files."""

from __future__ import annotations

import heapq
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.csv_file import delimiter_of, read_csv
from edge.errors import TalusError
from edge.intake import make_driver
from edge.order import OrderError, decode_order
from edge.pipeline import Outcome, Pipeline
from firmware_bridge.capture import (
    HEADER,
    CaptureError,
    ClockSet,
    Maintained,
    Ordered,
    Tick,
    read_capture,
)
from firmware_bridge.reading import Dropped, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge.alarm import AlarmChange
    from edge.bundle import Bundle
    from edge.config import Config
    from edge.parse_ports import PortConfig

Item = Reading | Dropped
Event = Item | ClockSet | Maintained | Ordered


def recorded(config: Config, sources: Iterable[str]) -> Iterator[Event]:
    """Give what is in the files, in the order of its arrival.

    A source is PATH or PORT=PATH. A capture names its ports itself; a CSV starts with a header
    ``time,<column>,...`` (ISO 8601, UTC unless it says otherwise, or epoch ms); anything else is
    what a logger on a port with protocol "lines" sends. Raises TalusError naming file and line.
    """
    streams = [_stream(config, source) for source in sources]
    return heapq.merge(*streams, key=lambda item: item.received_ms)


def _stream(config: Config, source: str) -> Iterator[Event]:
    known = {port.name: port for port in config.ports}
    name, found, rest = source.partition("=")
    path = Path(rest) if found and name in known else Path(source)
    try:
        with path.open("rb") as file:
            first = file.readline(4096).decode("utf-8-sig", "replace").strip()
    except OSError as error:
        raise TalusError(f"{path}: {error.strerror}") from error
    if first == HEADER:
        return _capture(config, path)
    if not (found and name in known) and len(known) > 1:
        raise TalusError(f"{path}: say which port it is from: PORT={path}; {', '.join(known)}")
    port = known[name] if found and name in known else config.ports[0]
    delimiter = delimiter_of(first)
    if delimiter:
        return read_csv(port.name, path, delimiter)
    if port.lines is None:
        what = f"port {port.name!r} speaks {port.protocol}: record it with [gateway] capture"
        kind = "neither a capture nor a CSV that starts with 'time,'"
        raise TalusError(f"{path}:1: {kind}; line 1 is {first[:40]!r}; {what}")
    return _lines(port, path)


def _capture(config: Config, path: Path) -> Iterator[Event]:
    drivers = {port.name: make_driver(port) for port in config.ports}
    for driver in drivers.values():
        driver.opened(0)
    try:
        for chunk in read_capture(path):
            if isinstance(chunk, ClockSet):
                for driver in drivers.values():
                    driver.shift(chunk.step_ms)
                yield chunk
                continue
            if isinstance(chunk, Ordered):
                yield chunk
                continue
            found = drivers.get(chunk.source)
            if found is None:
                known = ", ".join(drivers)
                raise TalusError(f"{path}: holds port {chunk.source!r}, configured are: {known}")
            if isinstance(chunk, Maintained):
                yield chunk
            elif isinstance(chunk, Tick):
                yield from found.receive(b"", chunk.received_ms)
                found.write_next(chunk.received_ms)
            elif chunk.data:
                yield from found.receive(chunk.data, chunk.received_ms)
            else:
                found.opened(chunk.received_ms)
    except (CaptureError, OSError) as error:
        raise TalusError(str(error)) from error


def _lines(port: PortConfig, path: Path) -> Iterator[Item]:
    """Give the lines of a logger's file as if each had arrived at its own time."""
    assert port.lines is not None
    if port.lines.time_column is None:
        raise TalusError(f"{path}: port {port.name!r} has no time_column: when was each line?")
    driver = make_driver(port)
    at_ms = 0
    with path.open("rb") as file:
        for line in file:
            for item in driver.receive(line, at_ms):
                if isinstance(item, Dropped):
                    yield item
                    continue
                at_ms = max(at_ms, item.time_ms)
                yield Reading(
                    item.source, item.time_ms, item.sequence, item.channels, item.values, at_ms
                )


def replay(
    config: Config, bundles: dict[str, Bundle | str], items: Iterable[Event], until_ms: int = 0
) -> Iterator[tuple[Item | Maintained | Ordered | Tick, Outcome | None]]:
    """Run items through a pipeline; gives each with what became of it (None: dropped).

    It goes on until ``until_ms`` of the gateway's clock, if that is after the last of them; else
    the last of them is the end, and what would have come of more waiting is not told.
    """
    pipeline = Pipeline(config, bundles)
    before: tuple[AlarmChange, ...] = ()  # what fell silent before the clock was set
    for item in items:
        if isinstance(item, ClockSet):
            before += tuple(pipeline.tick(item.received_ms - item.step_ms))
            pipeline.shift(item.step_ms)
        elif isinstance(item, Maintained):
            found = pipeline.maintain(item.source, begun=item.begun, now_ms=item.received_ms)
            yield item, Outcome("", (), (), (*before, *found))
            before = ()
        elif isinstance(item, Ordered):
            before += tuple(pipeline.tick(item.received_ms))  # whatever becomes of the order
            with suppress(OrderError):  # it was refused then, as it is now
                found = pipeline.order(decode_order(item.text), item.received_ms)
                yield item, Outcome("", (), (), (*before, *found))
                before = ()
        elif isinstance(item, Dropped):
            yield item, None
        else:
            outcome = pipeline.receive(item)
            if before and not outcome.reason:
                outcome, before = replace(outcome, changes=before + outcome.changes), ()
            yield item, outcome
    if until_ms:
        before += tuple(pipeline.tick(until_ms))
    if before:
        yield Tick(until_ms, ""), Outcome("", (), (), before)
