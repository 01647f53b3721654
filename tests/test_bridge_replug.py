"""Cables that are pulled and put back a hundred times, under other device names too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gnss_rows import ENU, epoch, format_of, row_at

from firmware_bridge.devices import stable_name
from firmware_bridge.drivers.gnss import GnssDriver
from firmware_bridge.drivers.lines import LineDriver, LineFormat
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.port import Port, PortEvent, PortState
from firmware_bridge.reading import ROW_REASONS, Driver, Dropped, Reading
from firmware_bridge.sim_node import SimulatedNode, describe
from firmware_bridge.sim_pty import Pty
from firmware_bridge.sim_rows import CHANNELS

PULLS = 100
BACK_MS = 2000
TURN_MS = 10
NOBODY = 65534


class Bench:
    """A port and its driver, turned as the gateway's loop turns them, in a time of their own."""

    def __init__(self, device: str, driver: Driver) -> None:
        self.port, self.driver = Port(device), driver
        self.now_ms = 1_760_000_000_000
        self.items: list[Reading | Dropped] = []
        self.events: list[PortEvent] = []

    def turn(self) -> list[Reading]:
        """Go round once; a hundredth of a second has passed."""
        self.now_ms += TURN_MS
        event = self.port.poll(self.now_ms)
        if event is not None:
            self.events.append(event)
            if event.state is PortState.OPENED:
                self.driver.opened(self.now_ms)
        self.port.write(self.driver.write_next(self.now_ms))
        items = self.driver.receive(self.port.read(), self.now_ms)
        self.items += items
        return [item for item in items if isinstance(item, Reading)]

    def until_read(self, speak: Callable[[], None], limit_ms: int = 60_000) -> int:
        """Turn until a reading comes; gives how long that took."""
        began_ms = self.now_ms
        while self.now_ms - began_ms < limit_ms:
            speak()
            if self.turn():
                return self.now_ms - began_ms
        raise AssertionError("no reading")


def talker(kind: str) -> tuple[Driver, Callable[[Pty], bytes]]:
    """A driver, and what its instrument says next on the line it is on."""
    count = iter(range(10**6))
    if kind == "tw1":
        node = SimulatedNode(describe(CHANNELS))

        def say(pty: Pty) -> bytes:
            answer = node.receive(pty.read(0))
            if not node.described:
                return answer
            return answer + b"".join(node.sample((1.0, 0.0, 3.0, 4.0), next(count) * 10**6))

        return Tw1Driver("n", clock="arrival"), say
    if kind == "gnss":
        return GnssDriver("n", format_of("relposned", ENU)), lambda _: epoch(row_at(next(count)))
    format_ = LineFormat(",", (("x", 1),), 2, record_column=0)
    return LineDriver("n", format_), lambda _: f"{next(count)},0.0\r\n".encode()


@pytest.mark.parametrize("renamed", [False, True], ids=["same name", "another name each time"])
@pytest.mark.parametrize("kind", ["tw1", "lines", "gnss"])
def test_a_hundred_times_and_each_time_back_in_under_two_seconds(
    tmp_path: Path, kind: str, renamed: bool
) -> None:
    driver, say = talker(kind)
    bench = Bench(str(tmp_path / "usb-FTDI-*"), driver)
    slowest_ms = 0
    for pull in range(PULLS):
        pty = Pty(tmp_path / (f"usb-FTDI-{pull}" if renamed else "usb-FTDI-0"))

        def speak(pty: Pty = pty) -> None:
            if pty.listening():
                pty.write(say(pty), 0.1)

        slowest_ms = max(slowest_ms, bench.until_read(speak))
        pty.write(say(pty)[:5], 0.1)  # the plug comes out within a frame
        bench.turn()
        pty.close()
        for _ in range(1 + pull % 40):  # it stays out for up to 0.4 s
            bench.turn()
    assert slowest_ms < BACK_MS
    states = [event.state for event in bench.events]
    assert states.count(PortState.OPENED) == states.count(PortState.CLOSED) == PULLS
    # Each frame that was cut is told once, and nothing else was lost. Of the last cut the next
    # opening would tell, or (gnss) half a second of silence.
    reasons = [item.reason for item in bench.items if isinstance(item, Dropped)]
    assert PULLS - 1 <= len(reasons) <= PULLS
    assert set(reasons) <= ({"truncated", "short"} if kind == "gnss" else {"truncated"})
    assert set(reasons) <= ROW_REASONS
    sequences = [item.sequence for item in bench.items if isinstance(item, Reading)]
    assert kind == "gnss" or sequences == sorted(set(sequences))
    assert driver.health().reboots == 0
    bench.port.close()


def test_in_real_time_under_other_names_too(tmp_path: Path) -> None:
    """The port's own backoff and the wall clock: ten pulls, as each costs what it costs."""
    driver, say = talker("tw1")
    bench = Bench(str(tmp_path / "usb-*"), driver)
    for pull in range(10):
        pty = Pty(tmp_path / f"usb-{pull % 3}")
        began_s = time.monotonic()
        while True:
            bench.now_ms = time.time_ns() // 1_000_000 - TURN_MS
            if pty.listening():
                pty.write(say(pty), 0.1)
            if bench.turn():
                break
            assert time.monotonic() - began_s < BACK_MS / 1000
            time.sleep(0.005)
        pty.close()
        bench.turn()
    bench.port.close()


def test_a_link_by_id_is_followed_to_whatever_number_it_has_now(tmp_path: Path) -> None:
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    link = by_id / "usb-FTDI_FT232R_A10KX7-if00-port0"
    driver, say = talker("lines")
    bench = Bench(str(link), driver)
    numbers = set()
    held = []
    for _ in range(3):
        pty = Pty(link)
        numbers.add(pty.path)
        assert stable_name(pty.path, by_id) == str(link)
        bench.until_read(lambda pty=pty: pty.listening() and pty.write(say(pty), 0.1))
        pty.close()
        bench.turn()
        held.append(Pty())  # takes the number that became free
    assert len(numbers) > 1
    for each in held:
        each.close()
    bench.port.close()


HOLD = """
import fcntl, os, sys, termios
held = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
if sys.argv[2] == "flock":
    fcntl.flock(held, fcntl.LOCK_EX)
else:
    fcntl.ioctl(held, termios.TIOCEXCL)
print("held", flush=True)
sys.stdin.read()
"""


def hold(path: str, how: str) -> subprocess.Popen:
    """Another process that holds a device until its input ends."""
    command = [sys.executable, "-c", HOLD, path, how]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_a_port_held_by_another_process_says_so_and_is_taken_when_free() -> None:
    pty = Pty()
    driver, say = talker("lines")
    bench = Bench(pty.path, driver)
    holder = hold(pty.path, "flock")
    try:
        for _ in range(500):
            bench.turn()
        (event,) = bench.events  # told once
        assert event.state is PortState.UNAVAILABLE
        assert "held by another process" in event.reason
    finally:
        holder.communicate()
    back_ms = bench.until_read(lambda: pty.listening() and pty.write(say(pty), 0.1))
    assert back_ms < BACK_MS
    bench.port.close()
    pty.close()


def test_a_port_held_exclusively_says_the_same() -> None:
    pty = Pty()
    holder = hold(pty.path, "tiocexcl")
    if os.geteuid() == 0:
        os.chown(pty.path, NOBODY, -1)
    child = os.fork()
    if child == 0:  # the kernel lets root pass: somebody else tries
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        event = Port(pty.path).poll(0)
        os._exit(0 if event is not None and "held by another process" in event.reason else 1)
    status = os.waitpid(child, 0)[1]
    holder.communicate()
    pty.close()
    assert status == 0
