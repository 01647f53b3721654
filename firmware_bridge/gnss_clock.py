"""Full time from what a GNSS receiver tells of it: `ReceiverClock`. No clock of its own."""

from __future__ import annotations

RECENT_MS = 600_000
"""How long a date that the receiver gave tells the date of what follows."""
LATE_MS = 60_000
"""An epoch older than the last by no more came out of order; by more, the clock was set back."""


class ReceiverClock:
    """Full time from the time of day or week that most messages have; wraps after ``period_ms``."""

    def __init__(self, period_ms: int) -> None:
        self._period_ms = period_ms
        self._noted: tuple[int, int, int] | None = None
        self._last_key_ms: int | None = None

    def note(self, key_ms: int, utc_ms: int, now_ms: int) -> None:
        """Take a time of week or day whose full time the receiver tells, marked valid."""
        self._noted = (key_ms, utc_ms, now_ms)

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set."""
        if self._noted is not None:
            self._noted = (*self._noted[:2], self._noted[2] + step_ms)

    def since(self, key_ms: int, other_ms: int) -> int:
        """Give the ms from one time of week or day to the nearest other."""
        half = self._period_ms // 2
        return (key_ms - other_ms + half) % self._period_ms - half

    def time_ms(self, key_ms: int | None, now_ms: int) -> int | None:
        """Give ms since 1970; None where no date was told of late."""
        if key_ms is None or self._noted is None:
            return None
        noted_ms, utc_ms, at_ms = self._noted
        if abs(now_ms - at_ms) > RECENT_MS:
            return None
        return utc_ms + self.since(key_ms, noted_ms)

    def is_old(self, key_ms: int) -> bool:
        """Say whether an epoch is the last again, or before it; it is the last from now on if not.

        A step back by more than `LATE_MS` is a receiver whose clock was set: refusing all until it
        has caught up could take half a week.
        """
        last_ms = self._last_key_ms
        if last_ms is not None and -LATE_MS <= self.since(key_ms, last_ms) <= 0:
            return True
        self._last_key_ms = key_ms
        return False
