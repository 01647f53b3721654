"""What is on the air, what the broker refused, and what the disk has not let go yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.message import ALARM

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW = 64
"""Messages on the air at most: they wait in memory for their PUBACK."""
MAX_AIR_BYTES = 64 * 1024
"""Bytes on the air beyond which only alarms are sent: on a slow link these stand before them."""
MAX_HELD = 16 * WINDOW
"""Messages refused, or acknowledged but not let go by the disk: beyond these only alarms go."""
REFUSED_AGAIN_S = 60.0
"""After so long what the broker refused is sent to it again."""


class Air:
    """The numbers of the outbox that must not be sent (again) now."""

    def __init__(self) -> None:
        self.window = WINDOW
        self.max_packet_bytes = 0
        """What the broker takes in one packet; 0: it does not say."""
        self.acknowledged: set[int] = set()
        self.refused: dict[int, float] = {}
        """Until when each is not sent again."""
        self.why_refused: dict[str, int] = {}
        self._flying: dict[int, tuple[int, int]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._flying)

    def begin(self, receive_maximum: int, max_packet_bytes: int) -> None:
        """Start on a new connection, by what the broker says it takes; 0: it does not say."""
        self.window = max(1, min(WINDOW, receive_maximum - 1)) if receive_maximum else WINDOW
        self.max_packet_bytes = max_packet_bytes
        self.refused.clear()
        self.why_refused.clear()
        self.end()

    def end(self) -> None:
        """Forget what flew: the connection is gone, and the outbox still has it."""
        self._flying.clear()
        self._bytes = 0

    @property
    def room(self) -> int:
        """How many may be sent now; none while half of the window flies: fewer, larger reads."""
        flying = len(self._flying)
        return self.window - flying if flying < max(1, self.window // 2) else 0

    @property
    def bytes_left(self) -> int:
        """How many bytes may be sent now."""
        return max(1, MAX_AIR_BYTES - self._bytes)

    def out(self) -> frozenset[int]:
        """Return the numbers that must not be sent now."""
        flying = (number for number, _ in self._flying.values())
        return frozenset((*flying, *self.acknowledged, *self.refused))

    def takes(self, priority: int) -> bool:
        """Whether one more of this priority may be sent."""
        held = max(len(self.acknowledged), len(self.refused))
        if priority == ALARM:
            return len(self.refused) < 4 * MAX_HELD
        return self._bytes < MAX_AIR_BYTES and held < MAX_HELD

    def sent(self, mid: int, number: int, size: int) -> None:
        """Take that a message flies."""
        self._flying[mid] = (number, size)
        self._bytes += size

    def landed(self, mid: int) -> int:
        """Take that the broker has answered; returns the number in the outbox, 0 for none."""
        number, size = self._flying.pop(mid, (0, 0))
        self._bytes -= size
        return number

    def refuse(self, number: int, why: str, now_s: float) -> None:
        """Pass over a message for a while: it stays in the outbox."""
        self.refused[number] = now_s + REFUSED_AGAIN_S
        self.why_refused[why] = self.why_refused.get(why, 0) + 1

    def forgive(self, now_s: float) -> None:
        """Let what was refused long ago be tried again."""
        if self.refused and min(self.refused.values()) <= now_s:
            self.refused = {n: until for n, until in self.refused.items() if until > now_s}
            if not self.refused:
                self.why_refused.clear()

    def let_go(self, numbers: Iterable[int]) -> None:
        """Take that these are deleted."""
        self.acknowledged.difference_update(numbers)


class Patience:
    """When a connection that has something on the air and gets no answer is to be given up.

    A slow link may take long over one message. So the time counts from when the last byte has left
    (or has stopped leaving): from then on only an answer is missing.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since_s: float | None = None
        self._all_left = False
        self._taken = -1

    def answered(self) -> None:
        """Take that the broker has answered something."""
        self._since_s = None

    def over(self, flying: int, moving: tuple[int, int] | None, now_s: float) -> bool:
        """Whether to give up. ``moving``: bytes that wait to leave, bytes taken so far."""
        if not flying:
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s, self._all_left, self._taken = now_s, False, -1
        if moving is not None and not self._all_left:
            waiting, taken = moving
            if taken != self._taken:
                self._since_s, self._taken = now_s, taken
            self._all_left = waiting == 0
        return now_s - self._since_s >= self._limit_s
