"""Movement over a window, the baseline that is always armed."""

from __future__ import annotations

import json
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.kinematics import Kinematics
from edge.manifest import KinematicsSpec
from edge.score import Score

NAN = math.nan
WINDOW = 4
SPEC = KinematicsSpec(targets=("head", "toe"), window_steps=WINDOW, reference=(2.0, 5.0))
VALUES = st.floats(-1000, 1000) | st.just(NAN)
ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=40)


def kinematics() -> Kinematics:
    return Kinematics(SPEC, ("mm", "mrad"))


def fed(of: Kinematics, rows: list[tuple[float, float]]) -> list[tuple[Score, ...]]:
    return [of.score_one(list(row)) for row in rows]


def by_hand(history: list[float]) -> float:
    """Median of the newest three less the median of the three that are WINDOW steps older."""
    now = [v for v in history[-3:] if not math.isnan(v)]
    older = history[-3 - WINDOW :][:3]
    then = [v for v in older if not math.isnan(v)]
    if len(history) < WINDOW + 3 or not now or not then:
        return NAN
    return abs(statistics.median(now) - statistics.median(then))


def test_a_target_in_warm_up_gives_no_score_rather_than_zero() -> None:
    found = fed(kinematics(), [(0.0, 0.0)] * (WINDOW + 3))
    assert found[:-1] == [()] * (WINDOW + 2)
    assert [score.value for score in found[-1]] == [0.0, 0.0]


def test_a_steady_creep_scores_its_rate_times_the_window() -> None:
    last = fed(kinematics(), [(0.5 * n, -3.0 * n) for n in range(20)])[-1]
    assert last == (
        Score("velocity", "head", 0.5 * WINDOW, 2.0, "mm", armed=True),
        Score("velocity", "toe", 3.0 * WINDOW, 5.0, "mrad", armed=True),
    )
    assert [score.ratio for score in last] == [1.0, 2.4]


@pytest.mark.parametrize("spike", [1e6, -1e6, NAN])
def test_one_wild_value_never_scores(spike: float) -> None:
    rows = [(1.0, 1.0)] * 12 + [(spike, 1.0)] + [(1.0, 1.0)] * 12
    found = fed(kinematics(), rows)
    assert all(score.value == 0.0 for scores in found for score in scores)
    assert all(len(scores) == 2 for scores in found[WINDOW + 2 :])


def test_a_step_scores_once_two_of_three_values_show_it() -> None:
    found = fed(kinematics(), [(0.0, 0.0)] * 10 + [(8.0, 0.0)] * 2)
    assert [scores[0].value for scores in found[-3:]] == [0.0, 0.0, 8.0]


def test_a_target_silent_for_three_steps_gives_no_score_and_the_other_still_does() -> None:
    found = fed(kinematics(), [(1.0, 1.0)] * 10 + [(NAN, 1.0)] * 3)
    assert [score.channel for score in found[-1]] == ["toe"]


def test_reset_forgets_the_past() -> None:
    watch = kinematics()
    fed(watch, [(0.0, 0.0)] * 10)
    watch.reset()
    assert fed(watch, [(50.0, 50.0)] * (WINDOW + 2)) == [()] * (WINDOW + 2)


@given(ROWS)
def test_every_score_is_the_difference_of_two_medians_of_three(
    rows: list[tuple[float, float]],
) -> None:
    found = fed(kinematics(), rows)
    for n, scores in enumerate(found, start=1):
        values = {score.channel: score.value for score in scores}
        for i, target in enumerate(SPEC.targets):
            wanted = by_hand([row[i] for row in rows[:n]])
            assert values.get(target, NAN) == pytest.approx(wanted, nan_ok=True)


@given(ROWS, ROWS)
def test_what_is_older_than_the_window_never_changes_a_score(
    past: list[tuple[float, float]], recent: list[tuple[float, float]]
) -> None:
    with_past = fed(kinematics(), past + recent)[len(past) :]
    without = fed(kinematics(), recent)
    assert with_past[WINDOW + 2 :] == without[WINDOW + 2 :]


@given(ROWS, st.integers(0, 40))
def test_a_snapshot_restored_continues_as_if_nothing_had_been(
    rows: list[tuple[float, float]], cut: int
) -> None:
    one, two = kinematics(), kinematics()
    fed(one, rows[:cut])
    two.restore(json.loads(json.dumps(one.snapshot())))
    assert fed(one, rows[cut:]) == fed(two, rows[cut:])
