"""Telemetry rows as text: the JSON that an encoder would give of the same numbers."""

import json
import math

from hypothesis import example, given
from hypothesis import strategies as st

from edge.grid import Observation
from edge.message import number
from edge.row_text import listed, numbers, row_text, step_text
from edge.score import Forecasts, Head, Score, Scores
from edge.watch import Scored

FLOATS = st.floats(allow_nan=True, allow_infinity=True)


def parsed(text: str):
    """Parse as a receiver does that knows no NaN."""
    return json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))


@given(st.lists(FLOATS, max_size=70))
def test_numbers_are_those_of_the_other_messages(values) -> None:
    assert parsed(f"[{numbers(values)}]") == [number(v) for v in values]


@given(st.integers(0, 4_102_444_800_000), st.integers(-1, 2**32), st.lists(FLOATS, max_size=5))
def test_a_row_is_its_time_its_number_and_its_values(time_ms, sequence, values) -> None:
    row = parsed(row_text(time_ms, sequence, values))
    assert row == [time_ms, sequence, *(number(v) for v in values)]


@example('a, "b', "crack, top", 0.5, 1.0, True)
@given(st.text(max_size=8), st.text(max_size=8), FLOATS, st.floats(0.001, 1e9), st.booleans())
def test_a_step_tells_each_score_whatever_its_names(kind, channel, value, limit, armed) -> None:
    scores = (Score(kind, channel, value, limit, "mm", armed),)
    rows = ([3.0, 1.0, 2.0], [math.nan, 0.0, 1.0])
    forecasts = Forecasts((("a", 1), ("b", 1)), (0.1, 0.5, 0.9), rows)
    step = parsed(step_text(Scored(Observation("s", 7, (1.0,), False), scores, forecasts)))
    assert step["time_ms"] == 7
    assert step["scores"] == [[kind, channel, number(value), number(limit), armed]]
    assert step["forecasts"][0] == [1.0, 2.0, 3.0]
    assert None in step["forecasts"][1]


def test_scores_of_models_and_their_list_are_told_alike() -> None:
    heads = (Head("velocity", "crack", 2.0, "mm", True), Head("pca", "", 1.0, "1", False, blame))
    scores = Scores(heads, [math.nan, 0.5], ([0.5, 0.1],))
    told = [Scored(Observation("s", 7, (1.0,), False), each, Forecasts())
            for each in (scores, tuple(scores))]  # fmt: skip
    assert step_text(told[0]) == step_text(told[1])
    assert parsed(step_text(told[0]))["scores"] == [["pca", "tilt", 0.5, 1.0, False]]


def blame(value: float, errors: list[float]) -> tuple[str, tuple[tuple[str, float], ...]]:
    """Blame the first."""
    assert errors[0] == value
    return "tilt", ()


def test_a_list_is_one() -> None:
    assert parsed(listed(["1", "[2]"])) == [1, [2]]
    assert parsed(listed([])) == []
