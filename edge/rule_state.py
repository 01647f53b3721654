"""Rules at work: three-valued conditions, persistence, validity, hysteresis, in reading time.

    a rule begins to hold    all its conditions have held for ``for_ms``
    it stands                for ``valid_ms`` after it last held; held again, the time runs anew
    hysteresis               while it stands, conditions need only stay beyond ``keep``, as long
    not known                neither begins nor ends anything: the validity stands still

It is not known either where a channel that made a rule stand has gone silent, and others are calm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge.evidence import Finding, Hit, Tripped
from edge.rule import HALF

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge.evidence import Floats, Series
    from edge.rule import Condition, Rule

NO, UNKNOWN, KEEPS, HOLDS = 0, 1, 2, 3


class UnknownEvidenceError(ValueError):
    """A condition that names evidence, a window or a channel that the station does not have."""


class _Bound:
    """A condition tied to the series that it looks at."""

    __slots__ = ("_least", "_whole", "condition", "held", "places", "series")

    def __init__(self, condition: Condition, offered: Sequence[Series]) -> None:
        self.condition = condition
        self.series = _find(condition, offered)
        names = condition.channels or self.series.channels
        self.places = np.array([self.series.channels.index(name) for name in names])
        self._whole = names == self.series.channels
        self._least = max(1, condition.at_least)
        self.held = np.zeros(len(names), dtype=bool)
        """Which channels held it when it last did, or when they were last heard."""

    def needed(self, live: int) -> int:
        """Give how many channels must hold it: never more than are live."""
        wanted = self.condition.at_least
        return min(live, (live + 1) // 2 if wanted == HALF else wanted) or 1

    def state(self, *, standing: bool) -> int:
        """Give NO, UNKNOWN, KEEPS (only where the rule stands) or HOLDS."""
        condition = self.condition
        seen = self._seen(standing=standing)
        live = np.count_nonzero(seen == seen)
        if not live:
            return UNKNOWN
        needed = self._least if live >= self._least > 1 else self.needed(live)
        if self._enough(seen, condition.threshold, needed):
            return HOLDS
        if standing and self._enough(seen, condition.keep, needed):
            return KEEPS
        if standing and np.isnan(seen[self.held]).any():
            return UNKNOWN  # what raised it can no longer say that it is calm
        return NO

    def _seen(self, *, standing: bool) -> Floats:
        """Give what is known; a lower bound is only known where more of it says the same."""
        series, condition = self.series, self.condition
        seen = series.values if self._whole else series.values[self.places]
        if series.least is None:
            return seen
        limit = condition.keep if standing else condition.threshold
        low = seen <= limit if condition.below else seen < limit
        return np.where(series.least[self.places] & low, np.nan, seen)

    def note(self, *, begins: bool) -> None:
        """Remember which channels hold it now, and of those that went silent that they did."""
        seen, keep = self._seen(standing=True), self.condition.keep
        kept = self.held & np.isnan(seen) & (not begins)
        self.held = kept | (seen <= keep if self.condition.below else seen >= keep)

    def _enough(self, seen: Floats, limit: float, needed: int) -> bool:
        reached = seen <= limit if self.condition.below else seen >= limit  # a NaN does neither
        if np.count_nonzero(reached) < needed:
            return False
        if not self.condition.neighbours:
            return True
        run = best = 0
        for v, has in zip(seen, reached, strict=True):
            if v == v:
                run = run + 1 if has else 0
                best = max(best, run)
        return best >= needed

    def finding(self, *, standing: bool) -> Finding:
        """Give what it sees now, for the report."""
        condition, series = self.condition, self.series
        limit = condition.keep if standing else condition.threshold
        seen = self._seen(standing=standing).tolist()
        known = [(i, v) for i, v in zip(self.places.tolist(), seen, strict=True) if v == v]
        hits = tuple(
            Hit(series.channels[i], v, series.units[i])
            for i, v in known
            if (v <= limit if condition.below else v >= limit)
        )
        return Finding(
            kind=condition.evidence,
            window_ms=condition.window_ms,
            sense="below" if condition.below else "above",
            threshold=condition.threshold,
            needed=self.needed(len(known)),
            live=len(known),
            hits=hits,
        )


class RuleState:
    """One rule over time."""

    __slots__ = ("_bound", "_seen_ms", "held_ms", "rule", "since_ms", "stands", "state")

    def __init__(self, rule: Rule, offered: Sequence[Series]) -> None:
        self.rule = rule
        self._bound = tuple(_Bound(condition, offered) for condition in rule.when)
        self.since_ms: int | None = None
        """When its conditions began to hold, or while it stands to stay beyond ``keep``."""
        self.held_ms = 0
        """When it last held, moved along while that is not known."""
        self.stands = False
        self.state = UNKNOWN
        self._seen_ms: int | None = None

    def step(self, time_ms: int) -> None:
        """Look at the evidence of one grid step."""
        stands = self.stands
        if self.held_ms < 0:
            self.held_ms = time_ms
        state = HOLDS
        for bound in self._bound:
            found = bound.state(standing=stands)
            if found < state:
                state = found
                if not state:
                    break
        self.state = state
        self._follow(time_ms, state)
        if self.stands and state in (HOLDS, KEEPS):
            for bound in self._bound:
                bound.note(begins=not stands)
        self._seen_ms = time_ms

    def _follow(self, time_ms: int, state: int) -> None:
        """Let the clocks run as the evidence says."""
        stood = self.stands
        if state == NO:
            self.since_ms = None
            self.stands = stood and time_ms - self.held_ms < self.rule.valid_ms
        elif state != UNKNOWN:
            self.since_ms = time_ms if self.since_ms is None else self.since_ms
            if (stood and state == HOLDS) or time_ms - self.since_ms >= self.rule.for_ms:
                self.stands, self.held_ms = True, time_ms
        elif self._seen_ms is not None:  # not known: the clocks stand still
            passed_ms = max(0, time_ms - self._seen_ms)
            self.held_ms += passed_ms if stood else 0
            self.since_ms = None if self.since_ms is None else self.since_ms + passed_ms

    def stand(self) -> None:
        """Stand from the next step on, whatever it sees."""
        self.stands, self.held_ms = True, -1

    def restart(self, time_ms: int) -> None:
        """Note that the time line broke before ``time_ms``: what lies between is not known."""
        if not self.stands:
            self.since_ms = None
        elif self._seen_ms is not None:
            passed_ms = time_ms - self._seen_ms
            self.held_ms = min(time_ms, self.held_ms + passed_ms)
            self.since_ms = None if self.since_ms is None else self.since_ms + passed_ms
        self._seen_ms = None

    def report(self) -> Tripped:
        """Give it with what it sees now."""
        standing = self.stands and self.state != HOLDS
        return Tripped(
            rule=self.rule.name,
            level=self.rule.level,
            since_ms=self.held_ms if self.since_ms is None else self.since_ms,
            valid_until_ms=self.held_ms + self.rule.valid_ms,
            holds=self.state == HOLDS,
            findings=tuple(bound.finding(standing=standing) for bound in self._bound),
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "since_ms": self.since_ms,
            "held_ms": self.held_ms,
            "stands": self.stands,
            "seen_ms": self._seen_ms,
            "held": [bound.held.tolist() for bound in self._bound],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from a snapshot."""
        since, seen = saved["since_ms"], saved["seen_ms"]
        held, stands = int(saved["held_ms"]), bool(saved["stands"])
        self.since_ms = None if since is None else int(since)
        self._seen_ms = None if seen is None else int(seen)
        self.held_ms, self.stands = held, stands
        for bound, which in zip(self._bound, saved["held"], strict=True):
            if len(which) == len(bound.held):
                bound.held = np.array(which, dtype=bool)


class RuleEngine:
    """All rules of a station. UnknownEvidenceError, naming the rule that looks at what is not."""

    def __init__(self, rules: Iterable[Rule], offered: Sequence[Series]) -> None:
        wanted = tuple(rules)
        made = []
        self.left_out: dict[str, str] = {}
        """Rules of the profile that look at what this station does not have, and what that is."""
        for rule in wanted:
            try:
                made.append(_made(rule, offered))
            except UnknownEvidenceError as error:
                self.left_out[rule.name] = str(error)
                if not rule.optional or len(self.left_out) == len(wanted):
                    raise
        self.rules = tuple(made)
        self.shelved: frozenset[str] = frozenset()
        """Names of rules that raise nothing for now."""

    def step(self, time_ms: int, level: int) -> int:
        """Look at one grid step; ``level`` stands now. Give the level that the rules ask for."""
        wanted = kept = 0
        for each in self.rules:
            each.step(time_ms)
            rule = each.rule
            if not each.stands or rule.name in self.shelved:
                continue
            if rule.only_keeps:
                kept = max(kept, min(level, rule.level))
            else:
                wanted = max(wanted, rule.level)
        return max(wanted, kept)

    def hold(self, level: int) -> None:
        """Let the rules that raise to ``level`` stand as if they had just held."""
        for each in self.rules:
            if each.rule.level == level and not each.rule.only_keeps:
                each.stand()

    def restart(self, time_ms: int) -> None:
        """Note that the time line broke before this step."""
        for each in self.rules:
            each.restart(time_ms)

    def standing(self) -> tuple[Tripped, ...]:
        """Give the rules that stand, highest level first, with what they see."""
        return tuple(sorted((r.report() for r in self.rules if r.stands), key=lambda t: -t.level))

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {each.rule.name: each.snapshot() for each in self.rules}

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from a snapshot; rules that it does not know begin anew."""
        for each in self.rules:
            if each.rule.name in saved:
                each.restore(saved[each.rule.name])


def _made(rule: Rule, offered: Sequence[Series]) -> RuleState:
    try:
        return RuleState(rule, offered)
    except UnknownEvidenceError as error:
        raise UnknownEvidenceError(f"rule {rule.name!r}: {error}") from None


def _find(condition: Condition, offered: Sequence[Series]) -> Series:
    same = [series for series in offered if series.kind == condition.evidence]
    if not same:
        known = ", ".join(sorted({series.kind for series in offered})) or "none"
        raise UnknownEvidenceError(f"this station has no {condition.evidence!r}; it has: {known}")
    for series in same:
        if series.window_ms == condition.window_ms:
            break
    else:
        known = ", ".join(f"{series.window_ms / 1000:g}" for series in same)
        what = f"{condition.evidence} has no window_s = {condition.window_ms / 1000:g}"
        raise UnknownEvidenceError(f"{what}; it has: {known}")
    missing = [name for name in condition.channels if name not in series.channels]
    if missing:
        known = ", ".join(series.channels)
        raise UnknownEvidenceError(f"no {condition.evidence} of {missing[0]!r}; there is: {known}")
    return series
