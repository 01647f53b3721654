"""Where one device on a Modbus line is in its measurement."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from firmware_bridge.modbus_frame import (
    BUSY_CODES,
    READS,
    Answer,
    Refusal,
    Request,
    as_type,
    number,
)
from firmware_bridge.modbus_plan import Check, ModbusChannel, Read, Wait

if TYPE_CHECKING:
    from firmware_bridge.modbus_plan import ModbusDevice

DEAD_AFTER = 3
"""Measurements without an answer in a row, after which a device is taken for dead."""
BACKOFF_MS = 300_000
"""A dead one is asked at least so often (or at its own period, if that is more)."""
BUSY_MS = 500
"""So long a device that says "busy" is left alone."""

_Op = tuple[Request, Read | Check | None] | Wait
_REASONS = ("exception", "crc", "timeout")  # the more telling goes first


def due_ms(since_ms: int | None, wait_ms: int, now_ms: int) -> int:
    """Give when a wait is over; now, if our clock was set back in it."""
    if since_ms is None or now_ms < since_ms:
        return now_ms
    return since_ms + wait_ms


class Poll:
    """One device: when it is due, which step comes next, and what it has told so far.

    idle --period--> each request of each step, waits between --the last one answered--> idle
    A request unanswered is put again; after the last retry the measurement is given up. A device
    that is taken for dead has one try in each, and is asked half as often each time.
    """

    def __init__(self, device: ModbusDevice) -> None:
        self.device = device
        self.names = device.names
        self.counts: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.silent = 0
        """Measurements in a row to which it gave nothing."""
        self.asked_ms: int | None = None
        """When the first request of this measurement was put."""
        self.answered_ms = 0
        """When the last block of channels came."""
        self._ops: list[_Op] = []
        for step in device.steps:
            if isinstance(step, Wait):
                self._ops.append(step)
            else:
                what = step if isinstance(step, Read | Check) else None
                self._ops += [(request, what) for request in device.requests(step)]
        self._words: dict[tuple[int, int], int] = {}
        self._missing = {
            channel.name: frozenset(as_type(each, channel.type) for each in channel.missing)
            for channel in device.channels
        }
        self._start_ms: int | None = None  # when the last measurement was due
        self._start_wait_ms = 0
        self._since_ms: int | None = None  # within a measurement: the next request is due
        self._wait_ms = 0
        self._put_ms: int | None = None  # when the last request was put
        self._hold_ms: int | None = None  # until then no request at all
        self._hold_wait_ms = 0
        self.reset()

    def reset(self) -> None:
        """Forget the measurement."""
        self.measuring = False
        self.asked_ms = None
        self._at = 0
        self._failures = 0
        self._wrong: set[str] = set()
        self._words.clear()

    def opened(self, now_ms: int) -> None:
        """Note that the port was opened, and the device perhaps powered with it."""
        self.reset()
        self._start_ms = None
        self._hold_ms, self._hold_wait_ms = now_ms, self.device.warm_up_ms

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set."""
        self.answered_ms += step_ms
        for name in ("asked_ms", "_start_ms", "_since_ms", "_put_ms", "_hold_ms"):
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, value + step_ms)

    def ready_ms(self, now_ms: int) -> int:
        """Give when its next request is due."""
        held_ms = due_ms(self._hold_ms, self._hold_wait_ms, now_ms)
        if self.measuring:
            return max(held_ms, due_ms(self._since_ms, self._wait_ms, now_ms))
        if self._start_ms is None:
            return held_ms
        return max(held_ms, due_ms(self._start_ms, self._start_wait_ms, now_ms))

    def next_request(self, now_ms: int) -> Request:
        """Give what to ask now, as the first of a measurement or on with it."""
        if not self.measuring:
            self._begin(now_ms)
        op = self._ops[self._at]
        assert not isinstance(op, Wait)  # the first step is none, and others are passed at once
        self._put_ms = now_ms
        if self.asked_ms is None:
            self.asked_ms = now_ms
        return op[0]

    def _begin(self, now_ms: int) -> None:
        self.reset()
        self.measuring = True
        self._since_ms, self._wait_ms = now_ms, 0
        period_ms = round(self.device.period_s * 1000)
        if self._start_ms is None or now_ms < self._start_ms:
            self._start_ms = now_ms
        else:  # by the clockwork of periods, however long the last one took
            passed = max(1, (now_ms - self._start_ms) // period_ms)
            self._start_ms += passed * period_ms
            if passed > 1:
                self.counts["skipped"] += passed - 1
        self._start_wait_ms = period_ms

    def _advance(self, now_ms: int) -> None:
        """Go to the next request, past the waits before it."""
        self._since_ms, self._wait_ms = now_ms, 0
        while self._at < len(self._ops):
            op = self._ops[self._at]
            if not isinstance(op, Wait):
                return
            self._wait_ms += op.ms
            self._at += 1

    def take(self, answer: Answer, now_ms: int) -> str:
        """Take the answer to the last request; gives what is wrong with it, "" for nothing."""
        if self._failures:
            self._hold()
        self._failures = 0
        self._wrong.clear()
        self.silent = 0
        op = self._ops[self._at]
        assert not isinstance(op, Wait)
        request, step = op
        if isinstance(step, Check) and answer.words[0] & step.mask != step.equals:
            return f"register {step.register} is {answer.words[0]}, not {step.equals}"
        if isinstance(step, Read) and request.function in READS:
            self.answered_ms = now_ms
            for i, word in enumerate(answer.words):
                self._words[request.function, request.register + i] = word
        self._at += 1
        self._advance(now_ms)
        return ""

    @property
    def complete(self) -> bool:
        """Whether every step is done."""
        return self._at == len(self._ops)

    def refused(self, refusal: Refusal, now_ms: int) -> bool:
        """Take an exception response; True if the request is to be put again."""
        self.silent = 0
        self._since_ms, self._wait_ms = now_ms, BUSY_MS
        return (
            self._again("exception") if refusal.code in BUSY_CODES else self._give_up("exception")
        )

    def unanswered(self, reason: str, now_ms: int) -> bool:
        """Take it that no answer came ("timeout", or "crc"); True if it is to be put again."""
        self._since_ms, self._wait_ms = now_ms, 0
        self._hold_ms, self._hold_wait_ms = now_ms, 0
        if self._again(reason):
            return True
        self._hold()
        self.silent += 1
        if self.dead:
            period_ms = self._start_wait_ms
            most_ms = max(period_ms, BACKOFF_MS - BACKOFF_MS % period_ms)
            doubled = min(self.silent - DEAD_AFTER + 1, 16)
            self._start_wait_ms = min(period_ms << doubled, most_ms)
        return False

    @property
    def dead(self) -> bool:
        """Whether it has been silent for so long that little is to be spent on it."""
        return self.silent >= DEAD_AFTER

    def _hold(self) -> None:
        """Ask nothing while an answer may be on its way yet: nothing in it says to which request.

        It may come as late again as it may take.
        """
        self._hold_ms, self._hold_wait_ms = self._put_ms, 2 * self.device.timeout_ms

    def _again(self, reason: str) -> bool:
        self._wrong.add(reason)
        self._failures += 1
        if self._failures > (0 if self.dead else self.device.retries):
            return self._give_up(reason)
        self.counts["retries"] += 1
        return True

    def _give_up(self, reason: str) -> bool:
        self._wrong.add(reason)
        return False

    @property
    def reason(self) -> str:
        """The most telling of what went wrong in this measurement."""
        return next((each for each in _REASONS if each in self._wrong), "timeout")

    def values(self) -> tuple[float, ...]:
        """Give the channels' values; NaN, and counted why, where there is none."""
        return tuple(map(self._value, self.device.channels))

    def _value(self, channel: ModbusChannel) -> float:
        first = channel.register
        words = tuple(self._words[channel.function, i] for i in range(first, first + channel.count))
        raw = number(words, channel.type, channel.order)
        why = ""
        if raw != raw:
            why = "nan"
        elif raw in self._missing[channel.name]:
            why = "missing"
        elif math.isinf(raw):
            why = "inf"
        if why:
            self.rejected[why] += 1
            return math.nan
        if channel.scale == 1 and not channel.offset:
            return float(raw)
        value = raw * channel.scale + channel.offset
        if math.isinf(value):  # float64 at its end
            self.rejected["inf"] += 1
            return math.nan
        return value
