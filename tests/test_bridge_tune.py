"""An open port that goes on at another speed."""

from __future__ import annotations

import termios

from firmware_bridge.port import Port
from firmware_bridge.sim_pty import Pty


def speed(pty: Pty) -> int:
    """The output speed that the other side has set."""
    return termios.tcgetattr(pty._master)[5]


def test_it_stays_open_and_what_came_before_is_forgotten() -> None:
    pty, port = Pty(), None
    port = Port(pty.path, 9600)
    assert port.tune(1200) == "is closed"
    port.poll(0)
    fileno = port.fileno()
    pty.write(b"at the old speed", 1)
    assert port.tune(19_200) == ""
    assert (speed(pty), port.baud, port.fileno()) == (termios.B19200, 19_200, fileno)
    assert port.read() == b""
    pty.write(b"new", 1)
    assert port.read() == b"new"
    port.close()
    pty.close()


def test_what_the_device_cannot_changes_nothing() -> None:
    pty = Pty()
    port = Port(pty.path, 9600)
    port.poll(0)
    reason = port.tune(1200, "7E1")  # a pty has eight bits
    assert reason == "cannot have this baud rate, or these data bits, parity and stop bits"
    assert (speed(pty), port.baud) == (termios.B9600, 9600)
    assert port.tune(38_400) == ""
    assert speed(pty) == termios.B38400
    pty.write(b"on", 1)
    assert port.read() == b"on"
    port.close()
    pty.close()
