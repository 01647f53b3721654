"""The scores of a step as numbers under heads: what asks for a level, and what does not."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import AlarmConfig, default_ceiling
from edge.score import Head, Score, Scores
from edge.score_level import ScoreLevel

HEADS = (
    Head("velocity", "a", 2.0, "mm", True),
    Head("velocity", "b", 3.0, "mm", True),
    Head("forecast", "a", 1.0, "mm", False),
    Head("residual", "a", 4.0, "1", True),
    Head("pca", "", 0.5, "1", True, lambda value, errors: ("b", (("b", errors[0]),))),
)
VALUES = st.one_of(st.just(math.nan), st.floats(0.0, 40.0), st.sampled_from([2.0, 4.0, 0.5, 0.0]))


def rules(on_ms: int, off_ms: int) -> AlarmConfig:
    return AlarmConfig((1.0, 2.0, 4.0, 8.0), 0.2, on_ms, off_ms, default_ceiling())


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.lists(VALUES, min_size=5, max_size=5), max_size=60),
    calm=st.integers(1, 20),
    delays=st.tuples(st.sampled_from([0, 3, 10]), st.sampled_from([0, 5])),
    cut=st.integers(0, 60),
)
def test_levels_are_those_of_the_scores_spelt_out(steps, calm, delays, cut) -> None:
    quick, plain = ScoreLevel(rules(*delays)), ScoreLevel(rules(*delays))
    for i, given_values in enumerate(steps):
        values = [0.1 * v if i % calm else v for v in given_values]
        if i == cut:
            state = quick.snapshot()
            quick = ScoreLevel(rules(*delays))
            quick.restore(state)
        scores = Scores(HEADS, values, ([0.1],))
        spelt = tuple(scores)
        assert quick.update(i + 1, scores) == plain.update(i + 1, spelt)
        assert quick.snapshot() == plain.snapshot()
        if quick.level or any(quick.snapshot()["above"]):
            assert quick.top == plain.top


def test_what_is_not_known_is_not_there() -> None:
    scores = Scores(HEADS, [math.nan, 1.0, math.nan, math.nan, 0.7], ([0.7],))
    assert not scores.whole
    assert len(scores) == 2
    assert scores
    assert list(scores) == [
        Score("velocity", "b", 1.0, 3.0, "mm", True),
        Score("pca", "b", 0.7, 0.5, "1", True, (("b", 0.7),)),
    ]
    nothing = Scores(HEADS, [math.nan] * 5, ([],))
    assert not nothing
    assert len(nothing) == 0
    assert list(nothing) == []
    assert not Scores((), [])
