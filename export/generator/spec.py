"""What a made-up slope is to be like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from edge.errors import TalusError
from export.slope import START_MS

Behaviour = Literal[
    "stable", "creep", "seasonal", "rain_steps", "reservoir_steps", "stopping", "failure"
]
BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)
DAY_MS = 86_400_000
_MAX_VALUES = 50_000_000
"""Rows times channels, 400 MB."""


@dataclass(frozen=True, slots=True)
class SlopeSpec:
    """A station on a slope. The same spec gives the same site, bit for bit.

    Movement, weather and each sensor draw from streams of their own: to add a sensor, or to switch
    a channel off, changes nothing in the others. Raises TalusError where no slope can be so.
    """

    seed: int
    days: float = 365.0
    step_s: int = 3600
    behaviour: Behaviour = "creep"
    start_ms: int = START_MS

    cracks: int = 2
    extensometers: int = 0
    gnss: int = 0
    tilt_nodes: int = 0
    """Nodes of one column, the first at the top; the mass slides about the middle of it."""
    still: int = 0
    """So many of the displacement sensors, the last ones, stand outside of what moves."""
    rain: bool = True
    pore_pressure: bool = True
    soil_moisture: bool = False
    reservoir: bool = False
    temperature: bool = True

    noise_scale: float = 1.0
    """Times the noise of each sensor's preset."""
    temperature_scale: float = 1.0
    """Times the temperature coefficient of each sensor's preset; 0: none."""
    jitter: float = 0.0
    """Rows come up to this share of a step early or late."""
    missing: float = 0.0
    """Share of rows that never were."""

    rate_mm_per_day: float = 0.3
    """Background velocity: secondary creep, and the mean of the seasonal one; "stable" has none."""
    wet_day: float = 300.0
    """Day of the year about which most storms come."""
    storms_per_year: float = 60.0
    water_ratio: float | None = None
    """Peak of the velocity that rain (or drawdown) adds, times the rate.

    None: drawn from ``peak_ratio`` for "rain_steps" and "reservoir_steps", else 0.
    """
    stops: int | None = None
    """Accelerations that stop. None: four a year for "stopping", else 0."""
    peak_ratio: tuple[float, float] = (5.0, 20.0)
    """Peak velocity of what stops, times the rate: from, to."""
    rain_driven: float = 0.5
    """Share of the accelerations that stop which come with a storm."""

    alpha: float = 2.0
    """Voight's exponent, of a failure; what stops has exponents of its own (1.5 .. 2.5)."""
    failure_day: float | None = None
    onset_days: float = 20.0
    """From the onset of acceleration to the failure."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        mistakes = [text for holds, text in self._rules() if not holds]
        if mistakes:
            raise TalusError("; ".join(mistakes))

    @property
    def displacement_sensors(self) -> int:
        """Return how many sensors measure mm."""
        return self.cracks + self.extensometers + self.gnss

    @property
    def rows(self) -> int:
        """Return how many rows there would be, were none missing."""
        return max(1, round(self.days * 86_400 / self.step_s)) if self.step_s > 0 else 0

    def _rules(self) -> tuple[tuple[bool, str], ...]:
        counts = (self.cracks, self.extensometers, self.gnss, self.tilt_nodes, self.still)
        water = (self.rain, self.pore_pressure, self.soil_moisture)
        columns = sum(counts[:4]) + sum(water) + self.reservoir + self.temperature
        low, high = self.peak_ratio
        day = self.failure_day
        size_ok = _within(self.days, 0.0, 36_500.0) and 1 <= self.step_s <= 86_400 * 31
        return (
            (self.seed >= 0, "the seed must not be below 0"),
            (size_ok, "days must be above 0 .. 36500, step_s 1 .. 31 days"),
            (self.behaviour in BEHAVIOURS, f"behaviour must be one of {', '.join(BEHAVIOURS)}"),
            (min(counts) >= 0 and max(counts) <= 64, "there are 0 .. 64 sensors of a kind"),
            (columns > 0, "a station has at least one channel"),
            (self.still <= self.displacement_sensors, "still: more than there are sensors"),
            (not size_ok or self.rows * columns <= _MAX_VALUES, "too many rows: a larger step_s"),
            (_within(self.noise_scale, -1e-9, 1e3), "noise_scale must be 0 .. 1000"),
            (math.isfinite(self.temperature_scale), "temperature_scale must be a number"),
            (0.0 <= self.jitter < 0.5, "jitter must be 0 .. below 0.5 of a step"),
            (0.0 <= self.missing < 1.0, "missing must be 0 .. below 1"),
            (_within(self.rate_mm_per_day, 0.0, 1e4), "rate_mm_per_day must be above 0"),
            (_within(self.storms_per_year, -1e-9, 2000.0), "storms_per_year must be 0 .. 2000"),
            (math.isfinite(self.wet_day), "wet_day must be a number"),
            (self.water_ratio is None or 0 <= self.water_ratio <= 1e3, "water_ratio: 0 .. 1000"),
            (self.stops is None or 0 <= self.stops <= 1000, "stops must be 0 .. 1000"),
            (1.5 <= low <= high <= 100.0, "peak_ratio must be 1.5 .. 100, the lower first"),
            (0.0 <= self.rain_driven <= 1.0, "rain_driven must be 0 .. 1"),
            (1.1 <= self.alpha <= 4.0, "alpha must be 1.1 .. 4"),
            (_within(self.onset_days, 0.0, 3650.0), "onset_days must be above 0"),
            (
                (self.behaviour == "failure") == (day is not None),
                'failure_day goes with behaviour "failure", and "failure" with failure_day',
            ),
            (day is None or _within(day, 0.0, self.days), "failure_day must be within the days"),
        )


def _within(value: float, above: float, most: float) -> bool:
    """Return whether a number is above one and at most the other; NaN is not."""
    return above < value <= most
