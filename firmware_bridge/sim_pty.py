"""The far end of a simulated serial line: a pty, with a symlink where the gateway looks for it."""

from __future__ import annotations

import os
import select
import tty
from pathlib import Path

_READ_BYTES = 4096


class Pty:
    """One pty in raw mode. The gateway opens `path` (or `link`, which points to it)."""

    def __init__(self, link: Path | str | None = None) -> None:
        self._master, slave = os.openpty()
        self.path = os.ttyname(slave)
        # Raw before anyone opens it, or the line discipline would echo and edit; and closed again,
        # as only then does the kernel tell (POLLHUP) whether the gateway has it open.
        tty.setraw(slave)
        os.close(slave)
        os.set_blocking(self._master, False)
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN)
        self._room = select.poll()
        self._room.register(self._master, select.POLLOUT)
        self.link = None if link is None else Path(link)
        if self.link is not None:
            # Replaced in one step: the gateway must never find half of it.
            fresh = self.link.with_name(self.link.name + ".new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(self.path)
            fresh.replace(self.link)

    @property
    def device(self) -> str:
        """What the gateway is to open: the link, where there is one."""
        return self.path if self.link is None else str(self.link)

    def listening(self) -> bool:
        """Say whether somebody has the other side open; for any thread."""
        poll = select.poll()  # one that two threads use at once raises
        poll.register(self._master, 0)
        return not any(event & select.POLLHUP for _, event in poll.poll(0))

    def read(self, wait_s: float) -> bytes:
        """Give what the gateway wrote; waits at most so long for it."""
        if not any(event & select.POLLIN for _, event in self._poll.poll(max(0, wait_s * 1000))):
            return b""
        try:
            return os.read(self._master, _READ_BYTES)
        except OSError:  # it closed its side in between
            return b""

    def write(self, data: bytes, wait_s: float) -> bytes:
        """Write what there is room for, waiting at most so long for some; gives the rest."""
        if not any(event & select.POLLOUT for _, event in self._room.poll(wait_s * 1000)):
            return data
        try:
            return data[os.write(self._master, data) :]
        except BlockingIOError:
            return data

    def close(self) -> None:
        """Make the device vanish, and the link with it if it is still ours."""
        if self._master < 0:
            return
        os.close(self._master)
        self._master = -1
        link = self.link
        if link is not None and link.is_symlink() and str(link.readlink()) == self.path:
            link.unlink()
