"""The made-up slope: the same from its seed, plausible, and failing when it is told to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.bench import demo_bundle
from edge.config import load_config
from edge.replay import recorded
from export.__main__ import main
from export.slope import CHANNELS, START_MS, STEP_MS, generate, write_csv
from firmware_bridge.reading import Reading

A_DAY = 144


def column(values: np.ndarray, name: str) -> np.ndarray:
    return values[:, CHANNELS.index(name)]


def test_one_seed_makes_one_slope_and_another_seed_another() -> None:
    one, same, other = generate(15, 4), generate(15, 4), generate(15, 5)
    assert np.array_equal(one.values, same.values)
    assert np.array_equal(one.velocity_mm_per_day, same.velocity_mm_per_day)
    assert not np.allclose(one.values, other.values)


@pytest.mark.parametrize("days", [1.0, 2.5, 30.0])
def test_every_channel_has_a_value_every_ten_minutes(days: float) -> None:
    slope = generate(days, 1)
    steps = round(days * A_DAY)
    assert slope.values.shape == (steps, len(CHANNELS))
    assert np.isfinite(slope.values).all()
    assert slope.time_ms[0] == START_MS
    assert set(np.diff(slope.time_ms).tolist()) == {STEP_MS}


def test_rain_comes_in_tips_of_a_bucket_and_in_storms() -> None:
    rain = column(generate(120, 1).values, "rain")
    assert (rain >= 0).all()
    assert np.allclose(rain / 0.2, np.round(rain / 0.2), atol=1e-9)
    assert 0.005 < (rain > 0).mean() < 0.3
    assert 20 < rain.sum() < 1000  # mm in four months


@pytest.mark.parametrize("seed", range(1, 6))
def test_water_air_and_movement_stay_within_what_a_slope_knows(seed: int) -> None:
    slope = generate(120, seed)
    moisture = column(slope.values, "soil_moisture")
    assert moisture.min() > 0.17
    assert moisture.max() < 0.43
    pressure = column(slope.values, "pore_pressure")
    assert pressure.min() > 11.0
    assert pressure.max() < 27.0
    air = column(slope.values, "air_temperature")
    assert air.min() > -25
    assert air.max() < 45
    assert (slope.velocity_mm_per_day >= 0.15 - 1e-9).all()
    assert slope.velocity_mm_per_day.max() < 20.0


def test_wet_ground_follows_rain_and_moves_faster() -> None:
    slope = generate(120, 1)
    rain, pressure = (column(slope.values, name) for name in ("rain", "pore_pressure"))
    wet = np.convolve(rain, np.ones(2 * A_DAY))[: len(rain)] > 5.0
    assert wet.any()
    assert pressure[wet].mean() > pressure[~wet].mean() + 0.5
    high = pressure > np.quantile(pressure, 0.9)
    assert slope.velocity_mm_per_day[high].mean() > slope.velocity_mm_per_day[~high].mean()


def test_the_cracks_have_moved_by_the_integral_of_velocity() -> None:
    slope = generate(60, 2)
    moved = np.cumsum(slope.velocity_mm_per_day) / A_DAY
    crack = column(slope.values, "crack_1")
    assert np.allclose(crack - crack[0], moved - moved[0], atol=0.7)  # the rock breathes
    assert np.corrcoef(column(slope.values, "crack_2"), moved)[0, 1] > 0.99
    assert np.corrcoef(column(slope.values, "tilt_y"), moved)[0, 1] < -0.95


def test_a_failing_slope_is_the_calm_one_until_it_accelerates() -> None:
    calm, failing = generate(20, 7), generate(20, 7, failure_day=19.0)
    before = 12 * A_DAY
    assert np.array_equal(calm.values[:before], failing.values[:before])
    assert calm.velocity_mm_per_day[-1] < 20.0


def test_failure_accelerates_with_a_falling_inverse_of_velocity() -> None:
    calm, failing = generate(20, 7), generate(20, 7, failure_day=19.0)
    extra = failing.velocity_mm_per_day - calm.velocity_mm_per_day
    day = np.arange(len(extra)) / A_DAY
    last = (day > 13.1) & (day < 18.9)
    assert (np.diff(extra[last]) > 0).all()
    slope_of_inverse = np.diff(1.0 / extra[last]) * A_DAY
    assert np.allclose(slope_of_inverse, -1.0 / 6.0, rtol=1e-6)
    at = {d: float(extra[np.searchsorted(day, d)]) for d in (14.0, 18.0, 18.9, 19.1)}
    assert at[14.0] < at[18.0] / 4 < at[18.9] / 20
    assert at[19.1] == 300.0


def test_the_csv_is_what_replay_and_train_read(tmp_path: Path) -> None:
    slope = generate(3, 1)
    path = tmp_path / "history.csv"
    write_csv(slope, path)
    config = load_config(demo_bundle().parent / "site.toml", site=True)
    readings = list(recorded(config, [str(path)]))
    assert all(isinstance(r, Reading) for r in readings)
    assert [r.time_ms for r in readings] == slope.time_ms.tolist()
    assert {r.channels for r in readings} == {CHANNELS}
    assert np.array_equal(np.array([r.values for r in readings]), slope.values)


def test_the_command_generates_the_same_slope(tmp_path: Path) -> None:
    made, wanted = tmp_path / "a.csv", tmp_path / "b.csv"
    arguments = ["--days", "12", "--seed", "3", "--failure-day", "11"]
    assert main(["generate", *arguments, "--out", str(made)]) == 0
    write_csv(generate(12, 3, failure_day=11), wanted)
    assert made.read_bytes() == wanted.read_bytes()


@pytest.mark.parametrize(
    "arguments", [["--days", "0"], ["--days", "nan"], ["--days", "1e9"], ["--seed", "-1"]]
)
def test_a_slope_that_cannot_be_is_refused_in_words(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.csv"
    assert main(["generate", *arguments, "--out", str(out)]) == 1
    assert "talus-export generate: --days must be 1 .. 36500" in capsys.readouterr().err
    assert not out.exists()


def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "none" / "x.csv"
    assert main(["generate", "--days", "2", "--out", str(out)]) == 1
    assert str(out) in capsys.readouterr().err
