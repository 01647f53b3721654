"""Asking a TW1 node who it is and what it measures: HELLO and DESCRIBE, as a gateway does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.probe_finding import Finding
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.reading import Reading
from firmware_bridge.uart_frame import FRAME

if TYPE_CHECKING:
    from edge.probe_line import Line
    from firmware_bridge.reading import Channel

PLACES = tuple(
    (baud, FRAME) for baud in (115200, 9600, 921600, 57600, 38400, 19200, 230400, 460800)
)
_TURN_S = 0.02
_LAYOUT_S = 3.0
"""Longest wait for the rest, once a node has said who it is."""


def ask_tw1(line: Line, wait_s: float) -> Finding | None:
    """Ask at the speed the line has; None if no node answers within ``wait_s``."""
    driver = Tw1Driver("probe")
    driver.opened(0)
    began_s = time.monotonic()
    readings = 0
    while line.left_s:
        since_s = time.monotonic() - began_s
        if since_s > (wait_s if driver.hello is None else _LAYOUT_S) or driver.layout is not None:
            break
        now_ms = round(since_s * 1000)
        line.write(driver.write_next(now_ms))
        items = driver.receive(line.hear(_TURN_S), now_ms)
        readings += sum(isinstance(item, Reading) for item in items)
    hello = driver.hello
    if hello is None:
        return None
    firmware = ".".join(map(str, hello.firmware))
    seen = [f"node {hello.uid.hex()}, firmware {firmware}"]
    seen += [_said(channel) for channel in driver.layout or ()]
    table = tuple(f"# {line}" for line in seen)
    return Finding("tw1", tuple(seen), table, whole=driver.layout is not None)


def _said(channel: Channel) -> str:
    span = f", {channel.low:g}..{channel.high:g}"
    every = f", every {channel.period_ms} ms" if channel.period_ms else ""
    return f"channel {channel.name}: {channel.quantity.text} in {channel.unit.text}{span}{every}"
