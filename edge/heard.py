"""What a serial line says within a few seconds: the right cable, the right baud, or silence."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge.intake import make_driver
from firmware_bridge.port import Port, PortState
from firmware_bridge.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.parse_ports import PortConfig
    from firmware_bridge.reading import Driver

_PAUSE_S = 0.02
_ENOUGH = 256
"""Bytes without one whole frame that are no mere beginning of one."""
_SHOWN = 24


@dataclass(slots=True)
class Heard:
    """What came from one port."""

    opened: bool
    device: str
    reason: str
    size: int = 0
    first: bytes = b""
    readings: int = 0
    whole: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    time_s: float = 0.0

    @property
    def garbled(self) -> bool:
        """Whether what came is not what the configuration says it is."""
        return not self.whole and (self.dropped.total() > 0 or self.size > _ENOUGH)

    def text(self, port: PortConfig, listen_s: float) -> str:
        """Say it for a person."""
        if not self.opened:
            return self.reason
        at = f"opens at {port.baud} baud"
        if self.readings:
            return f"{at}, a reading came after {self.time_s:.1f} s"
        if self.garbled:
            seen = self.first[:_SHOWN]
            why = "".join(f", {count} {reason}" for reason, count in self.dropped.items())
            return (
                f"{at}, but of {self.size} bytes none is understood (they begin {seen!r}{why}): "
                f"is it the right cable, baud = {port.baud}, and protocol = {port.protocol!r}?"
            )
        if not self.size:
            return (
                f"{at}, but nothing came in {listen_s:g} s: is the sensor powered, and its TX "
                "wired to RX? If it speaks rarely: talus check --listen SECONDS"
            )
        return f"{at}, {self.size} bytes and no reading in {listen_s:g} s: it may only speak rarely"


def listen(ports: Sequence[PortConfig], listen_s: float) -> list[tuple[PortConfig, Heard]]:
    """Open all ports, ask as a gateway would, and hear until each gave a reading or time is up."""
    found: list[tuple[PortConfig, Heard]] = []
    open_ports: list[tuple[Port, Driver, Heard]] = []
    began_s = time.monotonic()
    for config in ports:
        port = Port(config.device, config.baud, frame=config.frame)
        event = port.poll(0)
        opened = event is not None and event.state is PortState.OPENED
        heard = Heard(opened, event.device if event else "", event.reason if event else "")
        found.append((config, heard))
        if opened:
            driver = make_driver(config)
            driver.opened(_now_ms())
            open_ports.append((port, driver, heard))
    try:
        while open_ports and time.monotonic() - began_s < listen_s:
            waiting = [each for each in open_ports if not each[2].readings]
            if not waiting:
                break
            for port, driver, heard in waiting:
                _turn(port, driver, heard, began_s)
            time.sleep(_PAUSE_S)
    finally:
        for port, _, _ in open_ports:
            port.close()
    return found


def _turn(port: Port, driver: Driver, heard: Heard, began_s: float) -> None:
    if not port.is_open:  # pulled while we listened
        return
    question = driver.write_next(_now_ms())
    if question:
        port.write(question)
    data = port.read()
    heard.size += len(data)
    heard.first = (heard.first + data)[:_SHOWN]
    for item in driver.receive(data, _now_ms()):
        if isinstance(item, Reading):
            heard.readings += 1
            heard.time_s = time.monotonic() - began_s
        else:
            heard.dropped[item.reason] += 1
    heard.whole = driver.health().frames_ok


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
