"""Which windows tell the speed now, before, and usually; and which stand in for them after a gap.

The base window tells the speed, three of them what it was before. After a gap neither is known for
most of its length, and a slope must not be taken for calm all that time: the longest known window
below the base stands in for it, and for the one of before the next longer, which spans the gap, or
else the steady speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge.evidence import Bools, Floats

    Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Compared:
    """Speed now against before, of ``n`` channels, units a day; NaN where there is none."""

    near: Places
    """Window of the speed now."""
    speed: Floats
    gain: Floats
    """Speed now less that of before."""
    noise: Floats
    """sd of the gain."""
    whole: Bools
    """Nothing stood in."""


class Windows:
    """The windows of ``n`` channels, by their places ``base`` and ``long``."""

    def __init__(self, n: int, base: int, long: int) -> None:
        self._base, self._long = base, long
        self._places = np.arange(n)
        self._bases, self._all = np.full(n, base), np.ones(n, dtype=bool)

    def compare(self, slope: Floats, sd: Floats, v_eq: Floats) -> Compared:
        """Compare speeds, ``slope`` and ``sd`` [windows, n], with those of before."""
        speed, before = slope[self._base], slope[self._long]
        gain = speed - before
        noise = np.hypot(sd[self._base], sd[self._long])
        whole = gain == gain
        if whole.all():
            return Compared(self._bases, speed, gain, noise, self._all)
        known = slope == slope
        near = self._last_known(known)
        speed, near_sd = slope[near, self._places], sd[near, self._places]
        longer = known[self._long :]
        some = longer.any(axis=0)
        far = self._long + np.argmax(longer, axis=0)
        before = np.where(some, slope[far, self._places], v_eq)
        noise = np.where(some, np.hypot(near_sd, sd[far, self._places]), near_sd)
        return Compared(near, speed, speed - before, noise, whole)

    def _last_known(self, known: Bools) -> Places:
        """Give the base window, or where it is not known the longest below it that is."""
        up_to = known[self._base :: -1]
        return np.where(up_to.any(axis=0), self._base - np.argmax(up_to, axis=0), self._base)

    def shortest(self, slope: Floats) -> Places:
        """Give the base window, or where it is not known, the shortest that is."""
        unknown = slope[self._base] != slope[self._base]
        if not unknown.any():
            return self._bases
        known = slope[: self._base] == slope[: self._base]
        found = np.where(known.any(axis=0), np.argmax(known, axis=0), self._base)
        return np.where(unknown, found, self._base)

    def steady(self, slope: Floats) -> Floats:
        """Give the speed over the longest window that is known, the base at least."""
        steady: Floats = slope[-1]
        for i in range(len(slope) - 2, self._base - 1, -1):
            unknown = steady != steady
            if not unknown.any():
                break
            steady = np.where(unknown, slope[i], steady)
        return steady
