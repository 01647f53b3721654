"""Quality control before the models: spikes raise no alarm, hung sensors lower none."""

from __future__ import annotations

import pytest
from qc_rows import START_MS

from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import load_bundle
from edge.config import load_config
from edge.pipeline import Pipeline
from edge.trust import ANY_SIGNER
from export.slope import CHANNELS, generate
from firmware_bridge.reading import Reading


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
