"""Rain, the water it leaves in the ground, a reservoir, and temperature, on a regular grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from export.generator.spec import SlopeSpec
    from export.generator.voight import Floats

YEAR_DAYS = 365.25
_TIP_MM = 0.2
_MONTHS = (0.0, 10.0, 100.0, 130.0, 161.0, 250.0, 305.0, 365.25)
_LEVEL_M = (174.5, 174.0, 163.0, 156.0, 146.0, 146.0, 174.5, 174.5)
"""A reservoir that is drawn down until June for the floods and filled in autumn."""
_DRIEST, _WETTEST = 0.16, 0.44


@dataclass(frozen=True, slots=True)
class Storm:
    """Rain of a length from a day on."""

    start_day: float
    length_days: float
    depth_mm: float


@dataclass(frozen=True, slots=True)
class Weather:
    """One value a step of the grid, float64[steps]."""

    rain_mm: Floats
    moisture: Floats
    pressure_kpa: Floats
    reservoir_m: Floats
    air_c: Floats
    sensor_c: Floats
    """Air, an hour's lag behind: what the instruments feel."""


def leaky(x: Floats, steps: float) -> Floats:
    """Return y[t] = x[t] + k y[t-1] with k = exp(-1 / steps), by doubling instead of a loop."""
    log_k, reach = -1.0 / max(steps, 1e-6), 1
    y = x.copy()
    while reach < len(y) and reach * log_k > -30.0:
        y[reach:] += np.exp(reach * log_k) * y[:-reach]
        reach *= 2
    return y


def smooth(x: Floats, steps: float) -> Floats:
    """Return a causal exponential mean, begun as if the first value had always been."""
    first = float(x[0]) if len(x) else 0.0
    return np.asarray(first + leaky(x - first, steps) * -np.expm1(-1.0 / max(steps, 1e-6)))


def coloured(n: int, sd: float, steps: float, random: np.random.Generator) -> Floats:
    """Return noise that forgets itself over so many steps (AR(1)), of that sd from the first on."""
    k = np.exp(-1.0 / max(steps, 1e-6))
    shock = sd * np.sqrt(1.0 - k * k) * random.standard_normal(n)
    if n:
        shock[0] = sd * random.standard_normal()
    return leaky(shock, steps)


def make_weather(spec: SlopeSpec, day: Floats, year_day: Floats, extra: list[Storm]) -> Weather:
    """Return the weather of a site; ``extra`` storms come besides its own."""
    random = np.random.default_rng([spec.seed, 1])
    a_day = 86_400.0 / spec.step_s
    rain = _rain(day, _storms(spec, float(year_day[0]), random) + extra, 1.0 / a_day, random)
    stored_mm = leaky(rain, 6.0 * a_day)
    moisture = _DRIEST + (_WETTEST - _DRIEST) * -np.expm1(-stored_mm / 60.0)
    pressure = 12.0 + 60.0 * smooth(moisture - _DRIEST, 1.5 * a_day)
    flood = np.maximum(0.0, coloured(len(day), 0.8, 8.0 * a_day, random))
    reservoir = np.interp(year_day % YEAR_DAYS, _MONTHS, _LEVEL_M) + smooth(flood, 2.0 * a_day)
    air = 11.0 + 9.0 * np.sin(2 * np.pi * (year_day - 110.0) / YEAR_DAYS)
    air += 4.5 * np.sin(2 * np.pi * (year_day - 0.4)) + coloured(len(day), 3.0, 3 * a_day, random)
    return Weather(rain, moisture, pressure, reservoir, air, smooth(air, a_day / 24.0))


def _storms(spec: SlopeSpec, first: float, random: np.random.Generator) -> list[Storm]:
    """Return storms at random, most of them in the wet season, few of them large."""
    season = 0.8
    n = int(random.poisson((1.0 + season) * spec.storms_per_year * spec.days / YEAR_DAYS))
    start = random.uniform(0.0, spec.days, n)
    phase = 2 * np.pi * (start + first - spec.wet_day) / YEAR_DAYS
    keep = random.uniform(0.0, 1.0 + season, n) < 1.0 + season * np.cos(phase)
    length = np.clip(random.lognormal(np.log(9.0), 0.6, n), 1.0, 60.0) / 24.0
    depth = np.clip(random.lognormal(np.log(11.0), 0.9, n), 0.4, 250.0)
    columns = zip(start[keep], length[keep], depth[keep], strict=True)
    return [Storm(float(s), float(t), float(mm)) for s, t, mm in columns]


def _rain(
    day: Floats, storms: list[Storm], step_days: float, random: np.random.Generator
) -> Floats:
    """Return mm a step as a tipping bucket counts them: the rain that fell until the row."""
    rain = np.zeros(len(day))
    for storm in storms:
        first = max(0, int(np.floor(storm.start_day / step_days)))
        last = int(np.ceil((storm.start_day + storm.length_days) / step_days))
        edges = (np.arange(first, last + 1) * step_days - storm.start_day) / storm.length_days
        share = np.diff(-0.5 * np.cos(np.pi * np.clip(edges, 0.0, 1.0)))
        share *= random.gamma(1.5, 1.0, len(share))
        share *= storm.depth_mm / max(float(share.sum()), 1e-12)
        span = rain[first + 1 : last + 1]
        span += share[: len(span)]
    tips = np.floor(np.cumsum(rain) / _TIP_MM + 1e-9)
    return np.asarray(np.round(np.diff(tips, prepend=0.0) * _TIP_MM, 1))
