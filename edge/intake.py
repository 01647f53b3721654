"""One serial port and its driver: opened, read, written, counted."""

from __future__ import annotations

import selectors
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.port import Port, PortState
from firmware_bridge.update_notes import in_maintenance

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edge.parse_ports import PortConfig
    from edge.recorder import Recorder
    from firmware_bridge.reading import Driver, Dropped, Reading


POLL_MS = 50
"""How often is looked after what wakes nobody: a port that is closed, a broker that is away."""
QUIET_MS = 250
"""The loop turns at least so often: silence is seen, notes and orders are looked for."""
GIBBERISH_BYTES = 16_384
"""More without one reading is not the beginning of something: somebody should look."""


def make_driver(port: PortConfig) -> Driver:
    """Return the driver that a port's configuration asks for."""
    # What is not asked for is not loaded: each start would pay for all.
    if port.lines is not None:
        from firmware_bridge.drivers.lines import LineDriver

        return LineDriver(port.name, port.lines)
    if port.plan is None:
        return Tw1Driver(port.name, clock=port.clock)
    from firmware_bridge.drivers.gnss import GnssDriver, GnssFormat
    from firmware_bridge.drivers.modbus import ModbusDriver, ModbusPlan
    from firmware_bridge.drivers.sdi12 import Sdi12Driver

    if isinstance(port.plan, GnssFormat):
        return GnssDriver(port.name, port.plan)
    if isinstance(port.plan, ModbusPlan):
        return ModbusDriver(port.name, port.plan)
    return Sdi12Driver(port.name, port.plan)


class Intake:
    """A port in the gateway's loop; ``selector`` wakes the loop when it can be read."""

    def __init__(
        self,
        config: PortConfig,
        selector: selectors.BaseSelector,
        recorder: Recorder | None = None,
    ) -> None:
        self.name = config.name
        self.driver = make_driver(config)
        self.port = Port(config.device, config.baud, frame=config.frame)
        self.state = "closed"
        self.held = False
        self.latest_ms: int | None = None
        self._selector = selector
        self._recorder = recorder
        self._watched: int | None = None
        self._unread = 0

    def poll(self, now_ms: int) -> str:
        """Open and close as is due; returns what changed, in words, "" for nothing."""
        if self.held:
            return ""
        event = self.port.poll(now_ms)
        if event is not None:
            self.state = event.state.value
            if event.reason:
                self.state += f": {event.reason}"
            if event.state is PortState.OPENED:
                self.driver.opened(now_ms)
                if self._recorder is not None:
                    self._recorder.write(now_ms, self.name, b"")
        self._watch()
        return "" if event is None else f"port {self.name} ({event.device}): {self.state}"

    def tick(self, now_ms: int) -> tuple[list[Reading | Dropped], bool]:
        """Let deadlines pass, write what is due; gives what came, and if anything was done."""
        items = self.driver.receive(b"", now_ms)
        question = self.driver.write_next(now_ms) if self.port.is_open else b""
        if question:
            self.port.write(question)
            self._watch()  # it may have vanished: its number is free for the next port to open
        return items, bool(items or question)

    def wait_ms(self, now_ms: int) -> int:
        """Say how long the loop may sleep for all that this port cares."""
        if not self.port.is_open:
            return QUIET_MS if self.held else POLL_MS
        longest_ms = POLL_MS if self.port.unwritten else QUIET_MS
        due_ms = self.driver.due_ms(now_ms)
        return longest_ms if due_ms is None else min(max(0, due_ms - now_ms), longest_ms)

    def read(self) -> bytes:
        """Give what has arrived."""
        data = self.port.read()
        self._watch()
        return data

    def is_gibberish(self, size: int, readings: int) -> bool:
        """Take what the last bytes gave; true each time so many have come without a reading."""
        self._unread = 0 if readings else self._unread + size
        if self._unread < GIBBERISH_BYTES:
            return False
        self._unread = 0
        return True

    def hold(self, *, held: bool) -> None:
        """Let go of the port while it is in maintenance; after that `poll` opens it again."""
        if held == self.held:
            return
        self.held = held
        self.close()
        self.state = "maintenance" if held else "closed"

    def _watch(self) -> None:
        fileno = self.port.fileno()
        if fileno == self._watched:
            return
        if self._watched is not None:
            with suppress(KeyError, ValueError, OSError):
                self._selector.unregister(self._watched)
        if fileno is not None:
            self._selector.register(fileno, selectors.EVENT_READ, self)
        self._watched = fileno

    def close(self) -> None:
        """Close the port."""
        self.port.close()
        self._watch()


def open_free(intakes: Iterable[Intake], folder: Path) -> list[str]:
    """Open the ports that are not in maintenance; returns what changed, in words.

    A node that this wakes, or restarts, comes up while models are loaded. What it says until then
    waits in the kernel.
    """
    now_ms = int(time.time() * 1000)
    held = in_maintenance(folder, now_ms)
    said = [intake.poll(now_ms) for intake in intakes if intake.name not in held]
    return [each for each in said if each]
