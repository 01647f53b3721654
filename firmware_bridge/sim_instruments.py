"""Simulated instruments on a real pty, a thread each: a TW1 node, and a logger that sends lines.

The gateway opens their device as it would a serial port.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from firmware_bridge.sim_faults import Faults, FaultyWire
from firmware_bridge.sim_pty import Pty

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from firmware_bridge.sim_node import SimulatedNode

_SETTLE_S = 0.05  # after the gateway opens its side: opening discards what came before
_WAKE_S = 0.02
_ROOM_S = 0.05


class Instrument:
    """What simulated instruments share: a pty, a thread, a pace, and waiting for a listener."""

    def __init__(self, link: Path | str | None, interval_s: float, *, hold: bool) -> None:
        self.pty = Pty(link)
        self.rows_sent = 0
        self.rows_unheard = 0
        """Rows whose time came while nobody had the port open (never with `hold`)."""
        self._interval_s = interval_s
        self._hold = hold
        self._heard = False
        self._due_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, daemon=True)

    @property
    def device(self) -> str:
        """What the gateway is to open."""
        return self.pty.device

    def run(self) -> None:
        """Send every row, then answer until stopped; in this thread."""
        raise NotImplementedError

    def start(self) -> None:
        """Run in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and make the device vanish."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.pty.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _listened(self) -> bool:
        """Say whether the gateway has its side open and has settled."""
        listening = self.pty.listening()
        if listening and not self._heard:
            self._stop.wait(_SETTLE_S)
        self._heard = listening
        return listening

    def _answer(self, wait_s: float) -> None:
        """Spend a while answering the gateway; a node does, a logger only waits."""
        self._stop.wait(wait_s)

    def _ready(self) -> bool:
        """Say whether a row that must not be lost may be sent."""
        return True

    def _await_turn(self) -> bool:
        """Wait until the next row is due and may go; True if somebody hears it."""
        while not self._stop.is_set():
            heard = self._listened()
            left_s = self._due_s - time.monotonic()
            if left_s <= 0 and (not self._hold or (heard and self._ready())):
                break
            wait_s = min(_WAKE_S, left_s) if left_s > 0 else _WAKE_S
            if heard:
                self._answer(wait_s)
            else:
                self._stop.wait(wait_s)
        self._due_s = max(self._due_s + self._interval_s, time.monotonic() - self._interval_s)
        return self._heard

    def _send(self, data: bytes) -> None:
        """Write it all, unless the gateway closes its side or we are stopped."""
        while data and not self._stop.is_set() and self.pty.listening():
            data = self.pty.write(data, _ROOM_S)


class PtyNode(Instrument):
    """A `SimulatedNode` on a pty: one row every `interval_s`, in its own time every `step_us`.

    So a year of hourly rows can be played in a minute (with the driver's clock "node"). With
    `hold` no row goes before the gateway listens and knows the layout; without it, rows that
    nobody hears are lost, as in the field. Faults hit the sample frames, not the answers.
    """

    def __init__(
        self,
        node: SimulatedNode,
        rows: Iterable[Sequence[float]],
        *,
        link: Path | str | None = None,
        interval_s: float = 1.0,
        step_us: int = 1_000_000,
        faults: Faults | None = None,
        hold: bool = True,
    ) -> None:
        super().__init__(link, interval_s, hold=hold)
        self.node = node
        self.wire = FaultyWire(faults or Faults())
        self._rows = rows
        self._step_us = step_us
        self._t_us = 0  # of the next row
        self._taken_s = time.monotonic()  # when the last was taken

    def run(self) -> None:
        """Send every row, then answer until stopped; in this thread."""
        reboots = frozenset(self.wire.faults.reboot_rows)
        for number, row in enumerate(self._rows):
            if number in reboots:
                self._t_us = 0
                self._send(self.node.reboot())
            heard = self._await_turn()
            if self._stop.is_set():
                break
            frames = self.node.sample(row, self._t_us)
            self._t_us += self._step_us
            self._taken_s = time.monotonic()
            self._answer(0)
            if heard:
                self._send(b"".join(self.wire.carry(each) for each in frames[:1]))
                self._send(b"".join(frames[1:]))
                self.rows_sent += 1
            else:
                self.rows_unheard += 1
        while not self._stop.is_set():
            if self._listened():
                self._answer(_WAKE_S)
            else:
                self._stop.wait(_WAKE_S)

    def _ready(self) -> bool:
        return self.node.described

    def _answer(self, wait_s: float) -> None:
        asked = self.pty.read(wait_s)
        if asked:
            boot, now_us = self.node.boot, self._now_us()
            self._send(self.node.receive(asked, now_us))
            if self.node.boot != boot:
                self._t_us = 0

    def _now_us(self) -> int:
        """Give the node's own time."""
        since_us = round((time.monotonic() - self._taken_s) * 1e6)
        return max(0, self._t_us - self._step_us) + min(since_us, self._step_us)


class LinePty(Instrument):
    """A logger on a pty: one line every `interval_s`, as it is given."""

    def __init__(
        self,
        lines: Iterable[str],
        *,
        link: Path | str | None = None,
        interval_s: float = 1.0,
        end: str = "\r\n",
        hold: bool = True,
    ) -> None:
        super().__init__(link, interval_s, hold=hold)
        self._lines = lines
        self._end = end

    def run(self) -> None:
        """Send every line, then keep the device until stopped; in this thread."""
        for line in self._lines:
            heard = self._await_turn()
            if self._stop.is_set():
                break
            if heard:
                self._send((line.rstrip("\r\n") + self._end).encode("utf-8", "surrogateescape"))
                self.rows_sent += 1
            else:
                self.rows_unheard += 1
        self._stop.wait()
