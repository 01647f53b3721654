"""A port that is listened to and asked at one speed after the other, within a time."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from edge.errors import TalusError
from firmware_bridge.port import Port, PortState
from firmware_bridge.uart_frame import FRAME, FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

_TURN_S = 0.02
_SETTLE_S = 0.02  # what is under way at the old speed is over


class Line:
    """An open port. TalusError if it cannot be opened, or vanishes."""

    def __init__(self, device: str, budget_s: float) -> None:
        self.end_s = time.monotonic() + budget_s
        self.baud = 9600
        self.frame = FRAME
        self._port = Port(device, self.baud)
        event = self._port.poll(0)
        if event is None or event.state is not PortState.OPENED:
            raise TalusError(f"{device}: {event.reason if event else 'cannot be opened'}")
        self.device = event.device

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._port.close()

    @property
    def left_s(self) -> float:
        """Time left of the budget."""
        return max(0.0, self.end_s - time.monotonic())

    @property
    def bits_a_byte(self) -> int:
        """Bits that one byte takes on the line, of start, parity and stop too."""
        bits, parity, stops = FRAMES[self.frame]
        return 1 + bits + (parity != "N") + stops

    def tune(self, baud: int, frame: str = FRAME) -> str:
        """Go on at another speed; gives the reason if the adapter cannot."""
        reason = self._port.tune(baud, frame)
        if not reason:
            self.baud, self.frame = baud, frame
            self.hear(_SETTLE_S)
        return reason

    def write(self, data: bytes) -> None:
        """Write without waiting."""
        if data:
            self._port.write(data)

    def hear(self, seconds: float, enough: Callable[[bytes], bool] | None = None) -> bytes:
        """Give what comes, until it is enough (told each piece) or the time is over."""
        heard = b""
        end_s = min(time.monotonic() + seconds, self.end_s)
        while (left_s := end_s - time.monotonic()) > 0:
            fileno = self._port.fileno()
            if fileno is not None and select.select([fileno], [], [], min(left_s, _TURN_S))[0]:
                piece = self._port.read()
                heard += piece
                if piece and enough is not None and enough(piece):
                    break
            event = self._port.poll(0)  # writes what is held; tells if it vanished
            if event is not None and event.state is PortState.CLOSED:
                raise TalusError(f"{self.device}: {event.reason}")
        return heard

    def ask(
        self, request: bytes, wait_s: float, enough: Callable[[bytes], bool] | None = None
    ) -> bytes:
        """Write a question, and give what comes until ``wait_s`` after it has gone out."""
        self.write(request)
        on_the_line_s = len(request) * self.bits_a_byte / self.baud
        return self.hear(wait_s + on_the_line_s, enough)
