"""What systemd is told of this process (sd_notify): ready, alive, leaving; elsewhere nothing."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

MAX_STATUS = 200


class Notifier:
    """The socket in NOTIFY_SOCKET. The variables are taken away: no child may speak for us."""

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        env = os.environ if environ is None else environ
        name = env.pop("NOTIFY_SOCKET", "")
        self._watchdog_s = _watchdog_s(env.pop("WATCHDOG_USEC", ""), env.pop("WATCHDOG_PID", ""))
        self._socket: socket.socket | None = None
        self._unready = False
        if name[:1] not in {"/", "@"}:
            return
        # "@" stands for the abstract names that Linux has beside those in the file system.
        self._address = "\0" + name[1:] if name[0] == "@" else name
        with suppress(OSError):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)  # a supervisor that hangs must not hang the watch

    @property
    def watchdog_s(self) -> float:
        """How often it wants to hear at least; 0: never."""
        return self._watchdog_s if self._socket is not None else 0.0

    def ready(self, status: str) -> None:
        """Tell that the service has started; where nobody can hear it now, with the next pet."""
        self._unready = not self._send("READY=1", _status(status))

    def alive(self, status: str) -> None:
        """Tell that all is going on."""
        started = ("READY=1",) if self._unready else ()
        if self._send(*started, "WATCHDOG=1", _status(status)):
            self._unready = False

    def status(self, status: str) -> None:
        """Tell how things stand, without saying that they go on."""
        self._send(_status(status))

    def stopping(self) -> None:
        """Tell that the service is leaving."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Say no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> bool:
        if self._socket is None:
            return False
        with suppress(OSError):  # nobody listens, or too slowly: the next one comes soon
            self._socket.sendto("\n".join(lines).encode(), self._address)
            return True
        return False


def _status(text: str) -> str:
    return "STATUS=" + "".join(c if c.isprintable() else " " for c in text[:MAX_STATUS])


def _watchdog_s(microseconds: str, pid: str) -> float:
    """Return the time in seconds, 0 where the variables are not meant for this process."""
    if pid and pid != str(os.getpid()):
        return 0.0
    return int(microseconds) / 1e6 if microseconds.isascii() and microseconds.isdigit() else 0.0
