"""A device on a pty that is understood at one baud rate only, as on a wire."""

from __future__ import annotations

import termios
import threading
from collections.abc import Callable, Iterable
from typing import Self

from uart import heard, levels

from firmware_bridge.sim_pty import Pty

_BAUDS = {
    value: int(name[1:])
    for name, value in vars(termios).items()
    if name[0] == "B" and name[1:].isdigit()
}


class UartPty:
    """Says one burst after the other; answers what it hears at its own baud rate.

    The kernel tells what baud rate the other side has set: what is sent is garbled accordingly.
    """

    def __init__(
        self,
        baud: int,
        bursts: Iterable[bytes] = (),
        answer: Callable[[bytes], bytes] = lambda _: b"",
        *,
        interval_s: float = 0.1,
    ) -> None:
        self.pty = Pty()
        self.device = self.pty.device
        self.written: dict[int, bytes] = {}
        """What came, by the baud rate it was sent at."""
        self._baud = baud
        self._bursts = iter(bursts)
        self._answer = answer
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        left_s = 0.0
        while not self._stop.is_set():
            if not self.pty.listening():
                self._stop.wait(0.01)
                continue
            data = self.pty.read(0.005)
            theirs = _BAUDS[termios.tcgetattr(self.pty._master)[4]]
            if data:
                self.written[theirs] = self.written.get(theirs, b"") + data
                if theirs == self._baud:
                    self.pty.write(self._answer(data), 0.5)
            left_s -= 0.005
            if left_s <= 0:
                left_s = self._interval_s
                burst = next(self._bursts, b"")
                if burst:
                    self.pty.write(heard(levels([burst], idle_bits=3), self._baud, theirs), 0.5)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.pty.close()
