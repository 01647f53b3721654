"""A bundle on trial beside the one that watches: the same rows, its own scores, and no alarm. Pure.

Whatever it does wrong ends its trial and nothing else: what it raises is caught, and what it gives
is compared (`trial_tally`, `trial_errors`) and thrown away. Only its time is measured with a clock
that the shell lends (`clock`).
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

from edge.bundle_watches import less
from edge.trial_errors import Errors
from edge.trial_tally import Tally, TrialPlan, Verdict
from edge.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edge.bundle import Bundle
    from edge.config import StationConfig
    from edge.manifest import Manifest
    from edge.watch import Scored

MAX_HELD = 8
"""Steps that wait for the other bundle to have scored them."""
COST_SHARE, MAX_COST_MS = 0.1, 1000.0
"""Of a grid step all trials of a gateway together may take on average to score one, and what one
may take at most: the loop has other things to do."""
COST_STEPS = 24
MAX_TOLD = 300
_PREFIX = len("score ")
_BROKEN = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)


class Trial:
    """The trial of one bundle at one station. ``theirs``: the bundle that watches, None: none."""

    def __init__(
        self, config: StationConfig, bundle: Bundle, trial_ms: int, theirs: Watch | None
    ) -> None:
        m = bundle.manifest
        self.bundle = bundle
        self.label = m.label
        self.beside = "no other bundle" if theirs is None else theirs.label
        self.watch = Watch(config, bundle)
        self.clock: Callable[[], float] = lambda: 0.0
        """Seconds, from anywhere."""
        self.cost_s = 0.0
        self.share = COST_SHARE
        """Of a grid step that it may take."""
        self.verdict: Verdict | None = None
        self._is_alone = theirs is None
        self._in_step = theirs is not None and theirs.step_ms == m.step_ms
        self._their_kinds = frozenset() if theirs is None else _models(theirs)
        kinds = _models(self.watch)
        steps = max(1, -(-trial_ms // m.step_ms))
        settle = min(steps, _memory_steps(m))
        plan = TrialPlan(steps + settle, settle, warm_steps(m), m.step_ms, kinds)
        self.tally = Tally(plan, config.alarm)
        self.errors = Errors(_spreads(m))
        self._held: deque[Scored] = deque()
        self._others: dict[int, Scored] = {}
        self._newest_ms = -1
        lost = "" if theirs is None else less(config, theirs.manifest, m)
        if lost:  # nothing that it computes would show that
            self._fail(f"it would no longer watch {lost}: commit it with --now if that is meant")

    def take(
        self,
        time_ms: int,
        values: list[float],
        others: Iterable[Scored],
        ruled: int,
        *,
        rebased: bool,
    ) -> None:
        """Take a row as the station took it, and what the other bundle made of rows of late.

        The same step may be given twice. ``ruled`` is the level that the rules ask for. One that
        has passed goes on, so that its models are warm when it takes over.
        """
        if self.verdict is not None and not self.verdict.healthy:
            return
        try:
            self._note(others)
            for observation in self.watch.observe(time_ms, values, rebased=rebased):
                began_s = self.clock()
                self._held.append(self.watch.score(observation))
                self.cost_s += self.clock() - began_s
            if self.verdict is None:
                self._settle(ruled)
            else:
                self._held.clear()
        except Exception as error:  # a model may raise anything; what watches goes on
            self._fail(f"its models failed: {error!r}")

    def _note(self, others: Iterable[Scored]) -> None:
        for step in others:
            at_ms = step.observation.time_ms
            self._others[at_ms] = step
            self._newest_ms = max(self._newest_ms, at_ms) if not step.observation.reset else at_ms
        while len(self._others) > 2 * MAX_HELD:
            del self._others[next(iter(self._others))]

    def _settle(self, ruled: int) -> None:
        """Compare the steps that the other has scored too, or has passed over."""
        while self._held and self.verdict is None:
            mine = self._held[0]
            at_ms = mine.observation.time_ms
            other = self._others.pop(at_ms, None) if self._in_step else None
            waits = self._in_step and other is None and self._newest_ms < at_ms
            if waits and len(self._held) <= MAX_HELD:
                return
            if not self._in_step and self._others:  # of another step: what it said last
                other = next(reversed(self._others.values()))
            self._held.popleft()
            self._compare(mine, other, ruled)

    def _compare(self, mine: Scored, other: Scored | None, ruled: int) -> None:
        seen = mine.observation
        theirs = None if self._is_alone else () if other is None else tuple(other.scores)
        self.tally.push(
            seen.time_ms,
            seen.values,
            tuple(mine.scores),
            theirs,
            their_kinds=self._their_kinds,
            ruled=ruled,
            reset=seen.reset,
        )
        values = dict(zip(self.watch.channels, seen.values, strict=True))
        settled = self.tally.steps > self.tally.plan.settle_steps
        if settled and (self._is_alone or (self._in_step and other is not None)):
            before = None if other is None else other.forecasts
            self.errors.push(seen.time_ms, values, mine.forecasts, before)
        tally = self.tally
        may_ms = min(self.share * tally.plan.step_ms, MAX_COST_MS)
        if tally.seen >= COST_STEPS and self._cost_ms() > may_ms:
            self._fail(f"it takes {self._cost_ms():.0f} ms a step")
            return
        self.verdict = tally.verdict(self.errors.compared())

    def _cost_ms(self) -> float:
        return 1000.0 * self.cost_s / max(1, self.tally.seen)

    def _fail(self, why: str) -> None:
        self.verdict = Verdict(healthy=False, text=" ".join(why.split())[:MAX_TOLD])

    def values(self) -> dict[str, Any]:
        """Return how the trial stands as JSON values."""
        tally = self.tally
        return {
            "bundle": self.label,
            "beside": self.beside,
            "steps": tally.steps,
            "of_steps": tally.plan.steps,
            "seen": tally.seen,
            "lacking": tally.lacking,
            "onsets": tally.onsets,
            "missed": tally.missed,
            "high": tally.high,
            "top_ratio": float(f"{tally.top_mine:.4g}"),
            "top_ratio_beside": float(f"{tally.top_theirs:.4g}"),
            "errors": {
                each.channel: {
                    "count": each.count,
                    "error": float(f"{each.mine:.4g}"),
                    "error_beside": None if each.theirs is None else float(f"{each.theirs:.4g}"),
                }
                for each in self.errors.compared()
            },
            "step_ms": float(f"{self._cost_ms():.3g}"),
        }

    def snapshot(self) -> str:
        """Return the state as JSON.

        In text, once: a state with numbers that are none must not keep that of the station from
        being stored.
        """
        try:
            values = {
                "identity": self.watch.identity,
                "beside": self.beside,
                "watch": self.watch.snapshot(),
                "tally": self.tally.snapshot(),
                "errors": self.errors.snapshot(),
                "cost_s": self.cost_s,
                "verdict": self._said(),
            }
            return json.dumps(values, allow_nan=False)
        except Exception as error:  # as in `take`
            if self.verdict is None or self.verdict.healthy:
                self._fail(f"its state cannot be stored: {error!r}")
        head = {"identity": self.watch.identity, "beside": self.beside}
        return json.dumps(head | {"verdict": self._said()})

    def _said(self) -> list[Any] | None:
        return None if self.verdict is None else [self.verdict.healthy, self.verdict.text]

    def restore(self, state: Any) -> bool:
        """Go on where a snapshot of the same trial was; whether it was one, else it begins anew."""
        blank = self.watch.snapshot(), self.tally.snapshot(), self.errors.snapshot()
        verdict = self.verdict
        try:
            state = json.loads(state)
            same = (state["identity"], state["beside"]) == (self.watch.identity, self.beside)
            if not same:
                return False
            if state["verdict"] is not None:
                healthy, text = state["verdict"]
                verdict = Verdict(bool(healthy), str(text))
                if "watch" not in state and not verdict.healthy:
                    self.verdict = verdict
                    return True
            self.tally.restore(state["tally"])
            self.errors.restore(state["errors"])
            self.watch.restore(state["watch"])
            self.cost_s = float(state["cost_s"])
        except _BROKEN:
            self.watch.restore(blank[0])
            self.tally.restore(blank[1])
            self.errors.restore(blank[2])
            return False
        self.verdict = verdict
        return True


def go_on(watch: Watch, state: Any) -> bool:
    """Let a bundle that watches now go on from where its trial had come; whether it could."""
    blank = watch.snapshot()
    try:
        state = json.loads(state)
        if state["identity"] != watch.identity:
            return False
        watch.restore(state["watch"])
    except _BROKEN:
        watch.restore(blank)
        return False
    return True


def _models(watch: Watch) -> frozenset[str]:
    """Return the kinds of score that armed models owe; the velocity needs no model."""
    return frozenset(kind[_PREFIX:] for kind in watch.armed_kinds) - {"velocity"}


def warm_steps(m: Manifest) -> int:
    """Return for how many whole rows its armed models may be silent."""
    windows = [spec.window_steps for spec in m.detectors if spec.armed]
    return max([m.forecaster.warm_up_steps if m.forecaster.armed else 0, *windows]) + 1


def _memory_steps(m: Manifest) -> int:
    """Return how long its features remember: a day is usual. Meanwhile its forecasts are worse.

    Measured on the demo's bundle beside itself: up to 1.5 times as far off in the first hours.
    """
    return round(max((term.time_constant_steps for term in m.features.terms), default=0.0))


def _spreads(m: Manifest) -> dict[tuple[str, int], float]:
    spec = m.forecaster
    keys = [(target, h * m.step_ms) for target in spec.targets for h in spec.horizons]
    return dict(zip(keys, spec.scale, strict=True))
