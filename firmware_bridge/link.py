"""What happened to a node's samples on the way, and when they were taken on our clock."""

from __future__ import annotations

from collections import deque
from enum import Enum

from firmware_bridge.sync import JUMP_US, SyncClock

WINDOW_FRAMES = 64
"""Frames over which the quickest arrival is sought."""
CLOCK_STEP_MS = 3_600_000
"""A fall of mapped time by more than this is our own clock set back, not a quicker arrival."""
REMEMBERED_SAMPLES = 1024
"""How far back a late sample can be told from a duplicate."""

_WRAP = 1 << 32
_SEEN_MASK = (1 << REMEMBERED_SAMPLES) - 1


class Arrival(Enum):
    """What a sample is, by its index."""

    NEW = 1
    LATE = 2
    """Fills a gap counted before."""
    DUPLICATE = 3
    """Seen before, or too old to tell."""


class SampleLedger:
    """Gaps, duplicates and reboots of one node, by its sample index, boot counter and boot id."""

    __slots__ = ("_boot", "_boot_id", "_counting", "_fresh", "_last", "_seen", "duplicates", "gaps",
                 "reboots", "skipped")  # fmt: skip

    def __init__(self) -> None:
        self.gaps = 0
        self.skipped = 0
        """Samples missing just before the one that arrived last, if it was new."""
        self.duplicates = 0
        self.reboots = 0
        self._boot: int | None = None
        self._boot_id: int | None = None
        self._last = 0
        self._counting = False  # a sample has ever arrived
        self._fresh = True  # the next sample is the first ever, or since a reboot
        self._seen = _SEEN_MASK  # bit k: sample _last - k has arrived, or is not missed

    def note_boot(self, boot: int) -> bool:
        """Take the boot counter of any frame; True if the node has started anew."""
        if boot == self._boot:
            return False
        known = self._boot is not None
        self._boot = boot
        if known:
            self._boot_id = None  # its HELLO is yet to come, and tells of the same boot
            self._restart()
        return known

    def note_boot_id(self, boot_id: int) -> bool:
        """Take the boot id of a HELLO; True if the node has started anew, and we had not seen."""
        fresh = self._boot_id is not None and boot_id != self._boot_id
        self._boot_id = boot_id
        if fresh:
            self._restart()
        return fresh

    def _restart(self) -> None:
        self.reboots += 1
        self._fresh = True

    def arrived(self, index: int) -> Arrival:
        """Account for one sample, u32 index."""
        ahead = (index - self._last) % _WRAP
        self.skipped = 0
        if self._fresh:
            return self._first(index, ahead)
        if ahead == 1:
            self._last = index
            self._seen = (self._seen << 1 | 1) & _SEEN_MASK
            return Arrival.NEW
        if 0 < ahead < _WRAP // 2:
            self.skipped = ahead - 1
            self.gaps += self.skipped
            self._last = index
            # Before the shift: an index from the node's memory must not make a huge integer.
            self._seen = (self._seen << ahead | 1) & _SEEN_MASK if ahead < REMEMBERED_SAMPLES else 1
            return Arrival.NEW
        behind = -ahead % _WRAP
        if behind < REMEMBERED_SAMPLES and self.gaps and not self._seen >> behind & 1:
            self._seen |= 1 << behind
            self.gaps -= 1
            return Arrival.LATE
        self.duplicates += 1
        return Arrival.DUPLICATE

    def _first(self, index: int, ahead: int) -> Arrival:
        """Account for the first sample ever, or since a reboot.

        After a reboot the count goes on (a higher index: the gap is known) or starts again.
        """
        if self._counting and 0 < ahead < _WRAP // 2:
            self.gaps += ahead - 1
        self._counting = True
        self._fresh = False
        self._last = index
        self._seen = _SEEN_MASK
        return Arrival.NEW


class ClockMap:
    """Node time (microseconds since its boot) to gateway time (ms since 1970).

    "sync": by the exchanges of `sync.SyncClock`; until there are any, as "arrival".

    "arrival": the quickest of the last `WINDOW_FRAMES` frames is taken to have come at once, so
    jitter and backlog on our side do not show. Time never falls while node time rises, unless our
    own clock was set back by more than `CLOCK_STEP_MS`: then standing still would hide it.

    "node": anchored at the first frame, then the node's own counter: for simulators that run
    faster than time. After a node's reboot it goes on at its arrival or, where the node runs ahead
    of time, one step after the last sample.

    With `epoch_ms` ("node" only) node time 0 of the first boot is that moment.
    """

    __slots__ = ("_anchor_ms", "_count", "_follow", "_last_ms", "_last_us", "_shift_ms", "_step_ms",
                 "_window", "sync")  # fmt: skip

    def __init__(self, mode: str = "arrival", epoch_ms: int | None = None) -> None:
        if mode not in ("sync", "arrival", "node"):
            raise ValueError(f"clock {mode!r}: 'sync', 'arrival' or 'node'")
        if epoch_ms is not None and mode != "node":
            raise ValueError("epoch_ms goes with clock 'node'")
        self._follow = mode == "node"
        self.sync = SyncClock() if mode == "sync" else None
        self._window: deque[tuple[int, int]] = deque()  # (frame count, offset), offsets rising
        self._count = 0
        self._last_us = -1
        self._last_ms: int | None = None
        self._anchor_ms: int | None = epoch_ms  # gateway time at node time 0 ("node")
        self._shift_ms: int | None = None if epoch_ms is not None else 0  # "node" time - arrival
        self._step_ms = 0

    def restarted(self) -> None:
        """Note that the node counts from zero again."""
        self._window.clear()
        if self.sync is not None:
            self.sync.restarted()
        self._last_us = -1
        if self._last_ms is not None:
            self._anchor_ms = None

    def shift(self, step_ms: int) -> None:
        """Note that our own clock was set by so much, unless the node's own time is followed.

        Set forward, the window would hold arrivals before it for the quickest, and give times of
        the clock as it was for `WINDOW_FRAMES` frames. Set back, its arrivals are quicker anyway.
        """
        if self.sync is not None:
            self.sync.shift(step_ms)
        if step_ms > 0:
            self._window = deque((count, offset + step_ms) for count, offset in self._window)

    def time_ms(self, t_us: int, received_ms: int) -> int:
        """Give the gateway time of a sample taken at node time `t_us`, that arrived just now."""
        node_ms = t_us // 1000
        if self._follow:
            time_ms = self._followed(node_ms, received_ms)
        elif self.sync is not None and self.sync.ready:
            time_ms = self._synced(self.sync, t_us, received_ms)
        else:
            time_ms = node_ms + self._quickest(received_ms - node_ms)
        last_ms = self._last_ms
        if t_us < self._last_us:  # a late sample: its own, older time
            return time_ms
        if last_ms is not None and time_ms < last_ms and last_ms - time_ms <= CLOCK_STEP_MS:
            time_ms = last_ms
        if last_ms is not None:
            self._step_ms = time_ms - last_ms
        self._last_us = t_us
        self._last_ms = time_ms
        return time_ms

    def _synced(self, sync: SyncClock, t_us: int, received_ms: int) -> int:
        node_ms = t_us // 1000
        quickest_ms = node_ms + self._quickest(received_ms - node_ms)
        time_ms = sync.time_us(t_us) // 1000
        if time_ms <= received_ms + JUMP_US // 1000:
            return time_ms
        # From the future: the node's clock jumped since the last exchange.
        sync.jumped()
        self._window.clear()
        return min(quickest_ms, received_ms)

    @property
    def uncertainty_ms(self) -> float:
        """How far off the times given may be; -1 where that is not known."""
        sync = self.sync
        return sync.uncertainty_us / 1000 if sync is not None and sync.ready else -1.0

    def _quickest(self, offset_ms: int) -> int:
        """Give the least offset of the window, this one in it."""
        window = self._window
        self._count = count = self._count + 1
        while window and window[-1][1] >= offset_ms:
            window.pop()
        window.append((count, offset_ms))
        if window[0][0] <= count - WINDOW_FRAMES:
            window.popleft()
        return window[0][1]

    def _followed(self, node_ms: int, received_ms: int) -> int:
        if self._anchor_ms is None:
            arrival_ms = received_ms + (self._shift_ms or 0)
            last_ms = self._last_ms
            ahead = last_ms is not None and arrival_ms <= last_ms
            start_ms = last_ms + self._step_ms if ahead and last_ms is not None else arrival_ms
            self._anchor_ms = start_ms - node_ms
        if self._shift_ms is None:
            self._shift_ms = self._anchor_ms + node_ms - received_ms
        return self._anchor_ms + node_ms
