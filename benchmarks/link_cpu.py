"""32 channels at 100 Hz over TW1 on a pty: what one core has to give, and whether any is lost.

The node is a process of its own. It writes as a line of 921,600 baud behind a USB adapter does:
64 bytes at a time, each after the time they take, and what finds no room is lost and counted.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from link_frames import make_node, row

from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.port import Port, PortState
from firmware_bridge.reading import Reading
from firmware_bridge.sim_instruments import PtyNode
from firmware_bridge.sim_pty import Pty

CHANNELS = 32
RATE_HZ = 100
BAUD = 921_600
PACKET = 64
"""Bytes that a USB adapter hands over at once."""
BITS_A_BYTE = 10
SETTLE = 2 * RATE_HZ
"""Readings before anything is counted: the interview and the first exchange of clocks are over."""
START_S = 30.0


@dataclass(frozen=True, slots=True)
class Share:
    """What came of it."""

    readings: int
    rate_hz: float
    overruns: int
    """Readings missing, frames damaged, packets that found no room, frames asked for again."""
    cpu_share: float
    """CPU time of the reading process over wall time."""
    wakes_per_reading: float
    rss_growth_kib: int


class PacedPty(Pty):
    """A pty that is as fast as its line, and no faster."""

    def __init__(self, link: Path) -> None:
        super().__init__(link)
        self.no_room = 0

    def write(self, data: bytes, wait_s: float) -> bytes:
        """Write one packet in the time it takes; gives the rest."""
        packet = data[:PACKET]
        time.sleep(len(packet) * BITS_A_BYTE / BAUD)
        if super().write(packet, 0):
            self.no_room += 1
        return data[PACKET:]


def serve(link: Path) -> None:
    """Be the node, until standard input ends; then say what was lost here."""
    node = make_node(CHANNELS, 1000 // RATE_HZ)
    instrument = PtyNode(
        node,
        (row(i, CHANNELS) for i in count()),
        interval_s=1 / RATE_HZ,
        step_us=1_000_000 // RATE_HZ,
    )
    instrument.pty.close()
    paced = instrument.pty = PacedPty(link)
    with instrument:
        sys.stdin.read()
    print(json.dumps({"no_room": paced.no_room, "resent": node.resent}))


def share(seconds: float) -> Share:
    """Read the node for so long, with the gateway's own port and driver."""
    with tempfile.TemporaryDirectory(prefix="link-") as folder:
        link = Path(folder) / "node"
        command = [sys.executable, str(Path(__file__).resolve()), str(link)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            reader = Reader(link, seconds)
            reader.run()
            told, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
    return reader.share(**json.loads(told))


class Reader:
    """The gateway's loop, less what it does with a reading."""

    def __init__(self, link: Path, seconds: float) -> None:
        self._port, self._driver = Port(str(link), BAUD), Tw1Driver("n")
        self._selector = selectors.DefaultSelector()
        self._seconds = seconds
        self._sequences: list[int] = []
        self._seen = self._damaged = self._wakes = 0
        self._began = self._took = self._cpu = 0.0
        self._rss_kib = 0

    def run(self) -> None:
        """Read until the time is over; RuntimeError if it never begins or the port goes."""
        deadline = time.monotonic() + START_S + self._seconds
        while not self._began or time.monotonic() - self._began < self._seconds:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._seen} readings in {START_S:.0f} s: no use")
            self._turn()
        self._took = time.monotonic() - self._began
        self._cpu = time.process_time() - self._cpu
        self._rss_kib = _rss_kib() - self._rss_kib
        self._port.close()
        self._selector.close()

    def _turn(self) -> None:
        port, driver = self._port, self._driver
        now_ms = time.time_ns() // 1_000_000
        event = port.poll(now_ms)
        if event is not None and event.state is PortState.OPENED:
            driver.opened(now_ms)
            self._selector.register(port.fileno() or 0, selectors.EVENT_READ)
        elif event is not None and event.state is PortState.CLOSED:
            raise RuntimeError(f"the node went: {event.reason}")
        if not port.is_open:
            time.sleep(0.02)
            return
        question = driver.write_next(now_ms)
        if question:
            port.write(question)
        due_ms = driver.due_ms(now_ms)
        wait_ms = 50 if due_ms is None else min(50, max(0, due_ms - now_ms))
        readable = self._selector.select(wait_ms / 1000)
        self._wakes += 1
        data = port.read() if readable else b""
        for item in driver.receive(data, time.time_ns() // 1_000_000):
            if isinstance(item, Reading):
                self._take(item.sequence)
            else:
                self._damaged += 1

    def _take(self, sequence: int) -> None:
        self._seen += 1
        self._sequences.append(sequence)
        if self._seen == SETTLE:
            self._began, self._cpu, self._rss_kib = (
                time.monotonic(),
                time.process_time(),
                _rss_kib(),
            )
            self._sequences = [sequence]
            self._wakes = 0

    def share(self, no_room: int, resent: int) -> Share:
        """Give what came of it, with what the node says that it lost."""
        sequences = self._sequences
        missing = sequences[-1] - sequences[0] + 1 - len(set(sequences))
        readings = len(sequences) - 1
        return Share(
            readings,
            readings / self._took,
            missing + self._damaged + no_room + resent,
            self._cpu / self._took,
            self._wakes / max(1, readings),
            self._rss_kib,
        )


def _rss_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
