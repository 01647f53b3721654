"""What wakes a thread that waits in ``select`` when another one has something for it."""

from __future__ import annotations

import socket
from contextlib import suppress


class Wake:
    """``call`` in any thread makes it readable until the one that waits calls ``clear``."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()  # sockets: a closed one is nobody else's
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._called = False
        self.hurry = False
        """Whether acknowledgements are waited for; else they can wait for the next turn."""

    def fileno(self) -> int:
        """Give what to select on."""
        return self._read.fileno()

    def call(self) -> None:
        """Wake the other; what it is woken for must be where it looks already."""
        if not self._called:
            self._called = True
            with suppress(OSError):  # full: it will wake anyway; closed: there is nobody to wake
                self._write.send(b"\0")

    def clear(self) -> None:
        """Take that it is awake; what there is to do is to be looked for after this."""
        with suppress(OSError):
            self._read.recv(64)
        self._called = False  # after the read: else a call between the two would be lost

    def close(self) -> None:
        """Close both ends."""
        self._read.close()
        self._write.close()
