"""What is counted during a trial, and the verdict: by examples and at random."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.parse_station import AlarmConfig, default_ceiling
from edge.score import Score
from edge.trial_tally import (
    GRACE_MS,
    LACKING_SHARE,
    PATIENCE,
    STUCK_STEPS,
    Tally,
    TrialPlan,
    Verdict,
)

STEP_MS = 600_000
RULES = AlarmConfig((1.0, 2.0, 4.0, 8.0), 0.2, 0, 86_400_000, default_ceiling())
KINDS = frozenset({"forecast", "pca"})
PLAN = TrialPlan(60, 20, 4, STEP_MS, KINDS)
NAN = float("nan")


def scores(forecast: float = 0.5, pca: float = 0.5) -> tuple[Score, ...]:
    return (
        Score("velocity", "crack", 0.1, 1.0, "mm", True),
        Score("forecast", "crack", forecast, 1.0, "mm", True),
        Score("pca", "crack", pca, 1.0, "1", True),
    )


class Run:
    """Steps one after the other into a tally."""

    def __init__(self, plan: TrialPlan = PLAN, rules: AlarmConfig = RULES) -> None:
        self.tally = Tally(plan, rules)
        self.count = 0
        self.verdict: Verdict | None = None

    def step(
        self, mine: tuple[Score, ...] = (), theirs: tuple[Score, ...] | None = (),
        value: float | None = None, **more: Any,
    ) -> Verdict | None:  # fmt: skip
        values = (float(self.count) if value is None else value, 1.0)
        self.tally.push(
            self.count * STEP_MS, values, mine, theirs,
            their_kinds=KINDS if theirs else frozenset(), **more,
        )  # fmt: skip
        self.count += 1
        self.verdict = self.verdict or self.tally.verdict([])
        return self.verdict

    def steps(self, count: int, *args: Any, **more: Any) -> Verdict | None:
        for _ in range(count):
            self.step(*args, **more)
        return self.verdict

    def sound(self, count: int) -> Verdict | None:
        for _ in range(count):
            moving = 0.5 + 0.01 * (self.count % 7)
            self.step(scores(moving, moving), scores())
        return self.verdict


def test_warming_up_is_not_held_against_it() -> None:
    run = Run()
    run.steps(PLAN.warm_steps, (), scores())
    assert (run.tally.steps, run.tally.lacking) == (0, 0)
    run.step((), scores())
    assert (run.tally.steps, run.tally.lacking) == (1, 1)
    early = Run()
    early.step(scores(), ())
    assert (early.tally.steps, early.tally.lacking) == (1, 0)


def test_after_a_hole_it_may_warm_up_again() -> None:
    run = Run()
    run.sound(10)
    run.steps(3, (), (), NAN)
    run.steps(PLAN.warm_steps, (), ())
    assert run.tally.lacking == 0
    run.steps(2, (), ())
    assert run.tally.lacking == 2


def test_what_the_other_scores_it_must_score_too_though_values_are_missing() -> None:
    run = Run()
    run.sound(10)
    run.steps(PLAN.warm_steps, (), scores(), NAN)
    assert run.tally.lacking == PLAN.warm_steps
    assert run.verdict is not None
    assert run.verdict.text == "it gave no score on 2 of 12 steps"


@pytest.mark.parametrize("odd", [NAN, math.inf, -math.inf])
def test_no_number_is_no_score(odd: float) -> None:
    run = Run()
    run.steps(PLAN.warm_steps + 2, scores(odd, 0.5), scores())
    assert run.tally.lacking == 2
    json.dumps(run.tally.snapshot(), allow_nan=False)
    other = Run()
    other.steps(20, scores(), scores(odd, odd))
    json.dumps(other.tally.snapshot(), allow_nan=False)


def test_an_onset_that_the_other_follows_was_seen_first() -> None:
    run = Run()
    run.sound(20)
    run.steps(10, scores(3.0), scores())
    run.step(scores(3.0), scores(3.0))
    assert (run.tally.onsets, run.tally.high, run.verdict) == (0, 0, None)
    run.steps(40, scores(3.0), scores(3.0))
    assert run.tally.onsets == 0


def test_what_it_does_not_see_within_the_grace_is_missed() -> None:
    run = Run(replace(PLAN, steps=400))
    run.sound(10)
    run.steps(GRACE_MS // STEP_MS + 1, scores(), scores(3.0))
    assert run.verdict is None
    run.step(scores(), scores(3.0))
    assert run.verdict is not None
    assert run.verdict.text == "its scores have not seen what raised level 2 1 times"
    late = Run(replace(PLAN, steps=400))
    late.sound(10)
    late.steps(GRACE_MS // STEP_MS, scores(), scores(3.0))
    late.steps(100, scores(3.0), scores(3.0))
    assert (late.tally.missed, late.verdict) == (0, None)


def test_no_verdict_is_good_while_it_has_not_seen_yet_what_raised_the_other() -> None:
    run = Run()
    run.sound(PLAN.steps - 2)
    run.steps(10, scores(0.7), scores(3.0))
    assert run.verdict is None
    run.step(scores(3.0), scores(3.0))
    assert run.verdict is not None
    assert run.verdict.healthy


def test_while_it_warms_up_it_need_not_see_and_then_it_must() -> None:
    long = TrialPlan(400, 20, 60, STEP_MS, KINDS)
    run = Run(long)
    run.steps(60, (), scores(3.0))
    run.steps(GRACE_MS // STEP_MS, scores(), scores(3.0))
    assert (run.tally.missed, run.verdict) == (0, None)
    run.steps(2, scores(), scores(3.0))
    assert run.tally.missed == 1


def test_an_onset_that_nobody_follows_is_false() -> None:
    run = Run()
    run.sound(10)
    run.steps(GRACE_MS // STEP_MS + 1, scores(3.0), scores())
    assert run.verdict is None
    run.step(scores(3.0), scores())
    assert run.verdict is not None
    assert "would have raised level 2 1 times where nothing else did" in run.verdict.text


def test_rules_that_stand_excuse_it() -> None:
    run = Run()
    run.sound(10)
    run.steps(100, scores(9.0), None, ruled=2)
    assert (run.tally.onsets, run.tally.high) == (0, 0)


def test_level_1_is_no_onset_and_the_ceiling_holds() -> None:
    run = Run()
    run.steps(200, scores(1.9, 1.9), scores())
    assert (run.tally.onsets, run.tally.high) == (0, 0)
    low = replace(RULES, ceiling=(("velocity", 4), ("forecast", 1), ("pca", 0)))
    run = Run(rules=low)
    run.steps(200, scores(99.0, 99.0), scores())
    assert (run.tally.onsets, run.tally.high) == (0, 0)


def test_one_onset_in_a_week_is_let_pass_of_a_long_trial() -> None:
    week = replace(PLAN, steps=7 * 144 + 10)
    run = Run(week, replace(RULES, off_delay_ms=0))
    run.sound(50)
    run.step(scores(3.0), scores())
    run.sound(100)
    assert (run.tally.onsets, run.verdict) == (1, None)
    run.step(scores(3.0), scores())
    run.sound(100)
    assert run.verdict is not None
    assert not run.verdict.healthy


def test_what_stands_below_its_delay_again_and_again_is_high() -> None:
    run = Run(rules=replace(RULES, on_delay_ms=3 * STEP_MS))
    run.sound(10)
    for _ in range(4):
        run.step(scores(3.0), scores())
        run.sound(1)
    assert run.tally.onsets == 0
    assert run.verdict is not None
    assert "stood over set point 2 on 4 of" in run.verdict.text


def test_a_score_that_stands_still_is_stuck_unless_the_others_does_too() -> None:
    for theirs, said in ((scores(), None), (None, "forecast crack, pca stood still")):
        run = Run()
        run.steps(PLAN.steps, scores(), theirs)
        assert run.verdict is not None
        assert run.verdict.healthy == (said is None)
        assert said is None or said in run.verdict.text
    run = Run()
    run.steps(PLAN.steps, scores(), None, 4.0)  # on a slope at rest
    assert run.verdict is not None
    assert run.verdict.healthy
    short = Run(replace(PLAN, steps=STUCK_STEPS))
    short.steps(STUCK_STEPS, scores(), None)
    assert short.verdict is not None
    assert short.verdict.healthy


steps = st.lists(
    st.tuples(
        st.sampled_from([None, 0.5, 0.7, 3.0, 9.0, NAN]),
        st.sampled_from([None, 0.5, 0.6, 3.0, NAN]),
        st.sampled_from([0.0, 1.0, 2.0, NAN]),
        st.sampled_from([0, 0, 0, 2]),
        st.booleans(),
    ),
    max_size=300,
)
plans = st.builds(
    TrialPlan, st.integers(1, 80), st.integers(0, 20), st.integers(0, 10),
    st.sampled_from([60_000, STEP_MS, 86_400_000]), st.sampled_from([frozenset(), KINDS]),
)  # fmt: skip


def given_scores(value: float | None) -> tuple[Score, ...]:
    return () if value is None else scores(value, value)


def push(tally: Tally, place: int, step: Any) -> None:
    mine, theirs, value, ruled, reset = step
    tally.push(
        place * tally.plan.step_ms, (value, 1.0), given_scores(mine), given_scores(theirs),
        their_kinds=KINDS, ruled=ruled, reset=reset and place % 50 == 0,
    )  # fmt: skip


@given(plan=plans, steps=steps, cut=st.integers(0, 300))
def test_a_restart_anywhere_comes_to_the_same(plan: TrialPlan, steps: Any, cut: int) -> None:
    whole, broken = Tally(plan, RULES), Tally(plan, RULES)
    for place, step in enumerate(steps):
        if place == cut:
            state = json.loads(json.dumps(broken.snapshot(), allow_nan=False))
            broken = Tally(plan, RULES)
            broken.restore(state)
        push(whole, place, step)
        push(broken, place, step)
        assert whole.verdict([]) == broken.verdict([])
    assert whole.snapshot() == broken.snapshot()


@given(plan=plans, steps=steps)
def test_every_trial_ends_and_none_well_that_is_over_its_budgets(plan, steps) -> None:
    tally = Tally(plan, RULES)
    for place, step in enumerate(steps):
        push(tally, place, step)
        assert tally.lacking <= tally.steps <= tally.seen == place + 1
        found = tally.verdict([])
        if tally.seen > PATIENCE * plan.steps + plan.warm_steps:
            assert found is not None
        if found is None:
            continue
        if found.healthy:
            assert tally.steps >= plan.steps
            assert tally.lacking <= LACKING_SHARE * plan.steps
            assert tally.missed == 0
            assert tally.onsets <= plan.steps * plan.step_ms // (7 * 86_400_000)
        return


@given(plan=plans, steps=steps)
def test_one_that_says_what_the_other_says_is_never_blamed_for_alarms(plan, steps) -> None:
    tally = Tally(plan, RULES)
    for place, (mine, _, value, ruled, reset) in enumerate(steps):
        push(tally, place, (mine, mine, value, ruled, reset))
        assert (tally.onsets, tally.missed, tally.high) == (0, 0, 0)
