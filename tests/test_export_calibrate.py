"""What calibration measures of a history, against what the generator knows to be true."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from calibrate_site import tracks

from export.calibrate.channel import Measured, measure
from export.calibrate.limits import resolution
from export.calibrate.poisson import upper
from export.calibrate.robust import huber_line, spread
from export.generator.site import Site, generate_site
from export.generator.spec import Behaviour, SlopeSpec

BEHAVIOURS: tuple[Behaviour, ...] = ("creep", "rain_steps", "stopping", "stable")


def measured(spec: SlopeSpec) -> tuple[Site, dict[str, Measured]]:
    site = generate_site(spec)
    return site, {m.track.name: m for m in measure(tracks(site), lambda name: None)}


@pytest.fixture(scope="module")
def sites() -> list[tuple[Site, dict[str, Measured]]]:
    """A year of each behaviour: two cracks, an extensometer that stands still, three tilt nodes."""
    return [
        measured(
            SlopeSpec(
                40 + i, days=370, step_s=7200, behaviour=behaviour, rate_mm_per_day=0.4,
                cracks=2, extensometers=2, still=2, tilt_nodes=2, soil_moisture=True,
                noise_scale=0.8 + 0.3 * i,
            )
        )
        for i, behaviour in enumerate(BEHAVIOURS)
    ]  # fmt: skip


def test_noise_is_that_of_the_sensors(sites: list[tuple[Site, dict[str, Measured]]]) -> None:
    for site, found in sites:
        for channel in site.channels:
            if not channel.moves:
                continue
            n, step_h = channel.noise, site.spec.step_s / 3600
            true = math.hypot(
                n.white_sd, n.coloured_sd * math.sqrt(1 - math.exp(-step_h / n.lasting_h))
            )
            noise = found[channel.name].noise
            assert noise is not None
            assert noise.sd == pytest.approx(true, rel=0.1), (site.spec.behaviour, channel.name)


def test_white_and_lasting_noise_are_told_apart_where_the_slope_is_at_rest() -> None:
    site, found = measured(SlopeSpec(3, days=700, behaviour="stable", cracks=0, gnss=2, rain=False))
    for channel in site.channels[:2]:
        noise = found[channel.name].noise
        assert noise is not None
        assert noise.split
        assert noise.white_sd == pytest.approx(channel.noise.white_sd, rel=0.1)
        assert noise.lasting_sd == pytest.approx(channel.noise.coloured_sd, rel=0.2)
        assert noise.lasting_h == pytest.approx(channel.noise.lasting_h, rel=0.4)


def test_temperature_coefficients_are_within_their_error(
    sites: list[tuple[Site, dict[str, Measured]]],
) -> None:
    off = []
    for site, found in sites:
        for channel in site.channels:
            warmth = found[channel.name].warmth
            if channel.moves:
                assert warmth is not None
                assert warmth.told, (site.spec.behaviour, channel.name)
                off.append((warmth.coefficient - channel.noise.per_degc) / warmth.error)
                assert warmth.coefficient == pytest.approx(channel.noise.per_degc, rel=0.1)
                assert warmth.whole_year
    assert len(off) == 24
    assert np.mean(np.abs(off) < 2.0) >= 0.85
    assert max(np.abs(off)) < 4.0


def test_without_an_effect_of_temperature_none_is_written() -> None:
    for seed in range(5):
        _, found = measured(
            SlopeSpec(seed, days=200, step_s=7200, cracks=2, gnss=1, temperature_scale=0.0)
        )
        for name in ("crack_1", "crack_2", "gnss_1"):
            warmth = found[name].warmth
            assert warmth is not None
            assert not warmth.told


def test_a_sensor_whose_coefficient_changes_is_not_compensated() -> None:
    site = generate_site(SlopeSpec(4, days=300, step_s=7200, cracks=1, temperature_scale=0.0))
    warm = site.truth.sensor_c - 10.0
    values = site.values.copy()
    values[:, 0] += np.where(np.arange(len(warm)) < len(warm) // 2, 0.03, 0.004) * warm
    found = {m.track.name: m for m in measure(tracks(replace(site, values=values)), lambda n: None)}
    warmth = found["crack_1"].warmth
    assert warmth is not None
    assert warmth.significant
    assert not warmth.stable
    assert not warmth.told


def test_steady_speed_is_that_of_the_slope(sites: list[tuple[Site, dict[str, Measured]]]) -> None:
    for site, found in sites:
        for channel in site.channels:
            speed = found[channel.name].speed
            if not channel.moves:
                assert speed is None
                continue
            assert speed is not None
            if site.spec.behaviour == "stable" or channel.factor == 0.0:
                assert not speed.moves, (site.spec.behaviour, channel.name)
            else:
                true = channel.factor * site.spec.rate_mm_per_day
                assert speed.moves
                assert speed.v_eq == pytest.approx(true, rel=0.3), channel.name


def test_the_greatest_speed_is_about_that_of_the_truth() -> None:
    site, found = measured(SlopeSpec(6, days=370, step_s=3600, behaviour="stopping", cracks=2))
    for i in range(2):
        speed = found[site.names[i]].speed
        assert speed is not None
        # Over 24 h a peak is lower than its highest moment.
        true = np.convolve(site.truth.velocity[:, i], np.ones(24) / 24, "valid").max()
        assert speed.greatest == pytest.approx(true, rel=0.25)
        assert speed.v_max >= speed.greatest


def test_seasons_are_told_by_the_month_and_only_of_a_whole_year() -> None:
    spec = SlopeSpec(8, days=740, step_s=7200, behaviour="seasonal", rate_mm_per_day=1.0, cracks=1)
    speed = measured(spec)[1]["crack_1"].speed
    assert speed is not None
    high = {month.month: month.high for month in speed.months}
    assert len(high) == 12
    assert high[10] > 5.0 * high[4]  # wet_day 300 is in October
    short = measured(replace(spec, days=300))[1]["crack_1"].speed
    assert short is not None
    assert short.months == ()


def test_neighbours_are_those_that_move_with_it(
    sites: list[tuple[Site, dict[str, Measured]]],
) -> None:
    for site, found in sites:
        moving = site.spec.behaviour != "stable"
        near = {name: {n for n, _ in m.neighbours} for name, m in found.items()}
        assert near["crack_1"] == ({"crack_2"} if moving else set())
        assert near["crack_2"] == ({"crack_1"} if moving else set())
        assert near["tilt_1"] == ({"tilt_2"} if moving else set())
        assert near["extensometer_1"] == near["extensometer_2"] == set()  # they stand still


def test_resolution_cadence_and_limits(sites: list[tuple[Site, dict[str, Measured]]]) -> None:
    for site, found in sites:
        for channel in site.channels:
            m = found[channel.name]
            assert m.limits.resolution == pytest.approx(channel.noise.resolution)
            assert m.limits.cadence_s == site.spec.step_s
            assert m.limits.gap_after_s == 3 * site.spec.step_s
            if channel.moves:
                apart = np.abs(np.diff(m.track.y))
                assert (apart < m.limits.spike_limit).mean() > 0.999
                assert m.limits.max_rate_per_h >= 50 * m.limits.max_rate_seen_per_h


def test_values_in_no_steps_have_no_resolution() -> None:
    site = generate_site(SlopeSpec(2, days=30, cracks=1))
    track = tracks(site)[0]
    noisy = track.y + np.random.default_rng(1).uniform(-1e-3, 1e-3, len(track.y))
    assert math.isnan(resolution(replace(track, y=noisy)))
    assert resolution(replace(track, y=np.round(track.y / 0.25) * 0.25)) == 0.25


def test_the_ground_is_wet_in_the_wettest_fifth(
    sites: list[tuple[Site, dict[str, Measured]]],
) -> None:
    for site, found in sites:
        point = found["soil_moisture"].wet_above
        column = site.values[:, site.column("soil_moisture")]
        assert (column > point).mean() == pytest.approx(0.2, abs=0.02)
        assert math.isnan(found["air_temperature"].wet_above)


def test_spikes_and_gaps_do_not_move_what_is_measured() -> None:
    spec = SlopeSpec(9, days=370, step_s=7200, behaviour="creep", cracks=2)
    site = generate_site(spec)
    random = np.random.default_rng(1)
    values = site.values.copy()
    hit = random.choice(len(values), 60, replace=False)
    values[hit, 0] += random.choice([-20.0, 20.0], 60)
    values[1000:1300, :2] = np.nan
    clean = {m.track.name: m for m in measure(tracks(site), lambda n: None)}["crack_1"]
    dirty = measure(tracks(replace(site, values=values)), lambda n: None)[0]
    assert clean.noise is not None
    assert dirty.noise is not None
    assert clean.speed is not None
    assert dirty.speed is not None
    assert clean.warmth is not None
    assert dirty.warmth is not None
    assert dirty.noise.sd == pytest.approx(clean.noise.sd, rel=0.03)
    assert dirty.speed.v_eq == pytest.approx(clean.speed.v_eq, rel=0.05)
    assert dirty.speed.greatest < 2.0 * clean.speed.greatest
    assert dirty.warmth.coefficient == pytest.approx(clean.warmth.coefficient, rel=0.05)


def test_a_few_wrong_values_do_not_move_a_spread_nor_a_line() -> None:
    random = np.random.default_rng(3)
    x = random.normal(0.0, 1.0, 4000)
    y = 0.5 * x + random.normal(0.0, 0.1, 4000)
    y[::100] += 50.0
    assert spread(y - 0.5 * x) == pytest.approx(0.1, rel=0.05)
    slope, error, share = huber_line(x[:, None], y, np.arange(4000) // 40)
    assert slope[0] == pytest.approx(0.5, abs=4 * error[0])
    assert error[0] < 0.005
    assert share > 0.9


def test_the_rule_of_three_and_its_kin() -> None:
    assert upper(0) == pytest.approx(2.996, abs=0.001)  # -ln 0.05
    assert upper(1) == pytest.approx(4.744, abs=0.001)  # tables of Garwood 1936
    assert upper(10) == pytest.approx(16.962, abs=0.001)
