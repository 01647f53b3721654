"""Creep towards failure, and the same creep stopped, in closed form.

Voight (1989, Science 243:200): d2x/dt2 = A (dx/dt)^alpha. For alpha > 1 it integrates, with
``left`` the time to failure, to the inverse velocity of Fukuzono (1985):

    v = ((alpha - 1) A left) ^ (-p)        p = 1 / (alpha - 1)

so that 1/v falls in a straight line for alpha = 2. Written by the velocity v0 at the onset, T
before the failure: v = v0 (left / T)^-p, and A = 1 / ((alpha - 1) T v0^(alpha - 1)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_LEAST_LEFT = 1.0 / 86_400.0
"""One second, in days: velocity has no bound at failure."""


@dataclass(frozen=True, slots=True)
class Creep:
    """Tertiary creep that begins with a velocity and would fail after ``life_days``."""

    rate_mm_per_day: float
    life_days: float
    alpha: float

    @property
    def power(self) -> float:
        """Return p = 1 / (alpha - 1)."""
        return 1.0 / (self.alpha - 1.0)

    @property
    def a(self) -> float:
        """Return Voight's A for velocities in mm a day."""
        rate = math.pow(self.rate_mm_per_day, self.alpha - 1.0)
        return 1.0 / ((self.alpha - 1.0) * self.life_days * rate)

    def velocity(self, since_days: Floats) -> Floats:
        """Return mm a day at times since the onset (0 .. life_days)."""
        return np.asarray(self.rate_mm_per_day * self._part_left(since_days) ** -self.power)

    def moved(self, since_days: Floats) -> Floats:
        """Return mm since the onset: the integral of `velocity`."""
        rest = 1.0 - self.power
        log_left = np.log(self._part_left(since_days))
        # -(r^rest - 1) / rest; written so that alpha = 2 (rest = 0) is its own limit, -ln r.
        grown = -log_left if abs(rest) < 1e-12 else -np.expm1(rest * log_left) / rest
        return np.asarray(self.rate_mm_per_day * self.life_days * grown)

    def days_until(self, ratio: float) -> float:
        """Return the days from the onset until the velocity is ``ratio`` times the first."""
        return self.life_days * (1.0 - math.pow(ratio, 1.0 - self.alpha))

    def _part_left(self, since_days: Floats) -> Floats:
        left = np.maximum(self.life_days - since_days, _LEAST_LEFT)
        return np.asarray(left / self.life_days)


@dataclass(frozen=True, slots=True)
class Stopping:
    """An acceleration that looks like `Creep` until its peak, then decays back to its first rate.

    What it adds to a slope that moves with that rate all the time. No formula: slopes driven by
    water come to rest so, exponentially, as the water drains.
    """

    start_day: float
    creep: Creep
    ratio: float
    decay_days: float
    rain_driven: bool

    @property
    def peak_day(self) -> float:
        """Return the day from which it slows down."""
        return self.start_day + self.creep.days_until(self.ratio)

    @property
    def end_day(self) -> float:
        """Return the day when a tenth of the first rate is left of what it added."""
        return self.peak_day + self.decay_days * math.log(max(1.0, 10.0 * (self.ratio - 1.0)))

    def added(self, day: Floats) -> tuple[Floats, Floats]:
        """Return (mm, mm a day) that it adds at each day."""
        rate = self.creep.rate_mm_per_day
        rise_days = self.peak_day - self.start_day
        since = np.clip(day - self.start_day, 0.0, rise_days)
        after = np.maximum(day - self.peak_day, 0.0)
        fading = np.exp(-after / self.decay_days)
        top = (self.ratio - 1.0) * rate
        moved = self.creep.moved(since) - rate * since + top * self.decay_days * (1.0 - fading)
        rising = self.creep.velocity(since) - rate
        return np.asarray(moved), np.where(after > 0.0, top * fading, rising)
