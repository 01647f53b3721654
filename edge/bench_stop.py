"""A bench that is stopped: what was measured until then is kept, and marked."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM came; no `except Exception` on the way stops it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell gives for a program that such a signal ended."""
        return 128 + self.number


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise Interrupted where a signal comes; the second one ends the program as ever."""
    before: dict[int, Any] = {}

    def put_back() -> None:
        for number, was in before.items():
            signal.signal(number, was)

    def stop(number: int, _: object) -> None:
        put_back()
        raise Interrupted(number)

    for number in SIGNALS:
        was = signal.getsignal(number)
        if was is not signal.SIG_IGN:  # nohup, or a shell that put it into the background
            before[number] = was
            signal.signal(number, stop)
    try:
        yield
    finally:
        put_back()
