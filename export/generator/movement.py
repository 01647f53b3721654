"""How the mass of a made-up slope moves, and what happened when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.generator.spec import DAY_MS
from export.generator.voight import Creep, Stopping
from export.generator.weather import YEAR_DAYS, Storm, smooth

if TYPE_CHECKING:
    from export.generator.spec import SlopeSpec
    from export.generator.voight import Floats
    from export.generator.weather import Weather

_STEP_FROM = 2.0
"""Water that adds so many times the rate makes a step: an event."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a person would point at in the plot."""

    kind: str
    """"stopping", "rain_step", "reservoir_step" or "failure"."""
    start_ms: int
    peak_ms: int
    """When it was fastest; of a failure, t_f."""
    end_ms: int
    peak_mm_per_day: float
    """Of the mass, above its background; infinite for a failure."""
    rain_driven: bool
    alpha: float | None
    """Voight's exponent; steps have none."""


def stoppings(spec: SlopeSpec) -> tuple[Stopping, ...]:
    """Return the accelerations that stop, one after the other with time between."""
    count = spec.stops
    if count is None:
        yearly = round(4.0 * spec.days / YEAR_DAYS)
        count = max(1, yearly) if spec.behaviour == "stopping" else 0
    until = spec.days
    if spec.failure_day is not None:
        until = max(0.0, spec.failure_day - spec.onset_days)
    random = np.random.default_rng([spec.seed, 3])
    slot = until / max(1, count)
    made = []
    for i in range(count if until > 0 else 0):
        low, high = np.log(spec.peak_ratio)
        ratio = float(np.exp(random.uniform(low, high)))
        life, decay = float(random.uniform(5.0, 25.0)), float(np.exp(random.uniform(-1.6, 1.4)))
        alpha = float(random.uniform(1.5, 2.5))
        driven = bool(random.random() < spec.rain_driven)
        place = float(random.uniform(0.05, 0.95))
        length = Stopping(0.0, Creep(1.0, life, alpha), ratio, decay, driven).end_day
        fit = min(1.0, 0.7 * slot / length)  # a short record has short ones
        start = slot * i + place * (slot - length * fit)
        creep = Creep(spec.rate_mm_per_day, life * fit, alpha)
        made.append(Stopping(start, creep, ratio, decay * fit, driven))
    return tuple(made)


def storms_of(stops: tuple[Stopping, ...], seed: int) -> list[Storm]:
    """Return the storms that drive accelerations: rain until shortly before the peak."""
    random = np.random.default_rng([seed, 4])
    made = []
    for stop in stops:
        length = max(0.25, min(4.0, 0.8 * (stop.peak_day - stop.start_day)))
        depth = float(random.uniform(60.0, 160.0))
        if stop.rain_driven:
            made.append(Storm(max(0.0, stop.start_day - 0.3), length, depth))
    return made


def driven_by_water(spec: SlopeSpec, weather: Weather) -> Floats:
    """Return mm a day that rain or drawdown adds, on the grid.

    By pore pressure above its usual, or the rate of drawdown some days before: the shape of it is
    physics, its size is set by the peak that the spec asks for.
    """
    ratio, a_day = spec.water_ratio, 86_400.0 / spec.step_s
    reservoir = spec.behaviour == "reservoir_steps"
    if ratio is None:
        low, high = spec.peak_ratio
        drawn = float(np.random.default_rng([spec.seed, 5]).uniform(low, high))
        ratio = drawn if reservoir or spec.behaviour == "rain_steps" else 0.0
    if reservoir:
        falling = np.maximum(0.0, -np.diff(weather.reservoir_m, prepend=weather.reservoir_m[0]))
        drive = np.maximum(0.0, smooth(falling * a_day, 12.0 * a_day) - 0.25)
    else:
        usual = np.quantile(weather.pressure_kpa, 0.6)
        drive = np.maximum(0.0, weather.pressure_kpa - usual) ** 1.5
    top = float(drive.max())
    return np.asarray(drive * (ratio * spec.rate_mm_per_day / top if top > 0 else 0.0))


def background(spec: SlopeSpec, day: Floats, year_day: Floats) -> tuple[Floats, Floats]:
    """Return (mm, mm a day) of the slope without water and without what stops."""
    rate = spec.rate_mm_per_day
    if spec.behaviour == "stable":
        return np.zeros(len(day)), np.zeros(len(day))
    if spec.behaviour == "seasonal":
        # cos^6 of half the year's angle: at rest for months, 3.2 times the mean at the peak.
        turn, waves = 2 * np.pi / YEAR_DAYS, ((1, 1.5), (2, 0.6), (3, 0.1))
        at, first = turn * (year_day - spec.wet_day), turn * (year_day - day - spec.wet_day)
        swing = sum(c / (k * turn) * (np.sin(k * at) - np.sin(k * first)) for k, c in waves)
        return rate * (day + swing), rate * (1.0 + sum(c * np.cos(k * at) for k, c in waves))
    if spec.failure_day is None:
        return rate * day, np.full(len(day), rate)
    creep = Creep(rate, spec.onset_days, spec.alpha)
    fails = round(spec.failure_day * DAY_MS) / DAY_MS
    onset = fails - spec.onset_days
    since = np.clip(day - onset, 0.0, spec.onset_days)
    before = np.minimum(day, onset)
    start = creep.moved(np.array([max(0.0, -onset)]))[0] + min(0.0, onset) * rate
    moved = before * rate + creep.moved(since) - start
    return np.asarray(moved), creep.velocity(since)


def water_events(spec: SlopeSpec, day: Floats, water: Floats) -> list[Event]:
    """Return the steps that water makes: from above a tenth of the rate until below it again."""
    rate = spec.rate_mm_per_day
    above = np.concatenate(([False], water > 0.1 * rate, [False]))
    edges = np.flatnonzero(np.diff(above.astype(np.int8)))
    kind = "reservoir_step" if spec.behaviour == "reservoir_steps" else "rain_step"
    made = []
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        peak = int(first + np.argmax(water[first:stop]))
        if water[peak] >= _STEP_FROM * rate:
            at = [_ms(spec, float(day[i])) for i in (first, peak, stop - 1)]
            top, rain = float(water[peak]), kind == "rain_step"
            made.append(Event(kind, at[0], at[1], at[2], top, rain, None))
    return made


def stop_event(spec: SlopeSpec, stop: Stopping) -> Event:
    """Return the event of an acceleration that stops."""
    at = [_ms(spec, day) for day in (stop.start_day, stop.peak_day, stop.end_day)]
    top = (stop.ratio - 1.0) * stop.creep.rate_mm_per_day
    return Event("stopping", at[0], at[1], at[2], top, stop.rain_driven, stop.creep.alpha)


def _ms(spec: SlopeSpec, day: float) -> int:
    return spec.start_ms + round(day * DAY_MS)
