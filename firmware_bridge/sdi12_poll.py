"""Where one SDI-12 sensor is in its measurement, and what an answer of it leads to.

    IDLE --its period--> START --atttn--> MEASURING --ready--> FETCH --enough values--> IDLE
    START, FETCH: put again after a timeout or a damaged answer. FETCH: two bare answers to D0
    ("aborted") lead back to START, to a later page they end it.

Answers to M and C have no checksum: what they say decides when to ask, never what is a value. An
answer that is late by up to two timeouts is not taken for another: a page that reads as one before
it is asked for again, and after a command that was put twice the sensor is left alone that long.
"""

from __future__ import annotations

import math
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

from firmware_bridge import sdi12_frame as frame

if TYPE_CHECKING:
    from firmware_bridge.sdi12_plan import Sdi12Sensor

SLACK_MS = 100
"""Beyond the time that a sensor states, as its seconds are not ours and D0 too early aborts."""

_WRONG = ("exception", "crc", "format")  # the more telling goes first


class Phase(Enum):
    """What is to be done, or waited for, next."""

    IDLE = "idle"
    START = "start"
    MEASURING = "measuring"
    FETCH = "fetch"


class Step(Enum):
    """What an answer led to."""

    STRAY = "stray"
    """It is no answer to what was asked: go on waiting."""
    BAD = "bad"
    """It is a damaged answer, or one that helps nobody."""
    ON = "on"
    DONE = "done"
    LOST = "lost"


class Poll:
    """One sensor's measurement. Times are those of the driver, ms."""

    def __init__(self, sensor: Sdi12Sensor) -> None:
        self.sensor = sensor
        self.verb = sensor.verb
        self.names = sensor.names
        self.counts: Counter[str] = Counter()
        """Of this sensor since the start: readings, losses by reason, and what cost time."""
        self.turn = 0
        """When it was last asked, in commands: the others go first."""
        self.began_ms = 0
        self._period_ms = round(sensor.period_s * 1000)
        self._late_ms = 2 * sensor.timeout_ms
        self._dead: bool  # it did not answer at all: no retries until it does
        self._since_ms: int | None  # None: due at once
        self._wait_ms: int
        self._grid_ms: int | None  # when this measurement, or the next, is due; None: at once
        self.reset(None)

    def reset(self, now_ms: int | None) -> None:
        """Begin anew, at once: the port was opened."""
        self.phase = Phase.IDLE
        self._dead = False
        self._grid_ms = self._since_ms = now_ms
        self._wait_ms = 0
        self._clear()

    def _clear(self) -> None:
        self.wrong: set[str] = set()
        self.detail = ""
        self._heard = False
        self._aborts = 0
        self._rewind()

    def _rewind(self) -> None:
        self.values: list[float] = []
        self._pages: set[tuple[float, ...]] = set()
        self._page = self._failures = 0
        self._others = 0  # answers to M that may still come, as it was put more than once
        self._bare = self._doubted = self._owed = False

    @property
    def holds_bus(self) -> bool:
        """Whether nobody else may be asked: from the answer to M until its values are read."""
        return self.verb.kind == "M" and self.phase in (Phase.MEASURING, Phase.FETCH)

    def due_ms(self, now_ms: int) -> int:
        """Say when it is to be asked next."""
        return due_after(self._since_ms, self._wait_ms, now_ms)

    def shift(self, step_ms: int) -> None:
        """Take over that the clock was set."""
        self.began_ms += step_ms
        if self._grid_ms is not None:
            self._grid_ms += step_ms
        if self._since_ms is not None:
            self._since_ms += step_ms

    def _wait(self, now_ms: int, wait_ms: int = 0) -> None:
        self._since_ms, self._wait_ms = now_ms, wait_ms

    def ask(self, now_ms: int) -> bytes:
        """Give the command to send."""
        if self.phase is Phase.IDLE:
            self._grid_ms = now_ms if self._grid_ms is None else min(self._grid_ms, now_ms)
            self.began_ms = now_ms
            self._clear()
            self.phase = Phase.START
        elif self.phase is Phase.MEASURING:
            self.phase = Phase.FETCH
        body = self.sensor.command if self.phase is Phase.START else f"D{self._page}"
        return frame.command(self.sensor.address, body)

    def take(self, answer: bytes, now_ms: int) -> Step:
        """Read what may be the answer to the command that is out."""
        kind, address = self.verb.kind, self.sensor.address
        started = None if kind == "R" else frame.started(answer, address, kind)
        if self.phase is Phase.START and kind != "R":
            return Step.STRAY if started is None else self._start(started, now_ms)
        if started is not None:
            return Step.STRAY  # M was put twice
        found = frame.data(answer, address, guarded=self.verb.guarded)
        if isinstance(found, str):
            return Step.STRAY if found in ("address", "noise") else self._bad(found, found)
        self._heard, self._dead = True, False
        if kind == "R":
            self.values = list(found)
            return Step.DONE if found else self._bad("exception", "it has nothing to say")
        return self._take_page(found, now_ms) if found else self._take_bare(now_ms)

    def _bad(self, reason: str, detail: str) -> Step:
        self._heard, self._dead = True, False
        self.wrong.add(reason)
        self.detail = detail
        return Step.BAD

    def _start(self, started: frame.Started, now_ms: int) -> Step:
        self._heard, self._dead = True, False
        longest_s = self.sensor.max_wait_s
        if started.wait_s > longest_s:
            return self._bad("format", f"it needs {started.wait_s} s, max_wait_s is {longest_s}")
        if not started.count:
            return self._bad("exception", "it has no values")
        others = self._failures
        self._rewind()
        self._others = others
        self._measure(started, now_ms)
        return Step.ON

    def _measure(self, started: frame.Started, now_ms: int) -> None:
        self.phase = Phase.MEASURING
        self._wait(now_ms, 1000 * started.wait_s + SLACK_MS if started.wait_s else 0)

    def _take_page(self, found: tuple[float, ...], now_ms: int) -> Step:
        if found in self._pages and not self._doubted:
            self._doubted = True
            self._ask_again(now_ms, self._late_ms)
            return Step.ON
        self._pages.add(found)
        self.values += found
        if len(self.values) >= self.sensor.wanted or self._page + 1 == frame.MAX_PAGES:
            return Step.DONE
        self._page += 1
        self._wait(now_ms, self._late_ms if self._owed else 0)
        self._failures = 0
        self._bare = self._doubted = self._owed = False
        return Step.ON

    def _take_bare(self, now_ms: int) -> Step:
        if not self._bare:  # it may be a service request that crossed our D
            self._bare = True
            self._ask_again(now_ms)
            return Step.ON
        if self._page:
            return Step.DONE  # there are no more
        self._aborts += 1
        self.counts["aborted"] += 1
        if self._aborts > self.sensor.retries:
            self.detail = "it aborts each measurement"
            self.wrong.add("exception")
            return Step.LOST
        self._rewind()
        self.phase = Phase.START
        self._wait(now_ms)
        return Step.ON

    def _ask_again(self, now_ms: int, wait_ms: int = 0) -> None:
        self._owed = True
        self.counts["retries"] += 1
        self._wait(now_ms, wait_ms)

    def fail(self, now_ms: int) -> Step:
        """Note that the command that is out got no answer, or a bad one."""
        self._failures += 1
        if self._failures > (0 if self._dead else self.sensor.retries):
            self._owed = True
            return Step.LOST
        self._ask_again(now_ms)
        return Step.ON

    def unasked(self, answer: bytes, now_ms: int) -> bool:
        """Take a line of this sensor that came without a command; False if it is for nothing."""
        if self.phase is not Phase.MEASURING:
            return False
        if answer == self.sensor.address.encode() and self.verb.kind == "M":
            self._wait(now_ms)  # the service request
            return True
        started = frame.started(answer, self.sensor.address, self.verb.kind)
        if started is None or not self._others or started.wait_s > self.sensor.max_wait_s:
            return False
        self._others -= 1
        self._measure(started, now_ms)  # it measures anew
        return True

    def row(self) -> tuple[tuple[float, ...], int]:
        """Give the values of the channels, NaN where missing, and how many came but were none."""
        found, missing = [], 0
        for _, index in self.sensor.channels:
            value = self.values[index] if index < len(self.values) else math.nan
            if value in self.sensor.missing:
                missing += 1
                value = math.nan
            found.append(value)
        return tuple(found), missing

    @property
    def tries(self) -> int:
        """How often the last command was put."""
        return max(1, self._failures)

    @property
    def reason(self) -> str:
        """Why it was lost."""
        return next((why for why in _WRONG if why in self.wrong), "timeout")

    def finish(self, now_ms: int) -> None:
        """Wait for the next time it is due; what can no longer be kept up with is skipped."""
        self._dead = not self._heard
        self.phase = Phase.IDLE
        since_ms = now_ms if self._grid_ms is None else self._grid_ms
        periods = max(1, (now_ms - since_ms) // self._period_ms)
        self.counts["skipped"] += periods - 1
        since_ms += (periods - 1) * self._period_ms
        self._wait(since_ms, self._period_ms)
        self._grid_ms = since_ms + self._period_ms
        if self._owed and self.due_ms(now_ms) < now_ms + self._late_ms:
            self._wait(now_ms, self._late_ms)


def due_after(since_ms: int | None, wait_ms: int, now_ms: int) -> int:
    """Give when a wait is over; now, if our clock was set back in it."""
    if since_ms is None or now_ms < since_ms:
        return now_ms
    return since_ms + wait_ms
