"""Forecasts of two bundles on the same rows, and how far each was off. Pure.

Judged is the median at the nearest horizon that both forecast, one channel each, as soon as its
time has come and only where both had spoken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.score import Forecasts

MAX_HELD = 512
"""Forecasts that wait for their time: of one that looks farther ahead some are not judged."""
MIN_JUDGED = 24
"""Fewer say nothing about which of two is better."""
WORSE = 1.5
"""So many times the error of the other is clearly worse: over a day of steps two fits of the same
recipe differ by a fifth at most; one that was fitted to another slope is off by far more."""
LEAST = 0.1
"""And off by so much more, in spreads of what it was trained on: on a slope at rest both are off by
next to nothing, and their ratio is noise."""
FAR = 1e100
"""Farther off is as far off: sums of it are numbers still."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Mean absolute errors of one channel, in its unit; ``theirs`` None: only one forecasts it."""

    channel: str
    count: int
    mine: float
    theirs: float | None
    spread: float

    @property
    def worse(self) -> bool:
        """Whether mine is clearly worse."""
        if self.theirs is None or self.count < MIN_JUDGED:
            return False
        off = self.mine - self.theirs
        return self.mine > WORSE * self.theirs and off > LEAST * self.spread


class Errors:
    """Sums of absolute errors by channel. ``spread``: of what mine was trained on, by horizon."""

    def __init__(self, spread: Mapping[tuple[str, int], float]) -> None:
        self._spread = dict(spread)
        self._horizon: dict[str, int] = {}
        self._sums: dict[str, tuple[int, float, float, bool]] = {}
        self._held: list[tuple[int, str, float, float, float | None]] = []

    def push(
        self, time_ms: int, values: Mapping[str, float], mine: Forecasts, theirs: Forecasts | None
    ) -> None:
        """Take one step: what came, and what each says will come."""
        due = [each for each in self._held if each[0] <= time_ms]
        if due:
            self._held = [each for each in self._held if each[0] > time_ms]
            for at_ms, channel, start, ours, others in due:
                if at_ms == time_ms:  # a step that was passed over cannot be judged
                    self._judge(channel, values.get(channel, float("nan")) - start, ours, others)
        ours_at = _medians(mine)
        others_at = None if theirs is None else _medians(theirs)
        if not ours_at or (others_at is not None and not others_at):
            return
        shared = ours_at if others_at is None else ours_at.keys() & others_at.keys()
        nearest: dict[str, int] = {}
        for channel, horizon_ms in shared:
            nearest[channel] = min(horizon_ms, nearest.get(channel, horizon_ms))
        for channel, horizon_ms in sorted(nearest.items()):
            start = values.get(channel, float("nan"))
            if start != start or len(self._held) >= MAX_HELD:
                continue
            key = channel, horizon_ms
            other = None if others_at is None else others_at[key]
            self._held.append((time_ms + horizon_ms, channel, start, ours_at[key], other))
            self._horizon[channel] = horizon_ms

    def _judge(self, channel: str, moved: float, mine: float, theirs: float | None) -> None:
        off, other = abs(moved - mine), 0.0 if theirs is None else abs(moved - theirs)
        if off != off or other != other:
            return
        off, other = min(off, FAR), min(other, FAR)
        count, ours, others, paired = self._sums.get(channel, (0, 0.0, 0.0, theirs is not None))
        if paired != (theirs is not None):
            return
        self._sums[channel] = count + 1, ours + off, others + other, paired

    def compared(self) -> list[Compared]:
        """Return what was found so far, by channel."""
        return [
            Compared(
                channel, count, ours / count, others / count if paired else None,
                self._spread.get((channel, self._horizon.get(channel, 0)), 0.0),
            )
            for channel, (count, ours, others, paired) in sorted(self._sums.items())
        ]  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "horizon": dict(self._horizon),
            "sums": {channel: list(sums) for channel, sums in self._sums.items()},
            "held": [list(each) for each in self._held],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot."""
        sums = {
            str(channel): (int(n), float(ours), float(others), bool(paired))
            for channel, (n, ours, others, paired) in state["sums"].items()
        }
        held = [
            (int(at), str(channel), float(start), float(ours),
             None if others is None else float(others))
            for at, channel, start, ours, others in state["held"]
        ]  # fmt: skip
        self._horizon = {str(c): int(h) for c, h in state["horizon"].items()}
        self._sums, self._held = sums, held[:MAX_HELD]


def _medians(found: Forecasts) -> dict[tuple[str, int], float]:
    medians = {}
    for key, row in zip(found.keys, found.rows, strict=False):
        q = sorted(row)
        middle = q[len(q) // 2]
        if middle - middle == 0.0:
            medians[key] = middle
    return medians
