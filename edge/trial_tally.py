"""What is counted while a bundle is on trial, and the verdict that it leads to. Pure.

Steps count once the candidate must give its scores: it has had whole rows, or such as the other
bundle scored, for as long as its models take to warm up. A step on which it gave them counts too.

    lacking   on a step that counts it gave none of an armed kind, or no number
    onset     its scores rose to level 2 where neither the other bundle's nor the rules had, and
              these did not follow within GRACE_MS
    missed    the other's scores rose to level 2, and its own did not within GRACE_MS
    high      a step on which they stood over set point 2 and the other's did not
    stuck     a score that was one and the same while the values moved, and the other's was not
    worse     its forecasts were clearly farther off (`trial_errors`)

Times and counts are those of the readings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.score_level import ScoreLevel

if TYPE_CHECKING:
    from edge.config import AlarmConfig
    from edge.score import Score
    from edge.trial_errors import Compared

LEVEL = 2
"""The lowest level for which somebody is called."""
LACKING_SHARE = 0.02
"""Of the trial's steps: rows differ in what two bundles make of them, but not by more."""
HIGH_SHARE = 0.05
ONSET_EVERY_MS = 7 * 86_400_000
"""One false onset in so long is let pass: a shorter trial has none to give."""
GRACE_MS = 6 * 3_600_000
"""Of two that see the same, one may see it so much earlier than the other."""
PATIENCE = 4
"""Times its length a trial may take: beyond, its rows are too full of holes to judge by."""
STUCK_STEPS = 24
MAX_KEYS = 256
_BY_CHANNEL = ("forecast", "residual", "baseline")


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """How long a bundle is tried and what it owes: ``armed`` kinds of score after warming up.

    Its forecasts are judged after ``settle_steps`` of ``steps``: then its features remember enough.
    """

    steps: int
    settle_steps: int
    warm_steps: int
    step_ms: int
    armed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a trial, in words."""

    healthy: bool
    text: str


class Tally:
    """The counts of one trial."""

    def __init__(self, plan: TrialPlan, rules: AlarmConfig) -> None:
        self.plan = plan
        self._rules = rules
        self._ceiling = dict(rules.ceiling)
        self._mine, self._theirs = ScoreLevel(rules), ScoreLevel(rules)
        self.seen = self.steps = self.lacking = self.onsets = self.missed = self.high = 0
        self.moved = 0
        """Steps seen, steps that count, and what was found on them."""
        self.top_mine = self.top_theirs = 0.0
        """The highest score over its threshold so far."""
        self._run = 0
        self._pending_ms: int | None = None
        self._unseen_ms: int | None = None
        """Since when it should have seen what has raised the other."""
        self._row: tuple[float, ...] = ()
        self._spans: dict[str, dict[str, tuple[float, float]]] = {"mine": {}, "theirs": {}}

    def push(
        self,
        time_ms: int,
        values: tuple[float, ...],
        mine: tuple[Score, ...],
        theirs: tuple[Score, ...] | None,
        *,
        their_kinds: frozenset[str] = frozenset(),
        ruled: int = 0,
        reset: bool = False,
    ) -> None:
        """Take one step. ``theirs`` None: no other bundle watches."""
        self.seen += 1
        if reset:
            self._run = 0
            self._mine.restart_clocks()
            self._theirs.restart_clocks()
        given = _kinds(mine)
        complete = theirs is not None and their_kinds <= _kinds(theirs)
        whole = sum(values) == sum(values) or (complete and bool(their_kinds))
        self._run = self._run + 1 if whole else 0
        owes = self.plan.armed <= given or self._run > self.plan.warm_steps
        if owes:
            self.steps += 1
            self.lacking += not self.plan.armed <= given
            self.moved += _differ(values, self._row)
        self._row = values
        mine, others = _sound(mine), _sound(theirs or ())
        stood = self._theirs.level
        self._levels(time_ms, mine, others, ruled)
        self._see(time_ms, stood, owes=owes)
        self._span("mine", mine)
        self._span("theirs", others)

    def _levels(
        self, time_ms: int, mine: tuple[Score, ...], theirs: tuple[Score, ...], ruled: int
    ) -> None:
        before = self._mine.level
        level = self._mine.update(time_ms, mine)
        other = max(self._theirs.update(time_ms, theirs), ruled)
        if other >= LEVEL and self._pending_ms is not None:
            self._pending_ms = None  # it has seen it first
            self.high = 0
        if self._pending_ms is not None and time_ms - self._pending_ms > GRACE_MS:
            self._pending_ms = None
            self.onsets += 1
        if before < LEVEL <= level and other < LEVEL:
            self.onsets += self._pending_ms is not None
            self._pending_ms = time_ms
        self.high += self._reached(mine) >= LEVEL > max(self._reached(theirs), other)
        self.top_mine = max(self.top_mine, _top(mine))
        self.top_theirs = max(self.top_theirs, _top(theirs))

    def _see(self, time_ms: int, stood: int, *, owes: bool) -> None:
        """Look whether it has seen what raised the other; while it warms up it need not."""
        if stood < LEVEL <= self._theirs.level:
            self._unseen_ms = time_ms
        if self._unseen_ms is None or self._mine.level >= LEVEL:
            self._unseen_ms = None
        elif not owes:
            self._unseen_ms = time_ms
        elif time_ms - self._unseen_ms > GRACE_MS:
            self._unseen_ms = None
            self.missed += 1

    def _reached(self, scores: tuple[Score, ...]) -> int:
        points = self._rules.set_points
        return max(
            (min(self._ceiling.get(s.kind, 0), sum(s.ratio >= p for p in points))
             for s in scores if s.armed),
            default=0,
        )  # fmt: skip

    def _span(self, whose: str, scores: tuple[Score, ...]) -> None:
        spans = self._spans[whose]
        for score in scores:
            if score.kind == "velocity" or not score.armed:
                continue
            key = f"{score.kind} {score.channel if score.kind in _BY_CHANNEL else ''}"
            if key in spans or len(spans) < MAX_KEYS:
                low, high = spans.get(key, (score.value, score.value))
                spans[key] = min(low, score.value), max(high, score.value)

    def stuck(self) -> list[str]:
        """Return the scores that were one and the same all the time, while values moved."""
        if self.moved < STUCK_STEPS or 2 * self.moved < self.steps:
            return []
        others = self._spans["theirs"]
        return [
            key.strip()
            for key, (low, high) in sorted(self._spans["mine"].items())
            if low == high and not (key in others and others[key][0] == others[key][1])
        ]

    def verdict(self, errors: list[Compared]) -> Verdict | None:
        """Give the end of the trial where it has come; at once where it cannot end well."""
        why = self._wrong()
        waits = self.steps < self.plan.steps or self._unseen_ms is not None
        if not why and waits:
            if self.seen <= PATIENCE * self.plan.steps + self.plan.warm_steps:
                return None
            why = f"only {self.steps} of {self.seen} steps could be judged"
        why = why or self._worse(errors)
        if why:
            return Verdict(healthy=False, text=why)
        return Verdict(healthy=True, text=self.words(errors))

    def _wrong(self) -> str:
        """Say what no later step can mend, "" for nothing."""
        plan, alone = self.plan, "where nothing else did"
        if self.lacking > LACKING_SHARE * plan.steps:
            return f"it gave no score on {self.lacking} of {self.steps} steps"
        if self.missed:
            return f"its scores have not seen what raised level {LEVEL} {self.missed} times"
        if self.onsets > self._budget:
            return f"its scores would have raised level {LEVEL} {self.onsets} times {alone}"
        if self.high > HIGH_SHARE * plan.steps and self._pending_ms is None:
            stood = f"its scores stood over set point {LEVEL}"
            return f"{stood} on {self.high} of {self.seen} steps {alone}"
        return ""

    def _worse(self, errors: list[Compared]) -> str:
        """Say at the end of the trial what is wrong, "" for nothing."""
        if self._pending_ms is not None and self.onsets >= self._budget:
            return f"its scores have just raised level {LEVEL} where nothing else did"
        if stuck := self.stuck():
            return f"{', '.join(stuck[:4])} stood still while the values moved"
        for each in errors:
            if each.worse:
                off = f"its forecasts of {each.channel} are off by {each.mine:.3g}"
                return f"{off}, those beside it by {each.theirs:.3g}"
        return ""

    @property
    def _budget(self) -> int:
        return self.plan.steps * self.plan.step_ms // ONSET_EVERY_MS

    def words(self, errors: list[Compared]) -> str:
        """Say what was found, in words."""
        hours = self.steps * self.plan.step_ms / 3.6e6
        said = f"{self.steps} steps ({hours:.3g} h), {self.lacking} without a score, "
        said += f"level {LEVEL} alone {self.onsets} times"
        for each in errors:
            if each.theirs is not None:
                said += f", forecasts of {each.channel} off by {each.mine:.3g}, "
                said += f"before by {each.theirs:.3g}"
        return said

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "plan": _plan_values(self.plan),
            "counts": [self.seen, self.steps, self.lacking, self.onsets, self.high, self.moved],
            "tops": [self.top_mine, self.top_theirs],
            "run": self._run,
            "missed": self.missed,
            "pending_ms": self._pending_ms,
            "unseen_ms": self._unseen_ms,
            "row": [None if v != v else v for v in self._row],
            "levels": [self._mine.snapshot(), self._theirs.snapshot()],
            "spans": {
                whose: {key: list(span) for key, span in spans.items()}
                for whose, spans in self._spans.items()
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same trial; raises ValueError where it is of another."""
        if state["plan"] != _plan_values(self.plan):
            raise ValueError("a trial of another length or of other models")
        counts = seen, steps, lacking, onsets, high, moved = [int(n) for n in state["counts"]]
        if min(counts) < 0:
            raise ValueError("not the counts of a trial")
        spans = {
            whose: {str(key): (float(low), float(high)) for key, (low, high) in kept.items()}
            for whose, kept in state["spans"].items()
        }
        mine, theirs = state["levels"]
        self._mine.restore(mine)
        self._theirs.restore(theirs)
        self._spans = {"mine": spans["mine"], "theirs": spans["theirs"]}
        self.seen, self.steps, self.lacking = seen, steps, lacking
        self.onsets, self.high, self.moved = onsets, high, moved
        self.top_mine, self.top_theirs = (float(v) for v in state["tops"])
        self._run = int(state["run"])
        self.missed = int(state["missed"])
        pending, unseen = state["pending_ms"], state["unseen_ms"]
        self._pending_ms = None if pending is None else int(pending)
        self._unseen_ms = None if unseen is None else int(unseen)
        self._row = tuple(float("nan") if v is None else float(v) for v in state["row"])


def _plan_values(plan: TrialPlan) -> list[Any]:
    numbers = (plan.steps, plan.settle_steps, plan.warm_steps, plan.step_ms)
    return [*numbers, sorted(plan.armed)]


def _differ(row: tuple[float, ...], before: tuple[float, ...]) -> bool:
    return any(v != w and v == v and w == w for v, w in zip(row, before, strict=False))


def _kinds(scores: tuple[Score, ...]) -> frozenset[str]:
    """Return the kinds that were given, in numbers."""
    lacking = {s.kind for s in scores if s.value - s.value != 0.0}
    return frozenset(s.kind for s in scores) - lacking


def _sound(scores: tuple[Score, ...]) -> tuple[Score, ...]:
    """Return those that are numbers, for what is no number cannot be stored."""
    return tuple(s for s in scores if s.ratio - s.ratio == 0.0)


def _top(scores: tuple[Score, ...]) -> float:
    return max((s.ratio for s in scores if s.armed), default=0.0)
