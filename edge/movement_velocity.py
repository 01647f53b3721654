"""Velocity over several windows by recursive robust regression, with its noise. O(1) a step.

Each channel and window holds the sums of a straight line fitted with weights exp(-age / tau),
tau = window / 4: 98 % of the weight lies within the window, and the slope is that of window / 2
ago, as with a plain regression over the window. Readings far off the line count less (Huber 1964).
White noise of sd s leaves a slope of sd s / (2 tau sqrt(S0)), S0 being the sum of weights.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.evidence import Bools, Floats

DAY_MS = 86_400_000
HUBER = 2.5
"""Residuals beyond so many noise sd count less."""
LEAST_WEIGHT = 1.8
"""Sum of weights from which on a line is a line: six readings in a window have 2.05."""
BELIEVED = 2
"""So many readings off the line to the same side, one after another, are no spike: all count."""
SPREAD = 0.7
"""The times of readings must lie apart by so much of what they do without a gap (sd over tau): of
less, as after a gap, a day's swing of temperature is a trend. Three quarters of a window do."""
STALE = 3
"""Steps without a reading after which a slope is that of the past, and not known."""
NOISE_TAU_D = 5.0
_LEAST_NOISE = 1e-12
_ABS_TO_SD = 1.2533
"""The mean of |residual| times this is the sd of normal noise."""


class Velocities:
    """Slopes of ``n`` channels over windows: ``slope`` and ``sd`` [windows, n], units a day."""

    def __init__(self, noise_sd: Sequence[float], windows_ms: Sequence[int], step_ms: int) -> None:
        self.windows_d = np.array(windows_ms) / DAY_MS
        self._half = 0.5 * self.windows_d[:, None]
        self._stale_d = STALE * step_ms / DAY_MS
        self._tau = self.windows_d / 4.0
        enough = np.flatnonzero(self._tau >= 3 * step_ms / DAY_MS)
        self._guide = int(enough[0]) if len(enough) else len(self._tau) - 1
        self._given = np.array(noise_sd, dtype=float)
        self._learns = bool(np.isnan(self._given).any())
        w, n = len(self._tau), len(self._given)
        self.slope = np.full((w, n), np.nan)
        self.sd = np.full((w, n), np.nan)
        self._sums = np.zeros((5, w, n))  # S0, S1, S2, X0, X1; times relative to now
        self._room = np.empty((2, w, n))
        self._zero = np.full(n, np.nan)  # readings are taken relative to the first
        self._age_d = np.zeros(n)  # since the first reading
        self._silent_d = np.zeros(n)
        self._noise = np.full(n, np.nan)
        self._run = np.zeros(n)  # readings in a row off the line, to which side
        self._jumped = False  # any of them
        self._dt = math.nan
        self._decay = np.zeros((w, 1))
        self.noise_sd = self._given.copy()
        """As configured, or as learned from what lies off the line."""

    def reset(self) -> None:
        """Forget the past."""
        for array in (self.slope, self.sd, self._zero, self._noise):
            array.fill(np.nan)
        for array in (self._sums, self._run, self._age_d, self._silent_d):
            array.fill(0.0)
        self._jumped = False
        self.noise_sd = self._given.copy()

    def push(self, dt_d: float, given: Floats, learn: Bools) -> Floats:
        """Take one step, so many days after the last; NaN is missing. Give what each counts for.

        ``learn`` bool[n] says whose noise may be learned from it.
        """
        self._age(dt_d)
        x = given - self._zero
        here = x == x
        if not here.all():
            fresh = ~here & (given == given) & (self._zero != self._zero)
            if fresh.any():
                self._zero[fresh] = given[fresh]
                self._age_d[fresh] = 0.0
                x[fresh] = 0.0
                here |= fresh
            x[~here] = 0.0
        weight = self._weigh(dt_d, x, here, learn)
        s0, _, _, x0, _ = self._sums
        s0 += weight
        x *= weight
        x0 += x
        self._silent_d[here] = 0.0
        return weight

    def _age(self, dt_d: float) -> None:
        """Move the origin of time to now, and let the weights fade."""
        if dt_d != self._dt:
            self._dt = dt_d
            self._decay = np.exp(-dt_d / self._tau)[:, None]
        s0, s1, s2, x0, x1 = self._sums
        a, b = self._room
        np.multiply(s0, dt_d, out=a)
        np.multiply(s1, -2.0, out=b)
        b += a
        b *= dt_d
        s2 += b
        s1 -= a
        np.multiply(x0, dt_d, out=a)
        x1 -= a
        self._sums *= self._decay
        self._age_d += dt_d
        self._silent_d += dt_d

    def _weigh(self, dt_d: float, x: Floats, here: Bools, learn: Bools) -> Floats:
        """Give the weight of each reading by how far it lies off the line of a short window."""
        error = x - self._level()
        off = np.abs(error)
        noise = self.noise_sd
        limit = HUBER * noise
        out = (off > limit) & here  # where either is not known, it is not
        weight = here.astype(float)
        if self._jumped or out.any():
            side = np.sign(error)
            again = out & (side * self._run > 0)
            # Where there is no reading, or no line for a while, a run that was is not over.
            rest = np.where(here & (error == error), 0.0, self._run)
            self._run = np.where(again, self._run + side, np.where(out, side, rest))
            self._jumped = bool(self._run.any())
            fading = out & (np.abs(self._run) < BELIEVED)
            weight[fading] = limit[fading] / off[fading]
        if self._learns:
            self._learn(dt_d, off, here & (off == off), learn)
        return weight

    def _learn(self, dt_d: float, off: Floats, known: Bools, learn: Bools) -> None:
        noise = self._noise
        first = known & (noise != noise)
        if first.any():
            noise[first] = np.maximum(_ABS_TO_SD * off[first], _LEAST_NOISE)
        rate = min(0.2, dt_d / NOISE_TAU_D)
        step = np.minimum(_ABS_TO_SD * off, 5.0 * noise)  # clipped against what jumps
        step -= noise
        step *= rate
        noise += np.where(known & learn, step, 0.0)
        np.maximum(noise, _LEAST_NOISE, out=noise)
        self.noise_sd = np.where(self._given == self._given, self._given, noise)

    def _level(self) -> Floats:
        """Give where the line of a short window lies now; NaN without one."""
        s0, s1, s2, x0, x1 = self._sums[:, self._guide]
        spread = s0 * s2 - s1 * s1
        level: Floats = s2 * x0 - s1 * x1
        bare = (s0 < LEAST_WEIGHT) | (spread <= 1e-9 * s0 * s0)
        spread[bare] = np.nan
        level /= spread
        return level

    def solve(self) -> None:
        """Renew ``slope`` and ``sd``."""
        s0, s1, s2, x0, x1 = self._sums
        spread = s0 * s2 - s1 * s1
        warm = (s0 >= LEAST_WEIGHT) & (spread > 0.0)
        warm &= self._age_d >= self._half
        warm &= self._silent_d <= np.minimum(self._half, self._stale_d)
        warm &= spread >= (SPREAD * s0 * self._tau[:, None]) ** 2
        spread[~warm] = np.nan
        np.multiply(s0, x1, out=self.slope)
        self.slope -= s1 * x0
        self.slope /= spread
        weight = np.maximum(s0, 1e-12)
        np.divide(self.noise_sd, np.sqrt(weight), out=self.sd)
        self.sd /= self._half  # 2 tau is half of the window

    def undo(self, channel: int, ago_d: float, excess: float) -> None:
        """Take ``excess`` (times its weight) out of a reading of a while ago."""
        faded = excess * np.exp(-ago_d / self._tau)
        self._sums[3, :, channel] -= faded
        self._sums[4, :, channel] += ago_d * faded

    def line(self, channel: int) -> Floats:
        """Give the sums of the lines of a channel, [5, windows]: for `aged` and `replace`."""
        return self._sums[:, :, channel].copy()

    def replace(self, channel: int, line: Floats, by: float) -> None:
        """Put other sums in the place of those of a channel, which reads ``by`` more from now."""
        self._sums[:, :, channel] = line
        self._zero[channel] += by

    def restart(self, channel: int) -> None:
        """Begin the lines of a channel anew; what is known of its noise is kept."""
        self._zero[channel] = np.nan
        self._run[channel] = self._silent_d[channel] = 0.0
        self._sums[:, :, channel] = 0.0
        self.slope[:, channel] = self.sd[:, channel] = np.nan

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {name: listed(getattr(self, name)) for name in _KEPT} | {"jumped": self._jumped}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels and windows."""
        for name in _KEPT:
            refill(getattr(self, name), state[name])
        self._jumped = bool(state["jumped"])
        self.noise_sd = np.where(self._given == self._given, self._given, self._noise)


_KEPT = ("slope", "sd", "_sums", "_zero", "_age_d", "_silent_d", "_noise", "_run")


def aged(line: Floats, dt_d: float, windows_d: Floats) -> Floats:
    """Give the sums of a line, [5, windows], so many days later: as `Velocities` ages its own."""
    s0, s1, s2, x0, x1 = line
    later = (s0, s1 - dt_d * s0, s2 - 2.0 * dt_d * s1 + dt_d * dt_d * s0, x0, x1 - dt_d * x0)
    return np.asarray(np.array(later) * np.exp(-4.0 * dt_d / windows_d))


def listed(array: Floats) -> list[Any]:
    """Give an array as JSON-ready values, NaN as None."""
    return [None if v != v else float(v) for v in array.ravel().tolist()]


def refill(array: Floats, values: list[Any]) -> None:
    """Fill an array with what `listed` gave; ValueError where there is not as much of it."""
    array[...] = np.array(values, dtype=float).reshape(array.shape)
