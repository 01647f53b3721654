"""Made-up sites: reproducible, true to what they state, varied, refused where they cannot be."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import TalusError
from export.generator.site import Site, generate_site
from export.generator.spec import BEHAVIOURS, DAY_MS, SlopeSpec
from export.generator.stations import failures, station_years


def day_of(site: Site) -> np.ndarray:
    return (site.time_ms - site.spec.start_ms) / DAY_MS


def specs() -> st.SearchStrategy[SlopeSpec]:
    """Any small slope there can be."""
    share = st.floats(0.0, 0.4)

    def build(behaviour: str, failing: float, **more) -> SlopeSpec:
        if behaviour == "failure":
            more["failure_day"] = failing * more["days"]
        more["still"] = min(more["still"], more["cracks"] + more["extensometers"] + more["gnss"])
        return SlopeSpec(behaviour=behaviour, **more)

    return st.builds(
        build,
        behaviour=st.sampled_from(BEHAVIOURS),
        failing=st.floats(0.05, 1.0),
        seed=st.integers(0, 2**40),
        days=st.floats(2.0, 120.0),
        step_s=st.sampled_from([600, 3600, 21_600, 86_400]),
        cracks=st.integers(0, 3),
        extensometers=st.integers(0, 2),
        gnss=st.integers(0, 2),
        tilt_nodes=st.integers(0, 5),
        still=st.integers(0, 2),
        reservoir=st.booleans(),
        soil_moisture=st.booleans(),
        jitter=share,
        missing=share,
        rate_mm_per_day=st.floats(0.01, 5.0),
        stops=st.none() | st.integers(0, 5),
        water_ratio=st.none() | st.floats(0.0, 10.0),
        alpha=st.floats(1.5, 2.5),
        onset_days=st.floats(1.0, 60.0),
        wet_day=st.floats(0.0, 365.0),
    )


@given(specs())
@settings(max_examples=60, deadline=None)
def test_any_site_is_reproducible_ordered_and_true_to_its_velocity(spec: SlopeSpec) -> None:
    site, same = generate_site(spec), generate_site(spec)
    for one, other in (
        (site.values, same.values),
        (site.time_ms, same.time_ms),
        (site.truth.moved, same.truth.moved),
    ):
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    assert site.events == same.events
    n = len(site.time_ms)
    assert site.values.shape == (n, len(site.channels)) == site.truth.velocity.shape
    assert (np.diff(site.time_ms) > 0).all()
    assert len(set(site.names)) == len(site.channels)
    assert [e.start_ms for e in site.events] == sorted(e.start_ms for e in site.events)
    assert all(e.start_ms <= e.peak_ms <= e.end_ms for e in site.events)
    alive = slice(None)
    if site.failure_ms is not None:
        alive = site.time_ms < site.failure_ms - DAY_MS // 2
    moved, velocity = site.truth.moved_mm[alive], site.truth.velocity_mm_per_day[alive]
    if len(moved) < 2:
        return
    step = np.diff(day_of(site)[alive])
    total = np.sum(0.5 * (velocity[1:] + velocity[:-1]) * step)
    varied = np.abs(np.diff(velocity)).sum()
    peaks = sum(e.peak_mm_per_day for e in site.events if math.isfinite(e.peak_mm_per_day))
    assert total == pytest.approx(
        moved[-1] - moved[0], abs=1e-6 + step.max() * (varied + 2 * peaks)
    )
    assert (np.diff(moved) >= -1e-9).all()


def test_another_seed_is_another_site_and_other_channels_change_nothing() -> None:
    spec = SlopeSpec(7, days=40, behaviour="stopping")
    site = generate_site(spec)
    assert not np.array_equal(site.values, generate_site(dataclasses.replace(spec, seed=8)).values)
    richer = generate_site(dataclasses.replace(spec, cracks=4, tilt_nodes=3, reservoir=True))
    for name in site.names:
        assert np.array_equal(
            site.values[:, site.column(name)], richer.values[:, richer.column(name)]
        )


def test_irregular_rows_are_early_or_late_or_never_were() -> None:
    site = generate_site(SlopeSpec(3, days=100, jitter=0.3, missing=0.2))
    assert 0.75 < len(site.time_ms) / 2400 < 0.85
    off = (site.time_ms - site.spec.start_ms) / 3_600_000.0
    off -= np.round(off)
    assert np.abs(off).max() <= 0.3
    assert off.std() == pytest.approx(0.3 / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"days": 0.0}, "days must be"),
        ({"days": math.nan}, "days must be"),
        ({"step_s": 0}, "step_s"),
        ({"seed": -1}, "seed"),
        ({"behaviour": "flying"}, "behaviour must be one of stable"),
        ({"behaviour": "failure"}, "failure_day goes with"),
        ({"failure_day": 3.0}, "failure_day goes with"),
        ({"behaviour": "failure", "failure_day": 400.0}, "within the days"),
        ({"alpha": 1.0}, "alpha"),
        ({"peak_ratio": (20.0, 5.0)}, "peak_ratio"),
        ({"jitter": 0.5}, "jitter"),
        ({"missing": 1.0}, "missing"),
        ({"cracks": 65}, "64 sensors"),
        ({"still": 3}, "still"),
        ({"days": 36_500.0, "step_s": 1}, "too many rows"),
        ({"noise_scale": math.inf}, "noise_scale"),
        ({"rate_mm_per_day": 0.0}, "rate_mm_per_day"),
        ({"cracks": 0, "rain": False, "pore_pressure": False, "temperature": False}, "channel"),
    ],
)
def test_a_slope_that_cannot_be_is_refused_in_words(change: dict, wanted: str) -> None:
    with pytest.raises(TalusError, match=wanted):
        SlopeSpec(**{"seed": 1, **change})


def test_hard_negatives_accelerate_and_stop() -> None:
    made = list(station_years(60, seed=1))
    assert made == list(station_years(60, seed=1))
    assert {spec.behaviour for spec in made} == set(BEHAVIOURS) - {"failure"}
    assert len({spec.seed for spec in made}) == 60
    stops = 0
    for spec in made[:20]:
        site = generate_site(spec)
        assert site.failure_ms is None
        assert np.isfinite(site.values).all()
        velocity, rate = site.truth.velocity_mm_per_day, spec.rate_mm_per_day
        for event in site.events:
            inside = (site.time_ms >= event.start_ms) & (site.time_ms <= event.end_ms)
            assert event.end_ms <= spec.start_ms + spec.days * DAY_MS
            if event.kind == "stopping":
                stops += 1
                assert 4.0 * rate <= event.peak_mm_per_day <= 19.0 * rate + 1e-9
                assert 1.5 <= event.alpha <= 2.5
                near = np.abs(site.time_ms - event.peak_ms) <= 3_600_000
                assert velocity[near].max() >= 0.5 * event.peak_mm_per_day
            assert velocity[inside][-1] <= 0.9 * velocity[inside].max() or spec.behaviour in {
                "seasonal", "rain_steps", "reservoir_steps",
            }  # fmt: skip
    assert stops > 20


def test_a_storm_comes_with_those_that_rain_drives() -> None:
    driven = generate_site(SlopeSpec(1, behaviour="stopping", rain_driven=1.0, storms_per_year=0))
    dry = generate_site(SlopeSpec(1, behaviour="stopping", rain_driven=0.0, storms_per_year=0))
    assert dry.values[:, dry.column("rain")].sum() == 0
    rain = driven.values[:, driven.column("rain")]
    for event in driven.events:
        assert event.rain_driven
        during = (driven.time_ms > event.start_ms - DAY_MS) & (driven.time_ms <= event.peak_ms)
        assert rain[during].sum() > 50.0
    assert len(driven.events) == len(dry.events) == 4
    for one, next_one in pairwise(driven.events):
        assert one.end_ms < next_one.start_ms


def test_failures_are_many_and_each_fails_before_its_record_ends() -> None:
    made = list(failures(40, seed=2))
    assert made == list(failures(40, seed=2)) != list(failures(40, seed=3))
    assert all(spec.step_s == 3600 and spec.behaviour == "failure" for spec in made)
    assert 1.5 <= min(s.alpha for s in made) < 1.7 < 2.3 < max(s.alpha for s in made) <= 2.5
    assert any(spec.stops for spec in made)
    assert any(not spec.stops for spec in made)
    for spec in made[:10]:
        site = generate_site(spec)
        assert site.failure_ms is not None
        assert site.time_ms[0] < site.failure_ms < site.time_ms[-1]
        alive = site.time_ms < site.failure_ms
        velocity = site.truth.velocity_mm_per_day[alive]
        assert velocity[-1] > 11.43 * spec.rate_mm_per_day
        assert (np.diff(velocity[-24:]) > 0).all()
