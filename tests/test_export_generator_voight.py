"""Made-up creep: the closed form, failures on time, what stops, and the filters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.generator.site import Site, generate_site
from export.generator.spec import DAY_MS, SlopeSpec
from export.generator.voight import Creep, Stopping
from export.generator.weather import coloured, leaky, smooth


def day_of(site: Site) -> np.ndarray:
    return (site.time_ms - site.spec.start_ms) / DAY_MS


@given(
    st.floats(0.05, 5.0), st.floats(1.0, 60.0), st.floats(1.3, 3.0) | st.just(2.0), st.floats(1, 50)
)
@settings(max_examples=40, deadline=None)
def test_the_closed_form_is_what_the_equation_gives_by_small_steps(rate, life, alpha, ratio):
    creep = Creep(rate, life, alpha)
    until = creep.days_until(ratio)
    steps = 4000
    h, v, x = until / steps, rate, 0.0
    for _ in range(steps):  # Runge-Kutta of dv/dt = A v^alpha, dx/dt = v
        k1 = creep.a * v**alpha
        k2 = creep.a * (v + 0.5 * h * k1) ** alpha
        k3 = creep.a * (v + 0.5 * h * k2) ** alpha
        k4 = creep.a * (v + h * k3) ** alpha
        x += h * (v + h * (k1 + k2 + k3) / 6.0)
        v += h * (k1 + 2 * k2 + 2 * k3 + k4) / 6.0
    at = np.array([until])
    assert creep.velocity(at)[0] == pytest.approx(rate * ratio, rel=1e-9)
    assert v == pytest.approx(rate * ratio, rel=1e-4)
    assert x == pytest.approx(creep.moved(at)[0], rel=1e-4, abs=1e-9)


def test_alpha_two_is_the_limit_of_its_neighbours() -> None:
    at = np.linspace(0, 9.99, 50)
    exact = Creep(1.0, 10.0, 2.0).moved(at)
    for near in (2.0 - 1e-9, 2.0 + 1e-9, 2.0 + 1e-13):
        assert np.allclose(Creep(1.0, 10.0, near).moved(at), exact, rtol=1e-7)
    assert np.allclose(exact, 10.0 * np.log(10.0 / (10.0 - at)))


@pytest.mark.parametrize("alpha", [1.5, 1.8, 2.0, 2.5])
def test_a_slope_fails_at_the_very_moment_it_states(alpha: float) -> None:
    spec = SlopeSpec(
        3, days=60, step_s=600, behaviour="failure", failure_day=47.123, alpha=alpha,
        onset_days=15.0, rate_mm_per_day=0.8,
    )  # fmt: skip
    site = generate_site(spec)
    assert site.failure_ms == spec.start_ms + round(47.123 * DAY_MS)
    inverse = site.truth.velocity_mm_per_day ** (1.0 - alpha)  # linear in time, 0 at t_f
    last = (site.time_ms > site.failure_ms - 14 * DAY_MS) & (site.time_ms < site.failure_ms)
    since = (site.time_ms[last] - site.failure_ms) / DAY_MS
    b, a = np.polyfit(since, inverse[last], 1)
    assert b < 0
    assert -a / b == pytest.approx(0.0, abs=1e-6)  # days
    assert np.allclose(inverse[last], a + b * since, rtol=1e-6, atol=1e-9)
    before = day_of(site) < 32.0
    assert np.allclose(site.truth.velocity_mm_per_day[before], 0.8)  # secondary creep
    assert np.isnan(site.values[site.time_ms >= site.failure_ms][:, : spec.cracks]).all()
    assert np.isfinite(site.values[:, site.column("pore_pressure")]).all()
    event = site.events[-1]
    assert (event.kind, event.peak_ms, event.alpha) == ("failure", site.failure_ms, alpha)
    assert event.start_ms == site.failure_ms - 15 * DAY_MS


def test_a_failure_may_have_begun_before_its_record() -> None:
    site = generate_site(
        SlopeSpec(1, days=10, behaviour="failure", failure_day=9.5, onset_days=30.0)
    )
    assert site.truth.moved_mm[0] == pytest.approx(0.0)
    assert site.events[-1].start_ms == site.spec.start_ms
    assert site.truth.velocity_mm_per_day[0] == pytest.approx(0.3 * 30.0 / 9.5)


@given(st.floats(1.5, 20.0), st.floats(1.5, 2.5), st.floats(0.2, 5.0), st.floats(3.0, 30.0))
@settings(max_examples=40, deadline=None)
def test_what_stops_rises_to_its_ratio_and_comes_to_rest(ratio, alpha, decay, life):
    stop = Stopping(2.0, Creep(0.5, life, alpha), ratio, decay, False)
    day = np.linspace(0.0, stop.end_day + 1.0, 200_001)
    moved, velocity = stop.added(day)
    assert velocity.max() == pytest.approx(0.5 * (ratio - 1.0), rel=2e-2)
    assert (velocity >= -1e-12).all()
    rising = (day > 2.0) & (day < stop.peak_day)
    assert (np.diff(velocity[rising]) > 0).all()
    assert stop.added(np.array([stop.end_day]))[1][0] <= 0.05 + 1e-9
    total = np.sum(0.5 * (velocity[1:] + velocity[:-1]) * np.diff(day))
    assert total == pytest.approx(moved[-1] - moved[0], rel=1e-3, abs=1e-6)


@given(st.integers(1, 300), st.floats(0.3, 50.0), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_the_filters_are_the_plain_loops(n: int, steps: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(3.0, 1.0, n)
    k, level, mean = math.exp(-1.0 / steps), 0.0, x[0]
    levels, means = [], []
    for each in x:
        level = each + k * level
        mean += (each - mean) * (1.0 - k)
        levels.append(level)
        means.append(mean)
    assert np.allclose(leaky(x, steps), levels, rtol=1e-9)
    assert np.allclose(smooth(x, steps), means, rtol=1e-9)


def test_lasting_noise_has_its_sd_and_its_memory() -> None:
    noise = coloured(400_000, 2.0, 20.0, np.random.default_rng(1))
    assert noise.std() == pytest.approx(2.0, rel=0.03)
    assert np.corrcoef(noise[:-20], noise[20:])[0, 1] == pytest.approx(math.exp(-1), abs=0.03)
