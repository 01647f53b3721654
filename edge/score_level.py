"""The level that the bundle's scores ask for: set points, deadband, on-delay, off-delay.

    level L rises  when a score has stood at or above set point L for on_delay
    level L falls  when all scores have stood below set point L x (1 - deadband) for off_delay

The off-delay runs only while every score ever seen is there: what is missing never lowers a level.
Times are those of the readings. After ISA-18.2 / IEC 62682.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter, truediv
from typing import TYPE_CHECKING, Any

from edge.score import Scores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.config import AlarmConfig
    from edge.score import Head, Score

TOP = 4
_NEVER: list[int | None] = [None] * TOP
_BY_CHANNEL = ("velocity", "forecast", "residual")
"""Kinds that score every target; a detector gives one score and names a channel to blame."""


@dataclass(frozen=True, slots=True)
class _Calm:
    """How to see at once that none of the scores under these heads asks for anything."""

    heads: tuple[Head, ...]
    take: Callable[[list[float]], Sequence[float]]
    thresholds: tuple[float, ...]
    keys: frozenset[tuple[str, str]]


class ScoreLevel:
    """The state machine of the scores of one station."""

    def __init__(self, rules: AlarmConfig) -> None:
        self._rules = rules
        self._ceiling = dict(rules.ceiling)
        self.level = 0
        self.top: Score | None = None
        """The score that leads now, where one asks for something."""
        self._calm: _Calm | None = None
        self._lowest = rules.set_points[0] * (1.0 - rules.deadband)
        self._above: list[int | None] = [None] * TOP
        self._below: list[int | None] = [None] * TOP
        self._seen: set[tuple[str, str]] = set()

    def restart_clocks(self) -> None:
        """Stop all delay clocks: the time line broke, durations across the break mean nothing."""
        self._above = [None] * TOP
        self._below = [None] * TOP

    def forget(self) -> None:
        """Forget which scores there were: another bundle has others. The level is kept."""
        self._seen = set()
        self.restart_clocks()

    def update(self, time_ms: int, scores: Scores | tuple[Score, ...]) -> int:
        """Take the scores of one grid step, those in shadow are passed over; gives the level."""
        if not self.level and isinstance(scores, Scores) and scores.whole and self._is_calm(scores):
            return 0
        self.top = self._clock(time_ms, scores)
        if not self.level and self._above == _NEVER:
            return 0
        level = self._risen(time_ms)
        if level <= self.level:
            level = self._fallen(time_ms)
        self.level = level
        return level

    def _is_calm(self, scores: Scores) -> bool:
        """Whether nothing asks for anything, nor has: nearly always, and so seen in one look."""
        calm = self._calm
        if calm is None or calm.heads is not scores.heads:
            calm = self._calm = self._look(scores.heads)
        if self._above != _NEVER:
            return False
        if calm.thresholds:
            ratios = map(truediv, calm.take(scores.values), calm.thresholds)
            if not max(ratios) < self._lowest:
                return False
        if not calm.keys <= self._seen:
            self._seen |= calm.keys
        return True

    def _look(self, heads: tuple[Head, ...]) -> _Calm:
        places = [i for i, h in enumerate(heads) if h.armed and self._ceiling.get(h.kind, 0)]
        chosen = [heads[i] for i in places]
        # Of one place itemgetter gives no tuple: the same twice does as well.
        take = itemgetter(*places, places[0]) if places else (lambda _: ())
        limits = [head.threshold for head in [*chosen, *chosen[:1]]]
        keys = frozenset((h.kind, h.channel if h.kind in _BY_CHANNEL else "") for h in chosen)
        return _Calm(heads, take, tuple(limits), keys)

    def _clock(self, time_ms: int, scores: Scores | tuple[Score, ...]) -> Score | None:
        """Start and stop the delay clocks of every level; return the leading score."""
        points, band = self._rules.set_points, 1.0 - self._rules.deadband
        highest, kept, top, lowest = 0, 0, None, points[0] * band
        best = (0, -1.0)
        present = set()
        for score in scores:
            kind = score.kind
            ceiling = self._ceiling.get(kind, 0)
            if not score.armed or not ceiling:
                continue
            present.add((kind, score.channel if kind in _BY_CHANNEL else ""))
            ratio = score.value / score.threshold
            reached = 0
            if ratio >= lowest:
                reached = min(ceiling, sum(ratio >= p for p in points))
                highest = max(highest, reached)
                kept = max(kept, min(ceiling, sum(ratio >= p * band for p in points)))
            if (reached, ratio) > best:  # the one that led there, not one capped below it
                best, top = (reached, ratio), score
        self._seen |= present
        if not self.level and not highest and self._above == _NEVER:
            return top
        whole = len(present) == len(self._seen)
        for i in range(TOP):
            self._above[i] = (self._above[i] or time_ms) if i < highest else None
            self._below[i] = (self._below[i] or time_ms) if i >= kept and whole else None
        return top

    def _risen(self, time_ms: int) -> int:
        delay = self._rules.on_delay_ms
        return max(
            (i + 1 for i, since in enumerate(self._above) if _past(since, time_ms, delay)),
            default=0,
        )

    def _fallen(self, time_ms: int) -> int:
        level, delay = self.level, self._rules.off_delay_ms
        while level and _past(self._below[level - 1], time_ms, delay):
            level -= 1
        return level

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "level": self.level,
            "above": list(self._above),
            "below": list(self._below),
            "seen": sorted(self._seen),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot."""
        level = int(state["level"])
        above, below = list(state["above"]), list(state["below"])
        if not (0 <= level <= TOP and len(above) == len(below) == TOP):
            raise ValueError("not a state of scores")
        self._seen = {(kind, channel) for kind, channel in state["seen"]}
        self.level, self._above, self._below = level, above, below


def _past(since: int | None, time_ms: int, delay_ms: int) -> bool:
    return since is not None and time_ms - since >= delay_ms
