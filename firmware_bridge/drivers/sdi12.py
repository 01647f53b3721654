"""The driver for SDI-12 sensors behind a transparent adapter: asks, waits, fetches, retries.

One command is out at a time. An M has the bus until its values are read; several C measure at
once, and their sensors are asked in between. Whoever has waited longest is asked next, retries
behind the others; a sensor that did not answer at all gets one try a period until it does.

Without a CRC (M, C, R0) a bit flip that leaves a digit a digit gives a wrong value, and so can an
answer cut in the middle. Use MC, CC or RC0 where the sensor has them (SDI-12 1.3 and later).
"""

from __future__ import annotations

import math
from collections import Counter

from firmware_bridge import sdi12_frame as frame
from firmware_bridge.reading import Dropped, LinkHealth, Reading
from firmware_bridge.sdi12_plan import Sdi12Plan, Sdi12Sensor
from firmware_bridge.sdi12_poll import Phase, Poll, Step, due_after

MAX_HELD = 160
"""Bytes held of a line that has not ended: an echo and the longest answer fit."""
MAX_QUIET_MS = 1000
"""So long a line that is never silent keeps us from asking."""
_MAX_PENDING = 64
_DETAIL_LENGTH = 60
_Found = list[Reading | Dropped]

__all__ = ["Sdi12Driver", "Sdi12Plan", "Sdi12Sensor"]


class Sdi12Driver:
    """The sensors on one port; see `reading.Driver`.

    A reading has the channels of one sensor, and the time when its last value arrived: it was
    measured since the command, which ``uncertainty_ms`` tells.
    """

    def __init__(self, source: str, plan: Sdi12Plan) -> None:
        self.source = source
        self._plan = plan
        self._polls = tuple(map(Poll, plan.sensors))
        self._by_address = {poll.sensor.address.encode(): poll for poll in self._polls}
        self._asking: Poll | None = None  # whose answer is awaited
        self._asked = b""
        self._asked_ms = 0
        self._commands = 0
        self._held = b""
        self._overflowed = 0  # bytes lost of the line that has not ended
        self._byte_ms: int | None = None  # when the last byte came
        self._noisy_ms: int | None = None  # since when they come without a silence between
        self._pending: _Found = []
        self._lines_ok = 0
        self._dropped: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()

    def opened(self, now_ms: int) -> None:
        """Forget the half line; every measurement that was under way is lost and begun anew."""
        self._flush(now_ms, self._pending)
        for poll in self._polls:
            if poll.phase is not Phase.IDLE:
                what = "the port vanished while it was measured"
                self._lose(poll, "truncated", what, now_ms, self._pending)
            poll.reset(now_ms)
        del self._pending[_MAX_PENDING:]
        self._asking = self._byte_ms = self._noisy_ms = None

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set."""
        self._asked_ms += step_ms
        if self._byte_ms is not None:
            self._byte_ms += step_ms
        if self._noisy_ms is not None:
            self._noisy_ms += step_ms
        for poll in self._polls:
            poll.shift(step_ms)

    @property
    def _holder(self) -> Poll | None:
        """Whose M has the bus."""
        return next((poll for poll in self._polls if poll.holds_bus), None)

    def _next(self, now_ms: int) -> Poll:
        """Give whose turn it is, now or later."""
        return self._holder or min(self._polls, key=lambda poll: (poll.due_ms(now_ms), poll.turn))

    def due_ms(self, now_ms: int) -> int | None:
        """Say when the answer is given up, or the next command may be sent."""
        if self._pending:
            return now_ms
        if self._asking is not None:
            return due_after(self._asked_ms, self._asking.sensor.timeout_ms, now_ms)
        due_ms = self._next(now_ms).due_ms(now_ms)
        return max(due_ms, self._silent_ms(now_ms)) if due_ms <= now_ms else due_ms

    def _silent_ms(self, now_ms: int) -> int:
        """Say when we may speak, as far as the line is concerned."""
        quiet_ms = due_after(self._byte_ms, self._plan.gap_ms, now_ms)
        return min(quiet_ms, due_after(self._noisy_ms, MAX_QUIET_MS, now_ms))

    def write_next(self, now_ms: int) -> bytes:
        """Give the next command, once the line is silent."""
        if self._asking is not None:
            return b""
        poll = self._next(now_ms)
        if poll.due_ms(now_ms) > now_ms or self._silent_ms(now_ms) > now_ms:
            return b""
        self._flush(now_ms, self._pending)
        del self._pending[_MAX_PENDING:]
        self._commands += 1
        poll.turn = self._commands
        self._asking, self._asked_ms = poll, now_ms
        self._asked = poll.ask(now_ms)
        return self._plan.prefix + self._asked + self._plan.suffix

    def receive(self, data: bytes, now_ms: int) -> list[Reading | Dropped]:
        """Take any bytes at all, none to let a deadline pass; never raises."""
        found, self._pending = self._pending, []
        self._lapse(now_ms, found)
        if data:
            if due_after(self._byte_ms, self._plan.gap_ms, now_ms) <= now_ms:
                self._noisy_ms = now_ms
            self._byte_ms = now_ms
            *lines, tail = (self._held + data).split(b"\n")
            for line in lines:
                self._held = b""
                self._line(line, now_ms, found)
                self._overflowed = 0
            self._overflowed += max(0, len(tail) - MAX_HELD)
            self._held = tail[-MAX_HELD:]
        return found

    def _lapse(self, now_ms: int, found: _Found) -> None:
        """Give the answer up if its time is over: at that time, however late we look."""
        poll = self._asking
        if poll is None:
            return
        due_ms = due_after(self._asked_ms, poll.sensor.timeout_ms, now_ms)
        if due_ms <= now_ms:
            self._flush(due_ms, found)
            self._settle(poll, poll.fail(due_ms), due_ms, found)

    def _line(self, line: bytes, now_ms: int, found: _Found) -> None:
        size = len(line) + self._overflowed
        poll = self._asking
        answer, echo = frame.clean(line.rstrip(b"\r"), self._asked if poll else b"")
        if size > MAX_HELD:
            what = f"no end of line within {MAX_HELD} bytes"
            found.append(self._noise(poll, what, now_ms, size))
            return
        if echo:
            self._ignored["echo"] += 1
        if not answer:
            if line.strip(b"\r \0") and not echo:
                found.append(self._noise(poll, _shown(line), now_ms, size))
            return
        step = Step.STRAY if poll is None else poll.take(answer, now_ms)
        if poll is None or step is Step.STRAY:
            self._let_pass(answer, poll, now_ms, found)
            return
        if step is Step.BAD:
            what = f"{poll.detail}: {_shown(answer)}"
            found.append(self._noise(poll, what, now_ms, size))
            step = poll.fail(now_ms)
        else:
            self._lines_ok += 1
        self._settle(poll, step, now_ms, found)

    def _let_pass(self, answer: bytes, asked: Poll | None, now_ms: int, found: _Found) -> None:
        """Take a line that is no answer to what is asked: a service request, a late one, noise."""
        owner = self._by_address.get(answer[:1])
        if owner is not None and owner is not asked and owner.unasked(answer, now_ms):
            self._lines_ok += 1
        elif not frame.is_answer(answer):
            blamed = asked or self._holder or owner
            found.append(self._noise(blamed, _shown(answer), now_ms, len(answer)))
        elif owner is not None:
            owner.counts["stale"] += 1
            self._ignored["stale"] += 1
        else:
            self._ignored["address"] += 1
        if asked is not None and owner is not asked and frame.is_answer(answer):
            asked.counts["foreign"] += 1

    def _settle(self, poll: Poll, step: Step, now_ms: int, found: _Found) -> None:
        """Note that the command that was out is done with."""
        self._asking = None
        if step not in (Step.DONE, Step.LOST):
            return
        values, missing = poll.row()
        absent = sum(map(math.isnan, values))
        if absent < len(values):
            self._rejected["missing"] += absent
            poll.counts["missing"] += missing
            poll.counts["readings"] += 1
            poll.counts["incomplete"] += absent > missing
            since_ms = float(max(0, now_ms - poll.began_ms))
            found.append(Reading(self.source, now_ms, -1, poll.names, values, now_ms, since_ms))
        elif step is Step.LOST:
            what = poll.detail or f"no answer to {self._asked.decode()} put {poll.tries} times"
            self._lose(poll, poll.reason, what, now_ms, found)
        else:
            self._lose(poll, "empty", "not one value", now_ms, found)
        poll.finish(now_ms)

    def _lose(self, poll: Poll, reason: str, what: str, now_ms: int, found: _Found) -> None:
        """Note that a measurement was lost."""
        sensor = poll.sensor
        poll.counts[reason] += 1
        detail = f"{sensor.name} (address {sensor.address}): {what}"
        found.append(self._drop(reason, detail, now_ms, 0))

    def _noise(self, poll: Poll | None, what: str, now_ms: int, size: int) -> Dropped:
        if poll is not None:
            poll.counts["damaged"] += 1
            what = f"address {poll.sensor.address}: {what}"
        return self._drop("message", what, now_ms, size)

    def _flush(self, now_ms: int, found: _Found) -> None:
        """Give up the line that has not ended."""
        held, size = self._held, len(self._held) + self._overflowed
        self._held, self._overflowed = b"", 0
        if self._asked and held.endswith(self._asked):
            self._ignored["echo"] += 1
        elif held.strip(b"\r \0"):
            what = f"never ended: {_shown(held)}"
            found.append(self._noise(self._asking or self._holder, what, now_ms, size))

    def _drop(self, reason: str, detail: str, now_ms: int, size: int) -> Dropped:
        self._dropped[reason] += 1
        return Dropped(self.source, reason, detail, now_ms, size)

    def health(self) -> LinkHealth:
        """Give the counters so far; ``nodes`` has them by address.

        Of an address: readings, of them "incomplete"; measurements lost by reason, or "skipped" as
        the bus is too slow for the period; commands put again ("retries"), "damaged" lines, "stale"
        answers, those of another address ("foreign"), "aborted" measurements, "missing" values.
        """
        return LinkHealth(
            source=self.source,
            frames_ok=self._lines_ok,
            dropped=tuple(sorted(self._dropped.items())),
            values_rejected=tuple(sorted((+self._rejected).items())),
            gaps=sum(poll.counts["skipped"] for poll in self._polls),
            duplicates=0,
            reboots=0,
            battery_mv=None,
            node_uid=None,
            firmware=None,
            ignored=tuple(sorted(self._ignored.items())),
            nodes=tuple(
                (poll.sensor.address, tuple(sorted((+poll.counts).items()))) for poll in self._polls
            ),
        )


def _shown(data: bytes) -> str:
    return repr(data[:_DETAIL_LENGTH])[1:]
