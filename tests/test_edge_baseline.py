"""The naive forecast in arms: evidence, intervals, restart."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edge.baseline import Baseline
from edge.manifest import Artifact, BaselineSpec, ForecasterSpec

ARTIFACT = Artifact(
    "gru.float32.tflite", "tflite", "float32", 1e-4, ("litert",), 1, 0.0, 1e-4, 0.0, 0
)
SPEC = ForecasterSpec(
    armed=False,
    reason="no better than persistence",
    targets=("crack",),
    horizons=(1, 3),
    quantiles=(0.05, 0.5, 0.95),
    hidden=4,
    scale=(1.0, 2.0),
    anchors=("persistence", "persistence"),
    margin=(0.0, 0.0),
    adapt_rate=0.05,
    baseline=BaselineSpec(
        ("persistence", "drift"), (0.1,), 8, 0, (-1.0, 0.0, 1.0, -2.0, 0.0, 2.0), (2.0,)
    ),
    warm_up_steps=2,
    rate_reference=(5.0,),
    residual_threshold=(2.0,),
    residual_time_constant_steps=6.0,
    artifacts=(ARTIFACT,),
    golden="golden.gru.json",
)


def test_its_forecast_is_the_naive_one_and_the_spread_of_its_own_errors() -> None:
    baseline = Baseline(SPEC, 60_000)
    baseline.score_one([3.0])
    found = list(baseline.forecasts())
    assert [(f.horizon_ms, f.model) for f in found] == [(60_000, "baseline"), (180_000, "baseline")]
    assert found[0].values == (-1.0, 0.0, 1.0)
    assert found[1].values == pytest.approx((-1.7, 0.3, 2.3))


def test_an_acceleration_raises_its_armed_score_and_a_spike_does_not() -> None:
    def peak(series: list[float]) -> float:
        baseline = Baseline(SPEC, 60_000)
        return max(baseline.score_one([v])[0].ratio for v in series)

    calm = list(np.cumsum(np.random.default_rng(1).normal(0, 0.4, 200)))
    assert peak(calm) < 1.0
    assert peak([*calm, calm[-1] + 6.0, *[calm[-1]] * 5]) < 2.0
    moving = [calm[-1] + 0.5 * i**2 for i in range(20)]
    assert peak(calm + moving) > 1.5
    assert Baseline(SPEC, 60_000).score_one([0.0])[0].armed


def test_a_target_without_a_threshold_is_not_scored() -> None:
    spec = replace(SPEC, baseline=replace(SPEC.baseline, threshold=(0.0,)))
    baseline = Baseline(spec, 60_000)
    assert baseline.score_one([1.0]) == ()
    assert len(baseline.forecasts()) == 2


def test_a_missing_value_gives_no_forecast_where_it_is_needed() -> None:
    kinds = replace(SPEC.baseline, kinds=("last_increment", "last_increment"))
    baseline = Baseline(replace(SPEC, baseline=kinds), 60_000)
    for value in (0.0, 1.0, 2.0, float("nan")):
        baseline.score_one([value])
    assert not len(baseline.forecasts())


def test_a_restart_changes_nothing() -> None:
    series = np.cumsum(np.random.default_rng(2).normal(0, 1.5, 60)).tolist()
    whole, parted = Baseline(SPEC, 60_000), Baseline(SPEC, 60_000)
    for i, value in enumerate(series):
        expected = whole.score_one([value])
        if i == 31:
            state = json.loads(json.dumps(parted.snapshot()))
            parted = Baseline(SPEC, 60_000)
            parted.restore(state)
        assert parted.score_one([value]) == expected
        assert list(parted.forecasts()) == list(whole.forecasts())
