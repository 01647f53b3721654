"""The alarm of one station: set points, deadband, on-delay, off-delay, levels 0-4 and NO-DATA.

States, after ISA-18.2 / IEC 62682:

    level L rises  when a score has stood at or above set point L for on_delay
    level L falls  when all scores have stood below set point L x (1 - deadband) for off_delay
    silence        changes ``silent``; it never lowers a level, and stops the off-delay clocks:
                   they run only while every score ever seen is there
    NO-DATA        while every armed score is silent; the level held is reported beside it

Times are those of the readings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.config import AlarmConfig
    from edge.score import Score

LEVELS = ("normal", "attention", "caution", "warning", "alarm")
_TOP = len(LEVELS) - 1
_NEVER: list[int | None] = [None] * _TOP
_BY_CHANNEL = ("velocity", "forecast", "residual")
"""Kinds that score every target; a detector gives one score and names a channel to blame."""


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """A change that the operations room must hear of, with its evidence.

    ``time_ms`` is the time of the readings, ``received_ms`` when the gateway had them;
    ``silent`` names armed scores and channels that no longer report.
    """

    id: str
    station: str
    time_ms: int
    received_ms: int
    level: int
    previous_level: int
    no_data: bool
    silent: tuple[str, ...]
    reason: str
    evidence: tuple[Score, ...]
    bundle: str


class Alarm:
    """The state machine of one station."""

    def __init__(self, station: str, rules: AlarmConfig, bundle: str) -> None:
        self._station = station
        self._rules = rules
        self._bundle = bundle
        self._ceiling = dict(rules.ceiling)
        self.level = 0
        self.silent: tuple[str, ...] = ()
        self.no_data = False
        self._above: list[int | None] = [None] * _TOP
        self._below: list[int | None] = [None] * _TOP
        self._seen: set[tuple[str, str]] = set()
        self._count = 0
        self._time_ms = 0

    def restart_clocks(self) -> None:
        """Stop all delay clocks: the time line broke, durations across the break mean nothing."""
        self._above = [None] * _TOP
        self._below = [None] * _TOP

    def forget_scores(self) -> None:
        """Forget which scores there were: another bundle has others. The level is kept."""
        self._seen = set()
        self.silent = ()
        self.restart_clocks()

    def update(
        self, time_ms: int, received_ms: int, scores: tuple[Score, ...]
    ) -> AlarmChange | None:
        """Take the scores of one grid step; scores in shadow are passed over."""
        self._time_ms = time_ms
        top = self._clock(time_ms, scores)
        if not self.level and self._above == _NEVER:
            return None
        level = self._risen(time_ms)
        if level <= self.level:
            level = self._fallen(time_ms)
        if level == self.level:
            return None
        verb = "rose to" if level > self.level else "fell to"
        reason = f"level {verb} {level} ({LEVELS[level]}): "
        if level < self.level:
            hours = self._rules.off_delay_ms / 3.6e6
            reason += f"all scores have stood below set point {level + 1} for {hours:g} h"
        elif top is not None:
            reason += describe(top)
        return self._change(received_ms, level, reason, scores)

    def silence(
        self, received_ms: int, silent: tuple[str, ...], *, no_data: bool, why: str
    ) -> AlarmChange | None:
        """Take the set of what is silent now; a change of it is an alarm of its own."""
        if silent == self.silent and no_data == self.no_data:
            return None
        self._below = [None] * _TOP
        started = no_data and not self.no_data
        ended = self.no_data and not no_data
        self.silent, self.no_data = silent, no_data
        if started:
            reason = f"NO-DATA: {why}; level {self.level} is held"
        elif ended and not silent:
            reason = "watching"
        elif silent:
            reason = f"silent: {why}"
        else:
            reason = "all channels and scores report again"
        return self._change(received_ms, self.level, reason, ())

    def _clock(self, time_ms: int, scores: tuple[Score, ...]) -> Score | None:
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
        for i in range(_TOP):
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

    def _change(
        self, received_ms: int, level: int, reason: str, scores: tuple[Score, ...]
    ) -> AlarmChange:
        previous, self.level = self.level, level
        self._count += 1
        time_ms = self._time_ms or received_ms  # before any reading: when it was found out
        return AlarmChange(
            id=f"{self._station}-{time_ms}-{self._count}",
            station=self._station,
            time_ms=time_ms,
            received_ms=received_ms,
            level=level,
            previous_level=previous,
            no_data=self.no_data,
            silent=self.silent,
            reason=reason,
            evidence=scores,
            bundle=self._bundle,
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "level": self.level,
            "silent": list(self.silent),
            "no_data": self.no_data,
            "above": list(self._above),
            "below": list(self._below),
            "seen": sorted(self._seen),
            "count": self._count,
            "time_ms": self._time_ms,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot: a raised level stays raised over a restart."""
        level, count, time_ms = (int(state[key]) for key in ("level", "count", "time_ms"))
        above, below = list(state["above"]), list(state["below"])
        silent, no_data = tuple(state["silent"]), bool(state["no_data"])
        if not (0 <= level <= _TOP and len(above) == len(below) == _TOP):
            raise ValueError("not a state of an alarm")
        self._seen = {(kind, channel) for kind, channel in state["seen"]}
        self.level, self._count, self._time_ms = level, count, time_ms
        self._above, self._below = above, below
        self.silent, self.no_data = silent, no_data


def describe(score: Score) -> str:
    """Say a score in words."""
    unit = "" if score.unit == "1" else f" {score.unit}"
    return (
        f"{score.kind} of {score.channel} {score.value:.3g}{unit}, "
        f"{score.ratio:.2f} x its threshold {score.threshold:.3g}{unit}"
    )


def _past(since: int | None, time_ms: int, delay_ms: int) -> bool:
    return since is not None and time_ms - since >= delay_ms
