"""The driver for Modbus RTU: several devices on one line, each with its own period and steps.

One request is out at a time. Its answer is searched for by address, function, length and CRC in all
that comes (`modbus_exchange`), until its deadline: noise around an answer costs nothing, and a line
that babbles keeps nobody. While one device works or warms up the others are asked.
"""

from __future__ import annotations

import math
from collections import Counter

from firmware_bridge.modbus_exchange import Exchange
from firmware_bridge.modbus_frame import Answer, Refusal
from firmware_bridge.modbus_plan import ModbusDevice, ModbusPlan
from firmware_bridge.modbus_poll import Poll, due_ms
from firmware_bridge.reading import Dropped, LinkHealth, Reading

MAX_QUIET_MS = 1000
"""So long a line that is never silent keeps us from asking."""

__all__ = ["ModbusDevice", "ModbusDriver", "ModbusPlan"]

_Found = list[Reading | Dropped]


class ModbusDriver:
    """The devices of one line; see `reading.Driver`.

    A measurement gives one `Reading` with the channels of its device, at the time when the last of
    them came (it was measured since the first request, which ``uncertainty_ms`` tells), or one
    `Dropped`: "timeout" (nothing came), "crc" (bytes came, and no answer among them: damage, or two
    devices at one address), "exception" (the device refused, or a check failed), "empty", or
    "truncated" (the port vanished).
    """

    def __init__(self, source: str, plan: ModbusPlan) -> None:
        self.source = source
        self._plan = plan
        self._polls = [Poll(device) for device in plan.devices]
        self._turn: Poll | None = None  # whose request is out
        self._exchange: Exchange | None = None
        self._asked_ms = 0
        self._line_ms: int | None = None  # when the line was last in use
        self._free_ms: int | None = None  # since when no request of ours is out
        self._found: _Found = []  # to be told at the next call
        self._frames_ok = 0
        self._dropped: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()

    def opened(self, now_ms: int) -> None:
        """Begin anew with every device; what was under way is lost."""
        for poll in self._polls:
            if poll.measuring:
                came = poll is self._turn and self._exchange is not None and self._exchange.noise
                reason = "truncated" if came else "timeout"
                size = self._end_exchange(now_ms) if poll is self._turn else 0
                what = "the port vanished in the measurement"
                self._found.append(self._drop(poll, reason, what, now_ms, size))
            poll.opened(now_ms)
        self._line_ms = self._free_ms = now_ms

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set."""
        for poll in self._polls:
            poll.shift(step_ms)
        self._asked_ms += step_ms
        if self._line_ms is not None:
            self._line_ms += step_ms
        if self._free_ms is not None:
            self._free_ms += step_ms

    def due_ms(self, now_ms: int) -> int | None:
        """Say when the request that is out is given up, or the next one is due."""
        if self._turn is not None:
            return due_ms(self._asked_ms, self._turn.device.timeout_ms, now_ms)
        return min(max(poll.ready_ms(now_ms), self._quiet_ms(poll, now_ms)) for poll in self._polls)

    def write_next(self, now_ms: int) -> bytes:
        """Give the next request, once its device is due and the line is quiet."""
        if self._turn is not None:
            return b""
        poll = self._next_poll(now_ms)
        if poll is None or self._quiet_ms(poll, now_ms) > now_ms:
            return b""
        request = poll.next_request(now_ms)
        self._turn = poll
        self._exchange = Exchange(request, echo=self._plan.echo)
        self._asked_ms = self._line_ms = now_ms
        return request.encode()

    def _next_poll(self, now_ms: int) -> Poll | None:
        """Give the device that has waited longest; a dead one, which costs its timeout, later."""
        due = [poll for poll in self._polls if poll.ready_ms(now_ms) <= now_ms]
        return min(due, key=lambda poll: self._rank(poll, now_ms), default=None)

    @staticmethod
    def _rank(poll: Poll, now_ms: int) -> int:
        return poll.ready_ms(now_ms) + (poll.device.timeout_ms if poll.dead else 0)

    def _quiet_ms(self, poll: Poll, now_ms: int) -> int:
        """Give when the line has been silent long enough, or noisy too long."""
        quiet_ms = due_ms(self._line_ms, self._plan.gap_of(poll.device), now_ms)
        wanting_ms = poll.ready_ms(now_ms)
        if self._free_ms is not None:
            wanting_ms = max(wanting_ms, self._free_ms)
        return min(quiet_ms, wanting_ms + MAX_QUIET_MS)

    def receive(self, data: bytes, now_ms: int) -> list[Reading | Dropped]:
        """Take any bytes at all, none to let a deadline pass; never raises."""
        found, self._found = self._found, []
        self._pass_deadline(now_ms, found)
        if not data:
            return found
        self._line_ms = now_ms
        poll, exchange = self._turn, self._exchange
        if poll is None or exchange is None:
            self._note("noise", len(data))
            return found
        item = exchange.receive(data)
        if item is not None:
            self._take(poll, exchange, item, now_ms, found)
        return found

    def _pass_deadline(self, now_ms: int, found: _Found) -> None:
        """Give the request up that has no answer by its deadline, however late we look.

        What follows is reckoned from the deadline, so that a replay, which does not know when
        nothing came of a look, comes to the same.
        """
        poll, exchange = self._turn, self._exchange
        if poll is None or exchange is None:
            return
        deadline_ms = due_ms(self._asked_ms, poll.device.timeout_ms, now_ms)
        if deadline_ms > now_ms:
            return
        item = exchange.give_up()
        if item is not None:
            self._take(poll, exchange, item, deadline_ms, found)
            return
        size = self._end_exchange(deadline_ms)
        self._line_ms = deadline_ms
        if not poll.unanswered("crc" if exchange.came else "timeout", deadline_ms):
            what = f"no answer within {poll.device.timeout_ms} ms to {exchange.request.text}"
            if size:
                what = f"{what}; {size} other bytes came"
            found.append(self._drop(poll, poll.reason, what, now_ms, size))

    def _take(
        self, poll: Poll, exchange: Exchange, item: Answer | Refusal, now_ms: int, found: _Found
    ) -> None:
        self._frames_ok += 1
        self._end_exchange(now_ms)
        if isinstance(item, Answer):
            self._answered(poll, item, now_ms, found)
        elif not poll.refused(item, now_ms):
            what = f"{item.text} to {exchange.request.text}"
            found.append(self._drop(poll, "exception", what, now_ms, item.size))

    def _end_exchange(self, now_ms: int) -> int:
        """Count what came beside the answer; gives its size."""
        exchange, self._turn, self._exchange = self._exchange, None, None
        self._free_ms = now_ms
        if exchange is None:
            return 0
        self._note("noise", exchange.noise)
        self._note("echo", exchange.echoes)
        return exchange.noise

    def _answered(self, poll: Poll, answer: Answer, now_ms: int, found: _Found) -> None:
        wrong = poll.take(answer, now_ms)
        if wrong:
            found.append(self._drop(poll, "exception", wrong, now_ms, answer.size))
        elif poll.complete:
            values = poll.values()
            if all(map(math.isnan, values)):
                what = "not one value is left of it"
                found.append(self._drop(poll, "empty", what, now_ms, answer.size))
                return
            asked_ms = now_ms if poll.asked_ms is None else poll.asked_ms
            span_ms = float(max(0, poll.answered_ms - asked_ms))
            poll.counts["readings"] += 1
            poll.reset()
            time_ms = poll.answered_ms
            found.append(Reading(self.source, time_ms, -1, poll.names, values, time_ms, span_ms))

    def _drop(self, poll: Poll, reason: str, what: str, now_ms: int, size: int) -> Dropped:
        """End a measurement without a reading."""
        poll.reset()
        poll.counts[reason] += 1
        self._dropped[reason] += 1
        device = poll.device
        detail = f"{device.name} (address {device.address}): {what}"
        return Dropped(self.source, reason, detail, now_ms, size)

    def _note(self, what: str, count: int) -> None:
        if count:
            self._ignored[what] += count

    def health(self) -> LinkHealth:
        """Give the counters so far.

        ``ignored``: "echo" requests heard back, "noise" bytes that were neither echo nor answer.
        ``nodes``, by device: "readings", each reason of a `Dropped`, "retries", and "skipped":
        periods that passed unasked, as the device was silent or the line too busy.
        """
        rejected: Counter[str] = Counter()
        for poll in self._polls:
            rejected.update(poll.rejected)
        return LinkHealth(
            source=self.source,
            frames_ok=self._frames_ok,
            dropped=tuple(sorted(self._dropped.items())),
            values_rejected=tuple(sorted(rejected.items())),
            gaps=sum(poll.counts["skipped"] for poll in self._polls),
            duplicates=0,
            reboots=0,
            battery_mv=None,
            node_uid=None,
            firmware=None,
            ignored=tuple(sorted(self._ignored.items())),
            nodes=tuple(
                (poll.device.name, tuple(sorted((+poll.counts).items()))) for poll in self._polls
            ),
        )
