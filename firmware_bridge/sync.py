"""The four-timestamp exchange: a node's microseconds since boot on the gateway's clock.

Offset and round trip of an exchange as in NTP (RFC 5905, section 8); of every `BATCH` exchanges
the one with the least round trip counts, and offset and drift are fitted over the last `FITTED`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from firmware_bridge.commands import SYNC, decode_sync, sync_request
from firmware_bridge.framing import ACK_REQ, ERROR, VERSION, Frame
from firmware_bridge.messages import Malformed

if TYPE_CHECKING:
    from firmware_bridge.commands import Exchange

BATCH = 8
FITTED = 64
MAX_ROUND_TRIP_US = 2_000_000
"""A slower answer says nothing of use."""
MAX_DRIFT = 500e-6
"""No crystal is worse; a steeper fit is noise."""
LEAST_SPAN_US = 60_000_000
"""A shorter time says nothing about drift."""
RESOLUTION_US = 1000
"""The gateway's own times are whole milliseconds."""
FIRST_MS = 250
"""Time between two exchanges until the first batch is whole."""
EVERY_MS = 10_000
SILENT_MS = 60_000
"""The same for a node that has left so many unanswered:"""
SILENT = 5
JUMP_US = 500_000
"""An offset that leaves the fit by more is another clock: begin anew."""


class _Point(NamedTuple):
    node_us: int
    offset_us: int
    round_trip_us: int


class SyncClock:
    """Gives gateway time from node time, and how far off it may be."""

    __slots__ = ("_batch", "_drift", "_mean_node_us", "_mean_offset_us", "_points", "jumps",
                 "uncertainty_us")  # fmt: skip

    def __init__(self) -> None:
        self.jumps = 0
        """How often the node's clock left the fit."""
        self.restarted()

    def restarted(self) -> None:
        """Forget everything: the node counts from zero again."""
        self._points: deque[_Point] = deque(maxlen=FITTED)
        self._batch: list[_Point] = []
        self._mean_node_us = self._mean_offset_us = 0.0
        self._drift = 0.0
        self.uncertainty_us = -1.0

    def jumped(self) -> None:
        """Forget everything: the node's clock is another than it was."""
        self.jumps += 1
        self.restarted()

    @property
    def ready(self) -> bool:
        """Whether there is anything to map by."""
        return self.uncertainty_us >= 0

    def shift(self, step_ms: int) -> None:
        """Note that our own clock was set by so much: offsets move with it."""
        step_us = step_ms * 1000
        self._points = deque((p._replace(offset_us=p.offset_us + step_us) for p in self._points),
                             maxlen=FITTED)  # fmt: skip
        self._batch.clear()
        self._mean_offset_us += step_us

    def take(self, exchange: Exchange, t4_us: int) -> bool:
        """Take an answer that arrived at gateway time t4; False if it is of no use."""
        out_us = t4_us - exchange.t1_us
        held_us = exchange.t3_us - exchange.t2_us
        if not 0 <= held_us <= out_us <= MAX_ROUND_TRIP_US:
            return False
        offset_us = (exchange.t1_us + t4_us - exchange.t2_us - exchange.t3_us) // 2
        point = _Point(exchange.t2_us, offset_us, out_us - held_us)
        if self.ready and abs(offset_us - self._offset_us(exchange.t2_us)) > (
            JUMP_US + point.round_trip_us
        ):
            self.jumped()
        self._batch.append(point)
        if len(self._batch) >= BATCH:
            self._points.append(min(self._batch, key=lambda p: p.round_trip_us))
            self._batch.clear()
            self._fit()
        elif not self._points:  # better one exchange than none
            self._use([min(self._batch, key=lambda p: p.round_trip_us)])
        return True

    def _fit(self) -> None:
        self._use(list(self._points))

    def _use(self, points: list[_Point]) -> None:
        count = len(points)
        mean_node = sum(p.node_us for p in points) / count
        mean_offset = sum(p.offset_us for p in points) / count
        drift = 0.0
        if points[-1].node_us - points[0].node_us >= LEAST_SPAN_US and count >= 3:
            spread = sum((p.node_us - mean_node) ** 2 for p in points)
            drift = sum((p.node_us - mean_node) * (p.offset_us - mean_offset) for p in points)
            drift = drift / spread if spread else 0.0
        if abs(drift) > MAX_DRIFT or count < 3:
            drift = 0.0
            mean_node, mean_offset = float(points[-1].node_us), float(points[-1].offset_us)
        self._drift, self._mean_node_us, self._mean_offset_us = drift, mean_node, mean_offset
        self.uncertainty_us = min(p.round_trip_us for p in points[-3:]) / 2 + RESOLUTION_US

    def _offset_us(self, node_us: int) -> float:
        return self._mean_offset_us + self._drift * (node_us - self._mean_node_us)

    def time_us(self, node_us: int) -> int:
        """Give the gateway time of a node time, us since 1970. Only where ``ready``."""
        return round(node_us + self._offset_us(node_us))


class Syncing:
    """When the next exchange is due, and its frame. Each is asked once: a retry would be late."""

    __slots__ = ("_answered", "_clock", "_due_ms", "_refused", "_seq", "_unanswered")

    def __init__(self, clock: SyncClock) -> None:
        self._clock = clock
        self._seq = 0
        self.begin()

    def begin(self) -> None:
        """Start over: the node has restarted, or the port was opened."""
        self._due_ms: int | None = None
        self._answered = self._unanswered = 0
        self._refused = False

    def take(self, frame: Frame, now_ms: int) -> Malformed | None:
        """Take a SYNC with the flag RESPONSE."""
        if frame.flags & ERROR:
            self._refused = True  # this firmware does not know it
            return None
        exchange = decode_sync(frame.payload)
        if isinstance(exchange, Malformed):
            return exchange
        if self._clock.take(exchange, now_ms * 1000):
            self._answered += 1
            self._unanswered = 0
        return None

    @property
    def _wait_ms(self) -> int:
        if self._unanswered > SILENT:
            return SILENT_MS
        return FIRST_MS if self._answered < BATCH else EVERY_MS

    def due_ms(self, now_ms: int) -> int | None:
        """Say when `next_frame` has something to do; None for never."""
        if self._refused:
            return None
        return now_ms if self._due_ms is None else self._due_ms

    def next_frame(self, now_ms: int) -> Frame | None:
        """Give the exchange to begin now."""
        if self._refused or (
            self._due_ms is not None and now_ms < self._due_ms <= now_ms + SILENT_MS
        ):
            return None
        self._unanswered += 1
        self._due_ms = now_ms + self._wait_ms
        self._seq = (self._seq + 1) % (1 << 16)
        return Frame(VERSION, ACK_REQ, SYNC, self._seq, 0, sync_request(now_ms * 1000))
