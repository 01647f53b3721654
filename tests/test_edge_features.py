"""Causal features: one vector a grid step, from that step and the past alone."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.features import Features
from edge.manifest import TRANSFORMS, FeatureSpec, Term

NAN = math.nan
CHANNELS = ("tilt", "rain")
TAU = 4.0
VALUE = st.floats(-1e6, 1e6) | st.just(NAN)
ROWS = st.lists(st.tuples(VALUE, VALUE), max_size=30)
TERMS = tuple(Term(c, kind, TAU) for kind in TRANSFORMS for c in reversed(CHANNELS))


def spec(
    *terms: Term, mean: float = 0.0, sd: float = 1.0, clip: float = 1e9, hold: int = 99
) -> FeatureSpec:
    n = len(terms)
    return FeatureSpec(terms, (mean,) * n, (sd,) * n, clip, hold)


MIXED = FeatureSpec(
    terms=TERMS[::3] + TERMS[1::3] + TERMS[2::3],
    mean=tuple(0.5 * i for i in range(len(TERMS))),
    sd=tuple(1.0 + i for i in range(len(TERMS))),
    clip=8.0,
    max_hold_steps=2,
)


def run(of: Features, rows: list[tuple[float, ...]]) -> list[list[float] | None]:
    out = []
    for row in rows:
        x = of.push(row)
        out.append(None if x is None else x.tolist())
    return out


def one(transform: str, *values: float, tau: float = TAU) -> list[float]:
    """Feed one channel to a single term and give its value at every step."""
    found = run(Features(spec(Term("a", transform, tau)), ("a",)), [(v,) for v in values])
    assert None not in found
    return [x[0] for x in found if x is not None]


def test_level_is_the_value_held_while_it_is_missing() -> None:
    assert one("level", 1.0, 2.5, NAN, NAN, -4.0) == [1.0, 2.5, 2.5, 2.5, -4.0]


def test_difference_is_the_step_from_the_last_value_held() -> None:
    assert one("difference", 1.0, 2.5, NAN, NAN, -4.0) == [0.0, 1.5, 0.0, 0.0, -6.5]


def test_deviation_is_the_distance_to_an_exponential_mean_of_the_past() -> None:
    values = [10.0, 14.0, 3.0, 3.0, -7.0]
    mean, wanted = values[0], []
    for value in values:
        wanted.append(value - mean)
        mean += (value - mean) / TAU
    assert one("deviation", *values) == pytest.approx(wanted)


def test_decayed_sum_adds_what_is_new_and_forgets_a_part_each_step() -> None:
    total, wanted = 0.0, []
    for value in (2.0, 0.0, 0.0, 8.0, 0.0):
        total = total * (1 - 1 / TAU) + value
        wanted.append(total)
    assert one("decayed_sum", 2.0, 0.0, NAN, 8.0, NAN) == pytest.approx(wanted)


def test_missing_tells_what_did_not_report_in_this_step() -> None:
    assert one("missing", 1.0, NAN, NAN, 3.0) == [0.0, 1.0, 1.0, 0.0]


def test_age_tells_how_many_steps_ago_a_channel_reported() -> None:
    assert one("age", 1.0, NAN, NAN, NAN, 3.0, NAN, tau=1.0) == [0.0, 1.0, 2.0, 3.0, 0.0, 1.0]
    assert one("age", 1.0, NAN, NAN) == [0.0, 1.0 / TAU, 2.0 / TAU]


def test_features_are_standardised_in_the_order_of_the_terms() -> None:
    terms = (Term("rain", "missing", 1.0), Term("tilt", "level", 1.0), Term("rain", "level", 1.0))
    features = Features(FeatureSpec(terms, (0.0, 10.0, 1.0), (1.0, 4.0, 0.5), 99.0, 9), CHANNELS)
    assert features.size == 3
    assert run(features, [(12.0, 2.0), (8.0, NAN)]) == [[0.0, 0.5, 2.0], [1.0, -0.5, 2.0]]


@given(st.floats(-1e300, 1e300), st.floats(1e-6, 1e6), st.floats(1.0, 100.0))
def test_out_of_range_saturates_with_its_own_sign_and_is_counted(
    value: float, sd: float, clip: float
) -> None:
    features = Features(spec(Term("a", "level", 1.0), sd=sd, clip=clip), ("a",))
    (x,) = features.push([value])
    scaled = value * (1.0 / sd)
    assert x.dtype == np.float32
    assert x == np.float32(max(-clip, min(clip, scaled)))
    assert features.saturated == (abs(scaled) > clip)


def test_every_saturated_feature_of_a_vector_is_counted_and_reset_keeps_the_count() -> None:
    features = Features(spec(*TERMS[:2], clip=5.0), CHANNELS)
    assert run(features, [(200.0, -200.0), (5.0, -5.0), (5.1, 0.0)]) == [
        [-5.0, 5.0], [-5.0, 5.0], [0.0, 5.0],
    ]  # fmt: skip
    features.reset()
    assert features.saturated == 3


def test_there_is_no_vector_before_every_channel_has_reported_once() -> None:
    features = Features(spec(*TERMS), CHANNELS)
    found = run(features, [(1.0, NAN), (NAN, NAN), (NAN, 2.0)])
    assert found[:2] == [None, None]
    assert found[2] is not None


def test_a_channel_silent_for_longer_than_the_hold_limit_gives_none_until_it_returns() -> None:
    features = Features(spec(Term("tilt", "level", 1.0), hold=2), CHANNELS)
    rows = [(1.0, 0.0), (NAN, 0.0), (NAN, 0.0), (NAN, 0.0), (NAN, 0.0), (7.0, 0.0)]
    assert run(features, rows) == [[1.0], [1.0], [1.0], None, None, [7.0]]


def test_a_channel_that_reports_now_and_then_is_never_silent_for_too_long() -> None:
    features = Features(spec(Term("tilt", "missing", 1.0), hold=1), CHANNELS)
    rows = [(1.0, 0.0), (NAN, 0.0), (2.0, NAN), (NAN, 0.0), (3.0, NAN)]
    assert run(features, rows) == [[0.0], [1.0], [0.0], [1.0], [0.0]]


def test_the_past_goes_on_while_nothing_is_given_out() -> None:
    features = Features(spec(Term("rain", "decayed_sum", 2.0), hold=0), CHANNELS)
    found = run(features, [(1.0, 8.0), (NAN, 4.0), (1.0, 0.0)])
    assert found == [[8.0], None, [4.0]]


@given(ROWS, ROWS)
def test_reset_starts_anew_as_if_there_had_been_no_past(
    past: list[tuple[float, ...]], rows: list[tuple[float, ...]]
) -> None:
    used = Features(MIXED, CHANNELS)
    run(used, past)
    used.reset()
    assert run(used, rows) == run(Features(MIXED, CHANNELS), rows)


@given(ROWS, ROWS, ROWS)
def test_the_future_never_changes_a_vector_of_the_past(
    past: list[tuple[float, ...]], one_future: list[tuple[float, ...]],
    other_future: list[tuple[float, ...]],
) -> None:  # fmt: skip
    one_way = run(Features(MIXED, CHANNELS), past + one_future)
    other_way = run(Features(MIXED, CHANNELS), past + other_future)
    assert one_way[: len(past)] == other_way[: len(past)] == run(Features(MIXED, CHANNELS), past)


@given(ROWS)
def test_every_vector_is_finite_and_inside_the_clip(rows: list[tuple[float, ...]]) -> None:
    for x in run(Features(MIXED, CHANNELS), rows):
        assert x is None or all(-8.0 <= v <= 8.0 for v in x)


@given(ROWS, st.integers(0, 30))
def test_features_restored_from_a_snapshot_continue_bit_for_bit(
    rows: list[tuple[float, ...]], cut: int
) -> None:
    one_run, restored = Features(MIXED, CHANNELS), Features(MIXED, CHANNELS)
    run(one_run, rows[:cut])
    kept = one_run.snapshot()
    after = run(one_run, rows[cut:])
    restored.restore(json.loads(json.dumps(kept)))
    assert run(restored, rows[cut:]) == after
    assert restored.saturated == one_run.saturated
    assert json.dumps(restored.snapshot()) == json.dumps(one_run.snapshot())


@given(ROWS)
def test_a_step_leaves_the_values_it_was_given_as_they_were(rows: list[tuple[float, ...]]) -> None:
    features = Features(MIXED, CHANNELS)
    for row in rows:
        values = list(row)
        features.push(values)
        assert repr(values) == repr(list(row))
