"""Is the time of a reading believable? Judged without a clock, from times alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

EARLIEST_MS = 946_684_800_000
"""2000-01-01: before it a logger has lost its clock (1970, 1980)."""
LATEST_MS = 4_102_444_800_000
"""2100-01-01."""
CONFIRM = 5
"""So many readings in a row on the same new time line, and the jump is taken as a reset clock."""


@dataclass(frozen=True, slots=True)
class TimeRules:
    """Limits for one port. ``max_skew_ms`` 0 switches the comparison with arrival time off."""

    max_skew_ms: int
    max_jump_ms: int
    lateness_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` is empty when accepted; ``rebased`` when the time line was started anew."""

    reason: str
    rebased: bool = False


ACCEPTED = Verdict("")
REBASED = Verdict("", rebased=True)


class TimeGate:
    """Accepts or refuses the time of each reading of one port."""

    def __init__(self, rules: TimeRules) -> None:
        self._rules = rules
        self._last_ms = 0
        self._doubt_ms = 0
        self._doubts = 0

    def check(self, time_ms: int, received_ms: int) -> Verdict:
        """Judge one reading; reasons: time_range, time_skew, time_backwards, time_jump."""
        rules, last = self._rules, self._last_ms
        if not EARLIEST_MS <= time_ms < LATEST_MS:
            return Verdict("time_range")
        if rules.max_skew_ms and abs(time_ms - received_ms) > rules.max_skew_ms:
            return Verdict("time_skew")
        ahead = time_ms - last
        if not last or -rules.lateness_ms <= ahead <= rules.max_jump_ms:
            self._doubts = 0
            if ahead > 0:
                self._last_ms = time_ms
            return ACCEPTED
        return self._doubt(time_ms, "time_backwards" if ahead < 0 else "time_jump")

    def _doubt(self, time_ms: int, reason: str) -> Verdict:
        step = time_ms - self._doubt_ms
        if self._doubts and not step:  # a logger of two lines a time: no proof, and no denial
            return Verdict(reason)
        follows = self._doubts > 0 and 0 < step <= self._rules.max_jump_ms
        self._doubts = self._doubts + 1 if follows else 1
        self._doubt_ms = time_ms
        if self._doubts < CONFIRM:
            return Verdict(reason)
        self._doubts = 0
        self._last_ms = time_ms
        return REBASED

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {"last_ms": self._last_ms, "doubt_ms": self._doubt_ms, "doubts": self._doubts}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot."""
        self._last_ms = int(state["last_ms"])
        self._doubt_ms = int(state["doubt_ms"])
        self._doubts = int(state["doubts"])
