"""A made-up site: what its sensors gave, and what was true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from export.generator.movement import (
    Event,
    background,
    driven_by_water,
    stop_event,
    stoppings,
    storms_of,
    water_events,
)
from export.generator.sensors import SiteChannel, make_channels, read_sensor
from export.generator.spec import DAY_MS, SlopeSpec
from export.generator.weather import Weather, make_weather
from firmware_bridge.reading import Quantity

if TYPE_CHECKING:
    from export.generator.voight import Floats

_1970_TO_2000_DAYS = 10_957
_REFERENCE_C = 10.0


@dataclass(frozen=True, slots=True)
class Truth:
    """What no instrument knows. Velocities are a day, in the unit of the channel."""

    moved_mm: Floats
    """Of the mass, float64[n]; NaN once it has failed."""
    velocity_mm_per_day: Floats
    moved: Floats
    """Of each channel, float64[n, channels]; for those that do not move, their true value."""
    velocity: Floats
    """Of each channel; 0 for those that do not move."""
    sensor_c: Floats
    """Temperature of the instruments."""


@dataclass(frozen=True, slots=True)
class Site:
    """Rows as measured: time_ms int64[n], values float64[n, channels] (NaN: torn off)."""

    spec: SlopeSpec
    time_ms: npt.NDArray[np.int64]
    channels: tuple[SiteChannel, ...]
    values: Floats
    truth: Truth
    failure_ms: int | None
    events: tuple[Event, ...]
    """In the order of their start."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(channel.name for channel in self.channels)

    def column(self, name: str) -> int:
        """Return the column of a channel."""
        return self.names.index(name)


def generate_site(spec: SlopeSpec) -> Site:
    """Make a site from its spec, the same every time.

    The mass moves by closed forms (`export.generator.voight`: Voight 1989, Fukuzono 1985) at the
    very times of the rows, and by what water adds, which is integrated on the grid. Each sensor
    shows a part of it, with its own noise, temperature coefficient and resolution. Once the mass
    has failed, at ``failure_ms``, what was on it is gone: NaN.
    """
    grid_day = np.arange(spec.rows) * (spec.step_s / 86_400.0)
    first = spec.start_ms / DAY_MS - _1970_TO_2000_DAYS
    stops = stoppings(spec)
    weather = make_weather(spec, grid_day, grid_day + first, storms_of(stops, spec.seed))
    keep, time_ms = _times(spec)
    day = (time_ms - spec.start_ms) / DAY_MS

    moved, velocity = background(spec, day, day + first)
    for stop in stops:
        more, faster = stop.added(day)
        moved, velocity = moved + more, velocity + faster
    water = driven_by_water(spec, weather)
    total = np.concatenate(([0.0], np.cumsum(0.5 * (water[1:] + water[:-1]) * np.diff(grid_day))))
    moved += np.interp(day, grid_day, total)
    velocity += np.interp(day, grid_day, water)

    events = [stop_event(spec, stop) for stop in stops] + water_events(spec, grid_day, water)
    failure_ms = None
    if spec.failure_day is not None:
        failure_ms = spec.start_ms + round(spec.failure_day * DAY_MS)
        onset_ms = max(spec.start_ms, failure_ms - round(spec.onset_days * DAY_MS))
        endless = float("inf")
        failure = Event("failure", onset_ms, failure_ms, failure_ms, endless, False, spec.alpha)
        events = [e for e in events if e.start_ms < failure_ms] + [failure]
        gone = time_ms >= failure_ms
        moved[gone], velocity[gone] = np.nan, np.nan
    channels = make_channels(spec)
    values, truth = _measured(spec, channels, keep, weather, moved, velocity)
    events.sort(key=lambda event: (event.start_ms, event.peak_ms))
    return Site(spec, time_ms, channels, values, truth, failure_ms, tuple(events))


def _times(spec: SlopeSpec) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return (steps of the grid that have a row, time_ms of the rows), the times ever rising."""
    random = np.random.default_rng([spec.seed, 6])
    step_ms = 1000 * spec.step_s
    there = random.random(spec.rows) >= spec.missing
    there[0] = True
    early = np.round(spec.jitter * step_ms * random.uniform(-1.0, 1.0, spec.rows))
    early[0] = 0.0
    keep = np.flatnonzero(there).astype(np.int64)
    return keep, spec.start_ms + keep * step_ms + early[keep].astype(np.int64)


def _measured(
    spec: SlopeSpec,
    channels: tuple[SiteChannel, ...],
    keep: npt.NDArray[np.int64],
    weather: Weather,
    moved: Floats,
    velocity: Floats,
) -> tuple[Floats, Truth]:
    """Return what the sensors gave, and the truth of each."""
    around = {
        Quantity.PORE_PRESSURE: weather.pressure_kpa,
        Quantity.SOIL_MOISTURE: weather.moisture,
        Quantity.WATER_LEVEL: weather.reservoir_m,
        Quantity.TEMPERATURE: weather.air_c,
    }
    shape = (len(keep), len(channels))
    values, true_values, speeds = np.empty(shape), np.empty(shape), np.zeros(shape)
    warmth = weather.sensor_c - _REFERENCE_C
    for i, channel in enumerate(channels):
        truth = np.full(spec.rows, np.nan)
        if channel.moves:
            truth[keep] = channel.factor * moved
            speeds[:, i] = channel.factor * velocity
        elif channel.quantity is Quantity.RAINFALL:  # a bucket counts on while no row is sent
            truth[keep] = np.diff(np.cumsum(weather.rain_mm)[keep], prepend=0.0)
        else:
            truth = around[channel.quantity]
        values[:, i] = read_sensor(spec, channel, truth, warmth)[keep]
        true_values[:, i] = truth[keep]
    whole = Truth(moved, velocity, true_values, speeds, weather.sensor_c[keep])
    return values, whole
