"""What is given up for the bounds of the outbox, in which order, and how it is told.

- Above THIN_ABOVE of the bound in bytes telemetry older than KEEP_WHOLE_MS is thinned, the oldest
  first (edge/thinning.py: every tenth row, and the extremes): "thinned". Above THIN_ALL_ABOVE it
  is thinned whatever its age.
- At the bound the oldest telemetry goes, then health: "outbox_full".
- Telemetry older than the bound in days goes: "outbox_old". Days are days of running: a clock set
  wrong gives up nothing.

Alarms are never given up, for any of them, nor is what is on the air.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.thinning import EVERY, thin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edge.outbox_held import Stored
    from edge.outbox_store import Store

THIN_ABOVE = 0.8
THIN_ALL_ABOVE = 0.9
KEEP_WHOLE_MS = 6 * 3_600_000
DAY_MS = 86_400_000
TELL_MS = 3_600_000
"""Losses to a bound are told once in so long; health counts each."""
_LOOK_MS = 60_000
_AT_ONCE = 64
_THIN_MESSAGES = 512
_THIN_BYTES = 512 * 1024
"""Thinned in one turn: few enough that the loop does not wait for it."""
_THIN_FROM = 4
"""So much of that must have come together: of few rows not many can go."""
_THIN_WAIT_MS = 10_000


class Bounds:
    """The bounds of one outbox, and what they have cost since the program started.

    Whatever touches the disk here raises sqlite3.Error.
    """

    def __init__(self, max_bytes: int, max_days: int, note: Callable[[str], None]) -> None:
        self.max_bytes = max_bytes
        self._max_age_ms = max_days * DAY_MS
        self._note = note
        self.lost: dict[str, int] = {}
        """Readings given up, by reason."""
        self.dropped_messages = 0
        self._thinned_to = 0
        self._thin_ms = self._tight_ms = 0
        """When to look again for what can be thinned; where it is tight."""
        self._look_ms = 0
        self._told_ms: dict[str, int] = {}
        self._untold: dict[str, int] = {}

    def lose(self, reason: str, messages: int, rows: int) -> None:
        """Count what is given up."""
        if messages or rows:
            self.dropped_messages += messages
            self.lost[reason] = self.lost.get(reason, 0) + rows

    def lose_all(self, reason: str, stored: Iterable[Stored]) -> None:
        """Count these as given up."""
        for each in stored:
            self.lose(reason, 1, each.message.rows)

    def keep(self, store: Store, more: int, out: frozenset[int], now_ms: int) -> None:
        """Give up the oldest telemetry until the store and ``more`` bytes are within the bound."""
        while store.bytes + more > self.max_bytes:
            if not self._give_up(store, "outbox_full", out, now_ms, None):
                return

    def look(self, store: Store, out: frozenset[int], now_ms: int) -> None:
        """Thin what is due to be thinned, and give up what is too old."""
        tight = store.bytes > THIN_ALL_ABOVE * self.max_bytes
        due_ms = self._tight_ms if tight else self._thin_ms
        if now_ms >= due_ms and store.bytes > THIN_ABOVE * self.max_bytes:
            self._thin(store, out, now_ms, tight=tight)
        if now_ms >= self._look_ms:
            self._look_ms = now_ms + _LOOK_MS
            before_ms = now_ms - self._max_age_ms
            while self._give_up(store, "outbox_old", out, now_ms, before_ms):
                pass
            for reason in self._untold:
                self._tell(reason, now_ms)

    def _give_up(
        self, store: Store, reason: str, out: frozenset[int], now_ms: int, before_ms: int | None
    ) -> bool:
        messages, rows = store.give_up(_AT_ONCE, out, before_ms)
        self.lose(reason, messages, rows)
        self._untold[reason] = self._untold.get(reason, 0) + rows
        self._tell(reason, now_ms)
        return messages > 0

    def _thin(self, store: Store, out: frozenset[int], now_ms: int, *, tight: bool) -> None:
        found = store.to_thin(self._thinned_to, _THIN_MESSAGES, _THIN_BYTES)
        old = [s for s in found if tight or now_ms - s.put_ms > KEEP_WHOLE_MS]
        size = sum(len(s.message.payload) for s in old)
        if len(old) * _THIN_FROM < _THIN_MESSAGES and size * _THIN_FROM < _THIN_BYTES:
            self._thin_ms = self._tight_ms = now_ms + _THIN_WAIT_MS
            if found:  # not before enough of it is old: to read it all again would be in vain
                due_ms = found[len(found) // _THIN_FROM].put_ms + KEEP_WHOLE_MS
                self._thin_ms = max(self._thin_ms, min(due_ms, now_ms + KEEP_WHOLE_MS))
            return
        by_id = {stored.id: stored for stored in old if stored.id not in out}
        for made in thin(by_id.values()):
            store.thin(made, by_id[made.ids[0]].message.topic)
            self.lose("thinned", len(made.ids) - 1, made.gone)
            self._untold["thinned"] = self._untold.get("thinned", 0) + made.gone
        self._thinned_to = old[-1].id
        self._tell("thinned", now_ms)

    def _tell(self, reason: str, now_ms: int) -> None:
        """Leave a line for the log, at once and then not more often than TELL_MS."""
        rows = self._untold.get(reason, 0)
        if not rows or now_ms - self._told_ms.get(reason, -TELL_MS) < TELL_MS:
            return
        self._told_ms[reason] = now_ms
        self._untold[reason] = 0
        what = {
            "thinned": f"above {THIN_ABOVE:.0%} of outbox_max_mb: older telemetry thinned to every "
            f"{EVERY}th row and the extremes",
            "outbox_full": "outbox_max_mb reached: the oldest telemetry given up",
            "outbox_old": "outbox_max_days reached: telemetry given up",
        }[reason]
        self._note(f"{what}: {rows} readings less; alarms are all kept")
