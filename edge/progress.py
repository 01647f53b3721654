"""Do sensors, inference and outbox go on? What was due against what was done. Pure.

A part that has nothing to do goes on: a sensor that says nothing is an alarm, not a hang. Only
what was asked of a part, and not done for the whole of its patience, holds the watchdog back.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Count:
    """How far a part has come. Both only grow while the program runs."""

    asked: int
    done: int
    slack: int = 1
    """So much more than before must have been asked before anything is owed."""
    excuse: str = ""
    """Why it cannot go on, where starting the program anew would not mend it."""


class _Debt:
    __slots__ = ("asked", "done", "since_s")

    def __init__(self, count: Count) -> None:
        self.asked, self.done = count.asked, count.done
        self.since_s: float | None = None

    def look(self, now_s: float, count: Count) -> float:
        """Return for how long something has been owed."""
        if count.done != self.done or count.excuse:
            self.asked, self.done, self.since_s = count.asked, count.done, None
        elif count.asked - self.asked < count.slack:
            self.since_s = None
        elif self.since_s is None:
            self.since_s = now_s
        return 0.0 if self.since_s is None else now_s - self.since_s


class Progress:
    """The judge. ``now_s`` is monotonic time; a part counts from when it is first seen."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._debts: dict[str, _Debt] = {}

    def look(self, now_s: float, counts: dict[str, Count]) -> tuple[str, ...]:
        """Return the parts that do not go on, none if all do."""
        # What is no longer there (a port was closed) owes nothing, and begins anew when it returns.
        self._debts = {name: self._debts.get(name) or _Debt(c) for name, c in counts.items()}
        return tuple(
            name
            for name, count in counts.items()
            if self._debts[name].look(now_s, count) >= self._patience_s
        )
