"""When an acceleration sets in and when it is over. O(1) a step.

After PFTF (Leinauer et al. 2023): the shorter the window the faster, for most of PERSIST_D, and
faster than the slope is when it creeps steadily.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.movement_velocity import listed, refill

if TYPE_CHECKING:
    from edge.evidence import Bools, Floats

PERSIST_D = 0.5
BEGUN, OVER = 0.6, 0.15
"""Shares of PERSIST_D in which it accelerates: from the first it does, until the second."""
GAIN = 0.15
"""So much faster over the base window than over three of them is rising."""
AWAKE = 2.0
"""And so many times the steady speed."""
SLOWER = 0.7
"""Slower than so much of its fastest since the onset, and the acceleration is over."""


class Onset:
    """Of ``n`` channels."""

    def __init__(self, n: int) -> None:
        self.active = np.zeros(n, dtype=bool)
        self.fastest = np.zeros(n)
        """Since the onset."""
        self._share = np.zeros(n)

    def reset(self) -> None:
        """Forget the past."""
        for array in (self.active, self.fastest, self._share):
            array.fill(0)

    @property
    def calm(self) -> Bools:
        """Where nothing accelerates: what is seen there is usual."""
        return (self._share < 0.5 * BEGUN) & ~self.active

    def look(
        self, dt_d: float, gain: Floats, doubt: Floats, base: Floats, fast: Floats, v_eq: Floats
    ) -> Bools:
        """Take one step; give where an acceleration was over, bool[n].

        Args:
            dt_d: days since the last.
            gain: speed over the base window less that over three of them.
            doubt: what of it noise can make.
            base: speed over the base window.
            fast: speed over the shortest window that is sure of it.
            v_eq: steady speed; NaN, as any other: not known, which begins and ends nothing.

        """
        known = (gain == gain) & (v_eq == v_eq)
        rising = (gain > doubt) & (gain > GAIN * (base - gain)) & (base > AWAKE * v_eq)
        step = rising - self._share
        step *= 1.0 - math.exp(-dt_d / PERSIST_D)
        self._share += np.where(known, step, 0.0)
        begun: Bools = known & ~self.active & (self._share >= BEGUN)
        if not (self.active.any() or begun.any()):
            return begun  # nowhere
        self.fastest = np.where(self.active, np.fmax(self.fastest, fast), 0.0)
        over: Bools = known & self.active & ((self._share < OVER) | (fast < SLOWER * self.fastest))
        self.fastest[begun] = fast[begun]
        self._share[over] = 0.0
        self.active = (self.active | begun) & ~over
        return over

    def state(self) -> Floats:
        """Give active, fastest and share, [3, n]: for `undo`."""
        return np.array((self.active, self.fastest, self._share), dtype=float)

    def undo(self, channel: int, before: Floats) -> None:
        """Take that what a channel has done since it was in that `state` was a spike."""
        active, fastest, share = before[:, channel].tolist()
        if active == active and active and not self.active[channel]:
            self.active[channel] = True  # the way back down was no end
            self._share[channel] = max(share, float(self._share[channel]))
            self.fastest[channel] = fastest
        elif fastest == fastest:
            self.fastest[channel] = min(fastest, float(self.fastest[channel]))

    def forgive(self, channel: int) -> None:
        """Take that the speed of a channel was none: how fast it has been starts anew."""
        self.fastest[channel] = 0.0

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {name: listed(getattr(self, name)) for name in _KEPT}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        for name in _KEPT:
            refill(getattr(self, name), state[name])


_KEPT = ("active", "fastest", "_share")
