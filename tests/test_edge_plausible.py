"""Spikes and hung sensors: what the models must not believe at once."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import load_bundle
from edge.config import load_config
from edge.pipeline import Pipeline
from edge.plausible import Plausible
from edge.trust import ANY_SIGNER
from export.slope import CHANNELS, generate
from firmware_bridge.reading import Reading

HOUR_MS = 3_600_000
NAN = math.nan
START_MS = 1_704_067_200_000


def judge(values: list[float], jump: float = 1.0, frozen_ms: int = 0) -> list[float]:
    plausible = Plausible(("a",), (jump,), (frozen_ms,), {})
    return [plausible.apply(START_MS + i * HOUR_MS, [v])[0] for i, v in enumerate(values)]


def same(a: list[float], b: list[float]) -> bool:
    return all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))


def test_a_single_spike_is_held_back() -> None:
    assert same(judge([0.0, 0.1, 1e9, 0.2, 0.3]), [0.0, 0.1, NAN, 0.2, 0.3])


def test_a_real_step_is_believed_at_the_second_reading() -> None:
    assert same(judge([0.0, 5.0, 5.1, 5.2]), [0.0, NAN, 5.1, 5.2])


def test_of_a_failing_slope_only_the_first_jump_waits() -> None:
    assert same(judge([0.0, 5.0, 30.0, 100.0, 400.0]), [0.0, NAN, 30.0, 100.0, 400.0])
    assert same(judge([0.0, 5.0, 5.1, 5.1, 9e9, 5.2]), [0.0, NAN, 5.1, 5.1, NAN, 5.2])


def test_missing_values_pass_and_are_not_counted() -> None:
    refused: dict[tuple[str, str], int] = {}
    plausible = Plausible(("a", "b"), (1.0, 1.0), (0, 0), refused)
    assert same(plausible.apply(START_MS, [NAN, 3.0]), [NAN, 3.0])
    assert same(plausible.apply(START_MS, [7.0, 3.1]), [7.0, 3.1])
    assert refused == {}


def test_a_value_that_never_changes_is_a_hung_sensor() -> None:
    refused: dict[tuple[str, str], int] = {}
    plausible = Plausible(("a",), (math.inf,), (3 * HOUR_MS,), refused)
    seen = [plausible.apply(START_MS + i * HOUR_MS, [1.25])[0] for i in range(6)]
    assert same(seen, [1.25] * 4 + [NAN] * 2)
    assert refused == {("a", "frozen"): 2}
    assert plausible.apply(START_MS + 6 * HOUR_MS, [1.26]) == [1.26]


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.integers(0, 30))
def test_a_snapshot_continues_as_if_nothing_was(values: list[float], cut: int) -> None:
    whole = Plausible(("a",), (2.0,), (5 * HOUR_MS,), {})
    first = Plausible(("a",), (2.0,), (5 * HOUR_MS,), {})
    expected = [whole.apply(START_MS + i * HOUR_MS, [v])[0] for i, v in enumerate(values)]
    seen = [first.apply(START_MS + i * HOUR_MS, [v])[0] for i, v in enumerate(values[:cut])]
    second = Plausible(("a",), (2.0,), (5 * HOUR_MS,), {})
    second.restore(json.loads(json.dumps(first.snapshot(), allow_nan=False)))
    for i, v in list(enumerate(values))[cut:]:
        seen.append(second.apply(START_MS + i * HOUR_MS, [v])[0])
    assert same(seen, expected)


def pipeline() -> Pipeline:
    config = load_config(demo_bundle().parent / "gateway.toml")
    return Pipeline(config, {"slope": load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)})


def reading(i: int, row: list[float]) -> Reading:
    at_ms = START_MS + i * 600_000
    return Reading("node", at_ms, i, CHANNELS, tuple(row), at_ms)


@pytest.mark.parametrize("channel", ["crack_1", "tilt_x", "pore_pressure"])
@pytest.mark.parametrize("spike", [10.0, 100.0, 1e9])
def test_one_spike_raises_no_alarm_and_does_not_blind_the_models(
    channel: str, spike: float
) -> None:
    rows = generate(4.0, seed=12).values.tolist()
    calm, struck = pipeline(), pipeline()
    for i, row in enumerate(rows):
        calm.receive(reading(i, row))
        if i == 300:
            row[CHANNELS.index(channel)] += spike
        struck.receive(reading(i, row))
    assert struck.stations["slope"].alarm.level == calm.stations["slope"].alarm.level
    assert sum(struck.stations["slope"].rejected.values()) == 1
    watch = struck.stations["slope"].watch
    assert watch is not None
    assert watch.features.saturated == 0


def test_sensors_that_hang_do_not_lower_an_alarm_and_are_named() -> None:
    rows = generate(9.9, seed=7, failure_day=10.0).values.tolist()
    under = pipeline()
    for i, row in enumerate(rows):
        under.receive(reading(i, row))
    assert under.stations["slope"].alarm.level == 4
    changes = []
    for i in range(len(rows), len(rows) + 7 * 144):  # a week of the very same values
        changes += under.receive(reading(i, rows[-1])).changes
    assert under.stations["slope"].alarm.level == 4
    assert {"crack_1", "crack_2", "tilt_x", "tilt_y"} <= set(changes[-1].silent)
    assert under.stations["slope"].rejected["crack_1", "frozen"] > 100
