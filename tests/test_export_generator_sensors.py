"""Made-up sensors and weather: the noise they claim, and what moves with what."""

from __future__ import annotations

import math

import numpy as np
import pytest

from export.generator.sensors import PRESETS
from export.generator.site import generate_site
from export.generator.spec import SlopeSpec


def test_daily_gnss_is_as_noisy_as_it_was_measured() -> None:
    spec = SlopeSpec(
        5, days=7300, step_s=86_400, cracks=0, gnss=3, rate_mm_per_day=0.7, temperature=False
    )
    site = generate_site(spec)
    assert {c.preset for c in site.channels[:3]} == {"gnss_daily"}
    off = site.values[:, :3] - site.truth.moved[:, :3]
    assert np.all((off.std(axis=0) > 3.6) & (off.std(axis=0) < 4.4))
    steps = np.diff(site.values[:, :3], axis=0)
    assert np.all((steps.std(axis=0) > 3.1) & (steps.std(axis=0) < 3.9))
    assert (steps[:, 0] < 0).mean() == pytest.approx(0.42, abs=0.02)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_each_sensor_has_the_noise_that_its_channel_states(scale: float) -> None:
    spec = SlopeSpec(
        9, days=730, cracks=2, extensometers=2, gnss=1, tilt_nodes=2, soil_moisture=True,
        reservoir=True, noise_scale=scale, temperature_scale=0.0,
    )  # fmt: skip
    site = generate_site(spec)
    for i, channel in enumerate(site.channels):
        preset = PRESETS[channel.preset]
        assert channel.noise.sd == pytest.approx(scale * preset.sd)
        off = site.values[:, i] - site.truth.moved[:, i]
        wanted = np.hypot(channel.noise.sd, channel.noise.resolution / math.sqrt(12))
        if channel.quantity.text != "rainfall":
            assert off.std() == pytest.approx(wanted, rel=0.2), channel.name
        lines = site.values[:, i] / channel.noise.resolution
        assert np.allclose(lines, np.round(lines), atol=1e-6)
    assert 0.02 <= PRESETS["crack_meter"].sd <= 0.05


def test_temperature_moves_each_sensor_by_its_own_coefficient() -> None:
    site = generate_site(SlopeSpec(4, days=365, behaviour="stable", cracks=3, tilt_nodes=2))
    warmth = site.truth.sensor_c - site.truth.sensor_c.mean()
    for i, channel in enumerate(site.channels[:5]):
        fitted = warmth @ (site.values[:, i] - site.values[:, i].mean()) / (warmth @ warmth)
        base = PRESETS[channel.preset].per_degc
        assert 0.5 * base <= abs(channel.noise.per_degc) <= 1.5 * base
        assert fitted == pytest.approx(channel.noise.per_degc, abs=0.2 * base)
    assert len({channel.noise.per_degc for channel in site.channels[:5]}) == 5


def test_sensors_show_their_part_and_those_outside_show_none() -> None:
    site = generate_site(SlopeSpec(2, days=100, cracks=3, extensometers=1, tilt_nodes=5, still=1))
    factors = [channel.factor for channel in site.channels]
    assert factors[0] == 1.0
    assert all(0.4 <= f <= 1.0 for f in factors[1:3])
    assert factors[3] == 0.0
    assert np.ptp(site.truth.moved[:, 3]) == 0.0
    tilts = factors[4:9]
    assert max(tilts) == tilts[2]  # the slip zone
    assert tilts[0] < tilts[1]
    assert tilts[4] < tilts[3]
    names = dict(zip(site.names, site.channels, strict=True))
    assert names["tilt_1"].neighbours == ("tilt_2", "tilt_3")
    assert names["tilt_3"].neighbours == ("tilt_2", "tilt_4")
    assert names["crack_3"].neighbours == ("crack_2", "extensometer_1")
    for channel in site.channels:
        assert set(channel.neighbours) <= set(site.names) - {channel.name}
        assert all(names[other].unit == channel.unit for other in channel.neighbours)


def test_rain_fills_the_ground_and_wet_ground_steps() -> None:
    site = generate_site(SlopeSpec(4, behaviour="rain_steps", soil_moisture=True))
    rain, pressure = (site.values[:, site.column(n)] for n in ("rain", "pore_pressure"))
    assert np.allclose(rain / 0.2, np.round(rain / 0.2), atol=1e-6)
    assert 200 < rain.sum() < 2500  # mm in a year
    wet = np.convolve(rain, np.ones(72))[: len(rain)] > 20.0
    assert pressure[wet].mean() > pressure[~wet].mean() + 1.0
    velocity = site.truth.velocity_mm_per_day
    assert 5.0 <= velocity.max() / 0.3 - 1.0 <= 20.0
    steps = [event for event in site.events if event.kind == "rain_step"]
    assert steps
    for event in steps:
        inside = (site.time_ms >= event.start_ms) & (site.time_ms <= event.end_ms)
        assert velocity[inside].max() == pytest.approx(0.3 + event.peak_mm_per_day, rel=1e-6)
        assert site.time_ms[inside][velocity[inside].argmax()] == event.peak_ms


def test_the_reservoir_moves_the_slope_when_it_falls() -> None:
    site = generate_site(SlopeSpec(5, behaviour="reservoir_steps", reservoir=True, days=730))
    level = site.truth.moved[:, site.column("reservoir_level")]
    assert 140 < level.min() < 150 < 170 < level.max() < 180
    steps = [event for event in site.events if event.kind == "reservoir_step"]
    assert steps
    for event in steps:
        i = np.searchsorted(site.time_ms, event.peak_ms)
        assert level[i] < level[i - 10 * 24] - 1.0


def test_rain_of_rows_that_were_not_sent_is_in_the_next_row() -> None:
    whole = generate_site(SlopeSpec(6, days=60))
    torn = generate_site(SlopeSpec(6, days=60, missing=0.3))
    a, b = (site.values[:, site.column("rain")] for site in (whole, torn))
    last = torn.time_ms[-1]
    assert b.sum() == pytest.approx(a[whole.time_ms <= last].sum())
    assert len(b) < 0.8 * len(a)
