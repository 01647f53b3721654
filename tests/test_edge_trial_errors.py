"""Forecasts of two bundles on the same rows, and which was off by more."""

from __future__ import annotations

import json

import pytest

from edge.score import Forecasts
from edge.trial_errors import MIN_JUDGED, Errors

STEP_MS = 600_000
NAN = float("nan")
KEYS = (("crack", 2 * STEP_MS), ("crack", STEP_MS), ("tilt", STEP_MS))


def forecasts(*medians: float) -> Forecasts:
    return Forecasts(
        KEYS[: len(medians)], (0.1, 0.5, 0.9), tuple([m + 1, m, m - 1] for m in medians)
    )


def test_forecasts_are_judged_when_their_time_comes_and_only_where_both_spoke() -> None:
    errors = Errors({("crack", STEP_MS): 1.0, ("tilt", STEP_MS): 1.0})
    none = Forecasts()
    values = [0.0, 1.0, 3.0, NAN, 6.0, 7.0]
    said = [(1.0, 0.0), (1.0, 0.0), (1.0, 0.0), (9.0, 9.0), (None, 0.0), (1.0, 0.0)]
    for place, (value, (mine, theirs)) in enumerate(zip(values, said, strict=True)):
        errors.push(
            place * STEP_MS,
            {"crack": value, "tilt": 2.0 * place},
            none if mine is None else forecasts(7.0, mine, 2.0),
            forecasts(7.0, theirs, 0.0),
        )
    crack, tilt = errors.compared()
    assert (crack.channel, crack.count) == ("crack", 2)
    assert (crack.mine, crack.theirs) == (0.5, 1.5)  # of moves by 1 and 2
    assert (tilt.count, tilt.mine, tilt.theirs) == (4, 0.0, 2.0)


@pytest.mark.parametrize(
    ("mine", "theirs", "spread", "worse"),
    [
        (3.0, 1.0, 1.0, True),
        (1.4, 1.0, 1.0, False),
        (1.0, 3.0, 1.0, False),
        (0.03, 0.01, 1.0, False),  # of a slope at rest
        (0.5, 0.0, 1.0, True),
    ],
)
def test_only_what_is_clearly_worse_is_refused(mine, theirs, spread, worse) -> None:
    errors = Errors({("crack", STEP_MS): spread})
    for place in range(MIN_JUDGED + 1):
        both = (Forecasts((("crack", STEP_MS),), (0.5,), ([off],)) for off in (mine, theirs))
        errors.push(place * STEP_MS, {"crack": 0.0}, *both)
        (found,) = errors.compared() or (None,)
        if found is not None:
            assert found.worse == (worse and found.count >= MIN_JUDGED)
    state = json.loads(json.dumps(errors.snapshot(), allow_nan=False))
    again = Errors({("crack", STEP_MS): spread})
    again.restore(state)
    assert again.compared() == errors.compared()
    assert again.snapshot() == errors.snapshot()


def test_forecasts_out_of_all_measure_are_far_off_and_their_sums_numbers() -> None:
    errors = Errors({("crack", STEP_MS): 1.0})
    for place in range(MIN_JUDGED + 1):
        both = (Forecasts((("crack", STEP_MS),), (0.5,), ([off],)) for off in (1.5e308, 1.0))
        errors.push(place * STEP_MS, {"crack": -1.5e308 if place == 1 else 0.0}, *both)
    (found,) = errors.compared()
    assert found.worse
    json.dumps(errors.snapshot(), allow_nan=False)
