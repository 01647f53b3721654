"""A serial port that may vanish and return: states as values, nothing blocks. POSIX only.

Beside `devices` the only module that imports pyserial. The loop calls `poll` at least a few times a
second, `read` when `fileno` is readable, and `write` with what the driver wants to say.
"""

from __future__ import annotations

import errno
import os
import termios
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

import serial  # type: ignore[import-untyped, unused-ignore]

from firmware_bridge.devices import find
from firmware_bridge.uart_frame import FRAME, FRAMES

READ_BYTES = 4096
"""Most that one `read` gives."""
WRITE_HELD_BYTES = 1024
"""Most that waits for a slow line; more is refused, as drivers ask again anyway."""
OPEN_RETRY_MS = 100
OPEN_RETRY_MAX_MS = 1_000


class PortState(Enum):
    """What happened to a port."""

    OPENED = "opened"
    CLOSED = "closed"
    """It vanished while in use."""
    UNAVAILABLE = "unavailable"
    """It cannot be opened; given once a reason, then tried on in silence."""


@dataclass(frozen=True, slots=True)
class PortEvent:
    """A change of a port's state."""

    state: PortState
    device: str
    """The device itself, where a pattern was given and one matched."""
    reason: str
    """For people: why, and what to do about it; "" when opened."""
    at_ms: int


class Port:
    """One serial device, by path, by a pattern such as /dev/serial/by-id/*FTDI*, or usb:SERIAL.

    8N1 unless ``frame`` says another, no flow control, exclusive. Reopened with a backoff from
    `open_retry_ms` doubling to `open_retry_max_ms`, so a device that returns is in use again within
    that and one poll.
    """

    def __init__(
        self,
        device: str,
        baud: int = 115_200,
        *,
        frame: str = FRAME,
        open_retry_ms: int = OPEN_RETRY_MS,
        open_retry_max_ms: int = OPEN_RETRY_MAX_MS,
    ) -> None:
        self.device = device
        self.baud = baud
        self._frame = FRAMES[frame]
        self._retry_first_ms = open_retry_ms
        self._retry_max_ms = open_retry_max_ms
        self._retry_ms = open_retry_ms
        self._due_ms: int | None = None  # None: at once
        self._serial: serial.Serial | None = None
        self._opened_as = device
        self._vanished = ""  # why, until the next poll tells of it
        self._told = ""
        self._held = b""

    @property
    def is_open(self) -> bool:
        """Whether the device is open now."""
        return self._serial is not None

    @property
    def unwritten(self) -> bool:
        """Whether something waits for a slow line: `poll` goes on with it."""
        return bool(self._held)

    def fileno(self) -> int | None:
        """Give the descriptor to select on; None while closed. It changes at every opening."""
        return None if self._serial is None else int(self._serial.fileno())

    def poll(self, now_ms: int) -> PortEvent | None:
        """Open the port if it is closed and due; gives what changed since the last poll."""
        if self._vanished:
            reason, self._vanished = self._vanished, ""
            self._retry_ms = self._retry_first_ms
            self._wait(now_ms)
            return PortEvent(PortState.CLOSED, self._opened_as, reason, now_ms)
        if self._serial is not None:
            self._write_held()
            return None
        # A due time further off than any wait means that our clock was set back.
        if self._due_ms is not None and now_ms < self._due_ms <= now_ms + self._retry_max_ms:
            return None
        device, reason = find(self.device)
        if not reason:
            reason = self._open(device)
        if not reason:
            self._told = ""
            return PortEvent(PortState.OPENED, device, "", now_ms)
        self._wait(now_ms)
        if reason == self._told:
            return None
        self._told = reason
        return PortEvent(PortState.UNAVAILABLE, device, reason, now_ms)

    def _wait(self, now_ms: int) -> None:
        self._due_ms = now_ms + self._retry_ms
        self._retry_ms = min(2 * self._retry_ms, self._retry_max_ms)

    def _open(self, device: str) -> str:
        """Open the device; gives the reason if that failed."""
        try:
            self._serial = serial.Serial(
                device, self.baud, *self._frame, timeout=0, write_timeout=0, exclusive=True
            )
        except (OSError, ValueError, termios.error) as error:
            return _reason(_errno(error), str(error))
        self._opened_as = device
        self._due_ms = None
        self._held = b""
        return ""

    def tune(self, baud: int, frame: str = FRAME) -> str:
        """Go on at another speed, what has arrived forgotten; gives the reason if that failed.

        Without closing: that drops DTR, which restarts some nodes.
        """
        if self._serial is None:
            return "is closed"
        port, names = self._serial, ("baudrate", "bytesize", "parity", "stopbits")
        before = [getattr(port, name) for name in names]
        try:
            for name, value in zip(names, (baud, *FRAMES[frame]), strict=True):
                setattr(port, name, value)
            port.reset_input_buffer()
        except (OSError, ValueError, termios.error) as error:
            for name, value in zip(names, before, strict=True):
                with suppress(OSError, ValueError, termios.error):  # the last sets them all
                    setattr(port, name, value)
            return _reason(_errno(error), str(error))
        self.baud, self._frame, self._held = baud, FRAMES[frame], b""
        return ""

    def read(self, limit: int = READ_BYTES) -> bytes:
        """Give what has arrived, at most `limit` bytes; b"" if nothing has, or the port is gone."""
        if self._serial is None:
            return b""
        try:
            # Itself it would ask for each byte string first whether there is one.
            return os.read(self._serial.fileno(), limit) or bytes(self._serial.read(limit))
        except BlockingIOError:
            return b""
        except (OSError, termios.error, TypeError) as error:
            # pyserial turns "readable, but nothing to read" (a pulled plug) into SerialException,
            # and gives TypeError where its descriptor went away under it.
            self._vanish(str(error))
            return b""

    def write(self, data: bytes) -> bool:
        """Write without waiting; False if the port is closed or too much is waiting already."""
        if self._serial is None or len(self._held) + len(data) > WRITE_HELD_BYTES:
            return False
        self._held += data
        self._write_held()
        return self._serial is not None

    def _write_held(self) -> None:
        fileno = self.fileno()
        if fileno is None or not self._held:
            return
        try:
            # Not Serial.write: on a full line that spins until there is room.
            written = os.write(fileno, self._held)
        except BlockingIOError:
            return
        except OSError as error:
            self._vanish(str(error))
            return
        self._held = self._held[written:]

    def _vanish(self, reason: str) -> None:
        self.close()
        self._vanished = f"vanished: {reason}"

    def close(self) -> None:
        """Close the device, if it is open; `poll` would open it again."""
        port, self._serial = self._serial, None
        self._held = b""
        if port is not None:
            with suppress(OSError, termios.error):  # gone: there is nothing left to close
                port.close()


def _errno(error: BaseException | None) -> int | None:
    """Give the number of an error; pyserial hides that of termios behind its own."""
    while error is not None:
        number = error.args[0] if isinstance(error, termios.error) and error.args else None
        number = number or getattr(error, "errno", None)
        if isinstance(number, int):
            return number
        error = error.__context__
    return None


def _reason(number: int | None, text: str) -> str:
    """Say why a port cannot be opened, and what to do."""
    if number == errno.ENOENT:
        return "does not exist: is it plugged in?"
    if number in (errno.EACCES, errno.EPERM):
        return "permission denied: add this user to the group of the device (often dialout)"
    if number in (errno.EAGAIN, errno.EBUSY):
        return "held by another process: find it with 'fuser' or 'lsof' and stop it"
    if number in (errno.ENOTTY, errno.EISDIR):
        return "is not a serial port"
    if number == errno.EINVAL:
        return "cannot have this baud rate, or these data bits, parity and stop bits"
    return text
