"""Time to failure from the inverse velocity, with its interval, and Voight's exponent. O(1) a step.

Voight (1989): d2x/dt2 = A (dx/dt)^alpha, so v^(1 - alpha) falls linearly to zero at failure; with
alpha = 2 that is Fukuzono's 1/v. From where a slope is no longer calm a line is fitted for each of
some exponents, with weights that make the relative error of v count alike and forget over FORGET_D.
The error of t_f follows by the delta method with g = (b/a^2, -1/a), widened for how few of the
velocities are independent, and by the spread between the exponents that fit about as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge.movement_velocity import listed, refill

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge.evidence import Bools, Floats

    Places = npt.NDArray[np.intp]

ALPHAS = (1.5, 1.625, 1.75, 1.875, 2.0, 2.125, 2.25, 2.375, 2.5)
FORGET_D = 4.0
LEAST_POINTS = 8.0
"""So many steps (those forgotten count less) make a line."""
WIDTH = 1.0
"""sd to either side, on top of the spread between exponents: with both, 90 % is covered."""
LEAST_SHARE, LEAST_STEPS = 0.3, 1.5
"""To either side at least this share of the time left, and so many steps."""
FIT_SLACK = 1.3
"""Exponents whose residuals are at most so many times the least are as good."""
FURTHEST_D = 60.0
"""A failure further off than this is not seen."""


class FailureTime:
    """Of ``n`` channels: days to failure from now, [n] each; NaN where none is seen."""

    def __init__(self, n: int, alpha: float | None, step_d: float) -> None:
        self.alphas = np.array(ALPHAS if alpha is None else (alpha,))
        self._least_d = LEAST_STEPS * step_d
        self.best, self.low, self.high = (np.full(n, np.nan) for _ in range(3))
        self.alpha = np.full(n, np.nan)
        """Exponent that fits best."""
        # S0 S1 S2 Y0 Y1 YY, times relative to now; and how many
        self._sums = np.zeros((7, n, len(self.alphas)))
        self._scale = np.full(n, np.nan)  # velocity at its begin: y is dimensionless
        self.runs = np.zeros(n, dtype=bool)
        """Where a line is fitted."""

    def reset(self) -> None:
        """Forget all."""
        self.end(np.ones(len(self.best), dtype=bool))

    def begin(self, which: Bools, velocity: Floats) -> None:
        """Start a fit for channels, bool[n], that may have begun to accelerate."""
        self._sums[:, which, :] = 0.0
        self._scale[which] = velocity[which]
        self.runs = self.runs | which

    def end(self, which: Bools) -> None:
        """Give up the fit for channels, bool[n], that are calm."""
        for array in (self.best, self.low, self.high, self.alpha, self._scale):
            array[which] = np.nan
        self.runs = self.runs & ~which
        self._sums[:, which, :] = 0.0

    def push(
        self, dt_d: float, which: Places, velocity: Floats, lag_d: Floats, overlap: Floats
    ) -> None:
        """Take one step of the channels ``which``; the rest as long.

        Args:
            dt_d: days since the last.
            which: places of those that accelerate.
            velocity: NaN where it does not count.
            lag_d: how long ago that velocity was.
            overlap: how many steps share one independent velocity.

        """
        sums = self._sums[:, which]
        s0, s1, s2, y0, y1, _, _ = sums
        s2 += dt_d * (dt_d * s0 - 2.0 * s1)
        s1 -= dt_d * s0
        y1 -= dt_d * y0
        sums *= np.exp(-dt_d / FORGET_D)
        ratio = velocity / self._scale[which]
        live = ratio > 0.0
        y = np.where(live, ratio, 1.0)[:, None] ** (1.0 - self.alphas)
        w = np.where(live[:, None], np.minimum(1.0 / (y * y), 1e12), 0.0)
        d = -lag_d[:, None]
        wd, wy = w * d, w * y
        for i, part in enumerate((w, wd, wd * d, wy, wy * d, wy * y, live[:, None])):
            sums[i] += part
        self._sums[:, which] = sums
        self._solve(which, sums, overlap[:, None])

    def _solve(self, which: Places, sums: Floats, overlap: Floats) -> None:
        s0, s1, s2, y0, y1, yy, count = sums
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            spread = s0 * s2 - s1 * s1
            a = (s0 * y1 - s1 * y0) / spread
            b = (s2 * y0 - s1 * y1) / spread
            left = np.maximum(yy - a * y1 - b * y0, 0.0)
            factor = left / np.maximum(count - 2.0, 1.0) * overlap
            var_a, var_b, cov = factor * s0 / spread, factor * s2 / spread, -factor * s1 / spread
            t = -b / a
            g0, g1 = b / (a * a), -1.0 / a
            sd = np.sqrt(g0 * g0 * var_a + g1 * g1 * var_b + 2.0 * g0 * g1 * cov)
            relative = left / np.maximum(yy - y0 * y0 / s0, 1e-300)
            good = (count >= LEAST_POINTS) & (a < 0) & (t > -1.0) & (t < FURTHEST_D)
        relative = np.where(good & np.isfinite(sd), relative, np.inf)
        pick = np.argmin(relative, axis=1)
        rows = np.arange(len(which))
        least = relative[rows, pick]
        seen = np.isfinite(least)
        fits = np.isfinite(relative) & (relative <= FIT_SLACK * least[:, None] + 1e-12)
        best = np.where(seen, np.maximum(t[rows, pick], 0.0), np.nan)
        wide = WIDTH * sd
        low = np.min(t - wide, axis=1, initial=np.inf, where=fits)
        high = np.max(t + wide, axis=1, initial=-np.inf, where=fits)
        least_d = LEAST_SHARE * best + self._least_d
        self.best[which] = best
        self.low[which] = np.maximum(np.minimum(low, best - least_d), 0.0)
        self.high[which] = np.maximum(high, best + least_d)
        self.alpha[which] = np.where(seen, self.alphas[pick], np.nan)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {name: listed(getattr(self, name)) for name in _KEPT}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        for name in _KEPT:
            refill(getattr(self, name), state[name])
        self.runs = self._scale == self._scale


_KEPT = ("best", "low", "high", "alpha", "_sums", "_scale")
