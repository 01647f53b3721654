"""A generated slope: storms, creep, accelerations that stop, and a failure that does not.

Numpy alone. Creep answers pore pressure; failure follows Fukuzono (1985) and Voight (1989) with
alpha = 2: the inverse of velocity falls linearly to zero. All of it is made up from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

Floats = npt.NDArray[np.float64]

CHANNELS = (
    "crack_1", "crack_2", "tilt_x", "tilt_y",
    "pore_pressure", "rain", "soil_moisture", "air_temperature",
)  # fmt: skip
"""Units: mm, mm, mrad, mrad, kPa, mm a step, m3/m3, degC."""
STEP_MS = 600_000
START_MS = 1_704_067_200_000
"""2024-01-01."""
_STEPS_A_DAY = 86_400_000 // STEP_MS
_NOISE = np.array([0.02, 0.02, 0.01, 0.01, 0.05, 0.0, 0.001, 0.1])


@dataclass(frozen=True, slots=True)
class Slope:
    """``values`` float64[steps, channels] in the order of CHANNELS; ``time_ms`` int64[steps]."""

    time_ms: npt.NDArray[np.int64]
    values: Floats
    velocity_mm_per_day: Floats


def generate(days: float, seed: int, *, failure_day: float | None = None) -> Slope:
    """Generate a slope; with ``failure_day`` it accelerates to failure at that day."""
    random = np.random.default_rng(seed)
    steps = round(days * _STEPS_A_DAY)
    day = np.arange(steps) / _STEPS_A_DAY
    rain = _rain(steps, random)
    moisture = _leaky(rain, 0.004, 3 * _STEPS_A_DAY, 0.18, 0.42)
    pressure = 12.0 + 60.0 * _smooth(moisture - 0.18, 1.5 * _STEPS_A_DAY)
    velocity = 0.15 + 0.25 * np.maximum(0.0, pressure - 14.0)
    velocity += _pulses(steps, random)
    if failure_day is not None:
        left = failure_day - day
        with np.errstate(divide="ignore"):
            fukuzono = np.where(left > 0, 6.0 / np.maximum(left, 0.02), 300.0)
        velocity += np.where(left < 6.0, fukuzono, 0.0)
    moved = np.cumsum(velocity) / _STEPS_A_DAY
    air = 8.0 + 9.0 * np.sin(2 * np.pi * (day - 110) / 365.25)
    air += 5.0 * np.sin(2 * np.pi * (day - 0.4)) + _smooth(random.normal(0, 8, steps), 50)
    rock = _smooth(air, 12)
    values = np.stack(
        [
            moved - 0.012 * rock,
            0.7 * moved - 0.010 * rock,
            0.35 * moved + 0.02 * rock,
            -0.12 * moved + 0.015 * rock,
            pressure,
            rain,
            moisture,
            air,
        ],
        axis=1,
    )
    values += _NOISE * random.standard_normal(values.shape)
    time_ms = START_MS + STEP_MS * np.arange(steps, dtype=np.int64)
    return Slope(time_ms, np.round(values, 3), velocity)


def _rain(steps: int, random: np.random.Generator) -> Floats:
    """Storms at random, about one in four days, each some hours long."""
    rain = np.zeros(steps)
    at = 0.0
    while True:
        at += random.exponential(4.0 * _STEPS_A_DAY)
        if at >= steps:
            return np.asarray(np.round(rain / 0.2) * 0.2)  # a tipping bucket of 0.2 mm
        length = int(random.integers(6, 90))
        burst = random.gamma(0.8, 0.35, length) * np.sin(np.linspace(0, np.pi, length))
        span = rain[int(at) : int(at) + length]
        span += burst[: len(span)]


def _leaky(flow: Floats, gain: float, steps: float, low: float, high: float) -> Floats:
    """Return a leaky bucket filled by ``flow``, between low and high."""
    level, out = low, np.empty_like(flow)
    for i, each in enumerate(flow):
        level = min(high, level + gain * each)
        level += (low - level) / steps
        out[i] = level
    return out


def _smooth(x: Floats, steps: float) -> Floats:
    """Return a causal exponential mean."""
    level, out, rate = float(x[0]), np.empty_like(x), 1.0 / steps
    for i, each in enumerate(x):
        level += (each - level) * rate
        out[i] = level
    return out


def _pulses(steps: int, random: np.random.Generator) -> Floats:
    """Accelerations that stop: the slope moves some days and comes to rest by itself."""
    extra = np.zeros(steps)
    for start in np.arange(9, steps / _STEPS_A_DAY, 17.0):
        begin = int((start + random.uniform(-4, 4)) * _STEPS_A_DAY)
        rise, fall = random.uniform(0.5, 1.5), random.uniform(1.0, 3.0)
        t = (np.arange(steps) - begin) / _STEPS_A_DAY
        shape = np.where(t < rise, t / rise, np.exp(-(t - rise) / fall))
        extra += random.uniform(0.5, 2.5) * np.where(t > 0, shape, 0.0)
    return extra


def write_csv(slope: Slope, path: Path) -> None:
    """Write ``time,<channels>`` with times in epoch ms, as talus replay and train read it."""
    with path.open("w", encoding="ascii") as file:
        file.write("time," + ",".join(CHANNELS) + "\n")
        for time_ms, row in zip(slope.time_ms, slope.values, strict=True):
            file.write(f"{time_ms}," + ",".join(f"{v:.3f}" for v in row) + "\n")
