"""The port on a real pty: opening, vanishing, returning, refusing."""

from __future__ import annotations

import os
import resource
import select
import time
from pathlib import Path

import pytest

from firmware_bridge.port import WRITE_HELD_BYTES, Port, PortEvent, PortState
from firmware_bridge.sim_pty import Pty


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def polled(port: Port, limit_s: float = 2.0) -> PortEvent:
    """Poll as the loop does, ten times a second and more, until something changes."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        port.read()
        event = port.poll(now_ms())
        if event is not None:
            return event
        time.sleep(0.01)
    raise AssertionError(f"nothing changed within {limit_s} s")


def arrived(port: Port, size: int) -> bytes:
    data = b""
    end = time.monotonic() + 2
    while len(data) < size and time.monotonic() < end:
        select.select([port.fileno()], [], [], 0.1)
        data += port.read()
    return data


def test_bytes_go_both_ways_unchanged(tmp_path: Path) -> None:
    pty, port = Pty(tmp_path / "dev"), Port(str(tmp_path / "dev"))
    event = port.poll(0)
    assert event == PortEvent(PortState.OPENED, str(tmp_path / "dev"), "", 0)
    assert pty.listening()
    every = bytes(range(256))
    assert pty.write(every, 1) == b""
    assert arrived(port, 256) == every
    assert port.read() == b""  # and does not wait
    assert port.write(every)
    assert pty.read(1) == every
    port.close()
    assert port.fileno() is None
    assert not pty.listening()
    pty.close()


def test_a_device_that_vanishes_and_returns_is_back_within_two_seconds(tmp_path: Path) -> None:
    path = tmp_path / "dev"
    first, port = Pty(path), Port(str(path))
    assert polled(port).state is PortState.OPENED
    first.close()
    closed = polled(port)
    assert closed.state is PortState.CLOSED
    assert closed.reason.startswith("vanished")
    gone = polled(port)
    assert (gone.state, gone.reason) == (
        PortState.UNAVAILABLE,
        "does not exist: is it plugged in?",
    )
    with pytest.raises(AssertionError, match="nothing changed"):
        polled(port, 1.2)  # the same reason is told once, and the backoff reaches its end
    second = Pty(path)
    returned = time.monotonic()
    assert polled(port).state is PortState.OPENED
    assert time.monotonic() - returned < 2
    second.write(b"again", 1)
    assert arrived(port, 5) == b"again"
    port.close()
    second.close()


def test_a_dead_device_costs_no_cpu(tmp_path: Path) -> None:
    # By a name of its own: the pty's number goes to whoever opens one next, another test even.
    pty, port = Pty(tmp_path / "dev"), Port(str(tmp_path / "dev"))
    port.poll(0)
    pty.close()
    before = resource.getrusage(resource.RUSAGE_SELF)
    wakes = 0
    end = time.monotonic() + 0.4
    while time.monotonic() < end:  # the loop: sleep unless something is readable
        fileno = port.fileno()
        wakes += bool(select.select([fileno] if fileno is not None else [], [], [], 0.02)[0])
        port.read()
        port.poll(now_ms())
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert wakes <= 2
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


def test_last_bytes_before_the_end_are_given(tmp_path: Path) -> None:
    pty = Pty()
    port = Port(pty.path)
    port.poll(0)
    port.write(b"x")
    assert pty.read(1) == b"x"
    pty.write(b"last words", 1)
    assert arrived(port, 10) == b"last words"
    pty.close()
    assert polled(port).state is PortState.CLOSED


def test_backoff_doubles_to_its_limit_and_survives_a_clock_set_back(tmp_path: Path) -> None:
    path = tmp_path / "dev"
    port = Port(str(path))
    assert port.poll(10_000_000) is not None
    pty = Pty(path)
    assert port.poll(10_000_099) is None
    event = port.poll(10_000_100)
    assert event is not None
    assert event.state is PortState.OPENED
    port.close()
    pty.close()
    port = Port(str(path))
    port.poll(10_000_000)
    pty = Pty(path)
    event = port.poll(0)
    assert event is not None
    assert event.state is PortState.OPENED
    port.close()
    pty.close()


def test_a_pattern_finds_its_one_device(tmp_path: Path) -> None:
    port = Port(str(tmp_path / "*FTDI*"))
    event = port.poll(0)
    assert event is not None
    assert "no device matches" in event.reason
    one = Pty(tmp_path / "usb-FTDI-1")
    other = Pty(tmp_path / "usb-FTDI-2")
    event = port.poll(1_000)
    assert event is not None
    assert "matches 2 devices" in event.reason
    other.close()
    event = port.poll(2_000)
    assert event is not None
    assert (event.state, event.device) == (PortState.OPENED, str(tmp_path / "usb-FTDI-1"))
    port.close()
    one.close()


def test_a_held_device_says_so_and_is_taken_when_free() -> None:
    pty = Pty()
    first, second = Port(pty.path), Port(pty.path)
    first.poll(0)
    event = second.poll(0)
    assert event is not None
    assert event.state is PortState.UNAVAILABLE
    assert "held by another process" in event.reason
    assert first.is_open
    first.close()
    event = second.poll(5_000)
    assert event is not None
    assert event.state is PortState.OPENED
    second.close()
    pty.close()


def test_no_permission_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "dev"
    path.touch(mode=0)
    child = os.fork()
    if child == 0:  # root may open anything: somebody else tries
        if os.geteuid() == 0:
            os.setuid(65534)
        event = Port(str(path)).poll(0)
        os._exit(0 if event is not None and "dialout" in event.reason else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_no_serial_port_says_so(tmp_path: Path, what: str) -> None:
    path = tmp_path / "dev"
    path.touch() if what == "file" else path.mkdir()
    event = Port(str(path)).poll(0)
    assert event is not None
    assert event.state is PortState.UNAVAILABLE
    assert "not a serial port" in event.reason


def test_a_line_that_takes_nothing_refuses_and_never_waits() -> None:
    pty = Pty()
    port = Port(pty.path)
    assert not port.write(b"closed")
    port.poll(0)
    written = 0
    while port.write(b"x" * 512) and written < 10_000_000:
        written += 512
    assert 0 < written < 10_000_000
    assert not port.write(bytes(WRITE_HELD_BYTES))
    assert port.is_open
    got = b""
    while piece := pty.read(0.2):
        got += piece
        port.poll(0)  # what was held goes out
    assert got == b"x" * written
    port.close()
    pty.close()
