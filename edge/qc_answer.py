"""How one channel answers to temperature, from block to block.

In plain floats, not arrays: of a station few channels answer to any, and a block comes every few
rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edge.qc_track import MEAN_TO_SD

DAY_BLOCKS = 8
FAST_D, SLOW_D = 4.0, 45.0
LEARN_D = 12.0
"""Days with temperature before a coefficient is compared."""
SURE, SURE_OF_USUAL = 4.0, 3.0
"""Coefficients differ by so many sd of the fast one, by so many of the slow one, and..."""
APPRECIABLE = 0.2
"""...by so much a degC, in sd of the noise of a reading."""
HEALED, HEAL_D = 0.5, 10.0
CUT, USUAL_D = 3.0, 15.0
"""A change counts up to so many of its usual sizes, over so many days, from its answer."""
_TINY = 1e-12
_KEEP_FAST, _KEEP_SLOW = (math.exp(-1.0 / (DAY_BLOCKS * days)) for days in (FAST_D, SLOW_D))


@dataclass(slots=True)
class Answer:
    """What is known of one channel."""

    fast: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Sums of xT, TT and xx, of changes x and T from block to block, over FAST_D."""
    slow: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """The same over SLOW_D."""
    drift: float = math.nan
    """Mean change."""
    heated_d: float = 0.0
    usual: float = 0.0
    """Usual size of a change, less its answer to temperature."""
    healing: float = 0.0
    hot: bool = False
    """It answers otherwise than it used to."""
    coefficient: float = math.nan
    """Unit a degC, over SLOW_D; NaN: not known."""

    @property
    def new(self) -> float:
        """What is new in its answer, unit a degC, or 0.0."""
        if not self.hot:
            return 0.0
        fast, slow = (xt / max(tt, _TINY) for xt, tt, _ in (self.fast, self.slow))
        return fast - slow

    def renew(self, change: float, warming: float, noise: float) -> None:
        """Take the change over a block, and that of the temperature; NaN: not known."""
        if change == change and self.drift != self.drift:
            self.drift = 0.0
        usable = change == change and warming == warming
        if usable:
            self._take(change, warming)
        fast, sd = self._fitted(self.fast, FAST_D)
        slow, unsure = self._fitted(self.slow, SLOW_D)
        known = self.heated_d >= LEARN_D
        ready = usable and known and self.fast[1] > 10.0
        apart, appreciable = abs(fast - slow), APPRECIABLE * noise
        far = apart > max(SURE * sd, SURE_OF_USUAL * unsure, appreciable)
        near = apart < HEALED * max(SURE * sd, appreciable)
        self.healing = self.healing + ready if self.hot and near else 0.0
        if ready:
            self.hot = self.healing <= HEAL_D * DAY_BLOCKS if self.hot else far
        self.coefficient = (fast if self.hot else slow) if known else math.nan

    def _take(self, change: float, t: float) -> None:
        off = change - self.drift
        self.drift += 0.1 * off
        x = self._cut(off, t)
        parts = x * t, t * t, x * x
        self.fast = [_KEEP_FAST * f + p for f, p in zip(self.fast, parts, strict=True)]
        if not self.hot:
            self.slow = [_KEEP_SLOW * f + p for f, p in zip(self.slow, parts, strict=True)]
            self.heated_d += 1.0 / DAY_BLOCKS

    def _cut(self, x: float, t: float) -> float:
        """Cut short what lies far off the answer to temperature: so the ground moves, at times."""
        xt, tt, _ = self.fast if self.hot else self.slow
        answer = xt / max(tt, _TINY) * t
        most = CUT * self.usual if self.heated_d > 1.0 else math.inf
        rate = 1.0 / min(max(DAY_BLOCKS * self.heated_d, 1.0), DAY_BLOCKS * USUAL_D)
        self.usual += rate * (MEAN_TO_SD * min(abs(x - answer), most) - self.usual)
        return answer + min(max(x - answer, -most), most)

    def _fitted(self, fit: list[float], days: float) -> tuple[float, float]:
        """Give the coefficient of a fit, and its sd."""
        xt, tt, xx = fit
        tt = max(tt, _TINY)
        seen = DAY_BLOCKS * min(days, self.heated_d)
        left = max(xx - xt * xt / tt, 0.0)
        return xt / tt, math.sqrt(2.0 * left / (tt * max(seen - 2.0, 1.0)))
