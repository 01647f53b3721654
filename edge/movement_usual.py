"""What is usual for a slope: its steady speed, its high speed, the fastest that came to rest.

Quantiles of the logarithm of the speed, followed step by step (Robbins and Monro 1951), and only
while nothing accelerates. What lies well above is learned slowly, so that a creep towards failure
does not become its own measure. O(1) a step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.movement_velocity import listed, refill

if TYPE_CHECKING:
    from edge.evidence import Bools, Floats

LEARN_D = 7.0
"""So long a slope is watched before its steady speed is believed."""
MEMORY_D = 90.0
STEADY, HIGH = 0.35, 0.99
"""Quantiles."""
STEADY_RATE, HIGH_RATE = 2.5, 10.0
MOST_STEADY, MOST_HIGH = 0.1, 0.02
"""The rate of neither is more at one step, however far apart readings are."""
RAISED, SLOWLY = 0.2, 0.2
"""What lies further above the steady speed, in its logarithm, is learned more slowly."""
GREW, KEPT = 1.3, 8
"""A record that is beaten by so much at once is kept beside the new one, so many a channel."""
HIGH_OVER_EQ = 6.0
"""The steady speed is never taken for less than this part of the high one: what noise and
temperature make of a slope at rest is its steady speed too."""


class Usual:
    """Of ``n`` channels, units a day; NaN until it is known."""

    def __init__(self, given_eq: Floats, given_max: Floats, least_d: float = LEARN_D) -> None:
        n = len(given_eq)
        self._least_d = least_d
        self._given_eq, self._given_max = given_eq, given_max
        self._configured = given_eq == given_eq
        self.log_eq, self.log_high = np.full(n, np.nan), np.full(n, np.nan)
        self.watched_d = np.zeros(n)
        self.record = np.nan_to_num(given_max, nan=0.0)
        """Fastest speed outside of an acceleration, or in one that stopped."""
        self.v_eq = given_eq.copy()
        """Steady speed: configured, or learned."""
        self._beaten: list[tuple[float, int, float]] = []
        """(time_ms, channel, record before it was beaten by far)."""

    def reset(self) -> None:
        """Forget what was learned."""
        for array in (self.log_eq, self.log_high):
            array.fill(np.nan)
        self.watched_d.fill(0.0)
        self.record[:] = np.nan_to_num(self._given_max, nan=0.0)
        self.v_eq[:] = self._given_eq
        self._beaten.clear()

    def learn(
        self, now_ms: float, dt_d: float, steady: Floats, fast: Floats, calm: Bools, sure: Bools,
        doubted: Bools,
    ) -> None:  # fmt: skip
        """Take one step: speed over a long window and over a short one; only where it is calm.

        ``sure`` bool[n]: sure enough for the record; ``doubted`` bool[n]: only good for that, since
        it may be taken out of it again.
        """
        known = calm & (steady > 0.0) & (fast > 0.0)
        speed = np.where(known & sure, fast, 0.0)
        log, log_fast = np.log(np.where(known, steady, 1.0)), np.log(np.where(known, fast, 1.0))
        first = known & (self.log_eq != self.log_eq)
        if first.any():
            self.log_eq[first], self.log_high[first] = log[first], log_fast[first]
        else:
            if doubted.any():  # before it is known it must learn
                known = known & ~(doubted & (self.watched_d >= self._least_d))
            self._follow(dt_d, log, log_fast, known)
        self._beat(now_ms, speed)
        learned = np.exp(np.fmax(self.log_eq, self.log_high - np.log(HIGH_OVER_EQ)))
        learned[self.watched_d < self._least_d] = np.nan
        self.v_eq[:] = np.where(self._configured, self._given_eq, learned)

    def _follow(self, dt_d: float, log: Floats, log_fast: Floats, known: Bools) -> None:
        self.watched_d += np.where(known, dt_d, 0.0)
        rate = dt_d / np.minimum(MEMORY_D, np.maximum(self.watched_d, 2.0))
        rate *= known
        above = log - self.log_eq
        step = STEADY - (above < 0.0)
        step *= STEADY_RATE * np.minimum(rate, MOST_STEADY)
        step[above > RAISED] *= SLOWLY
        self.log_eq += step
        step = HIGH - (log_fast < self.log_high)
        step *= HIGH_RATE * np.minimum(rate, MOST_HIGH)
        self.log_high += step

    def stopped(self, now_ms: float, which: Bools, fastest: Floats) -> None:
        """Take that accelerations, bool[n], came to rest after they had been as fast as that."""
        self._beat(now_ms, np.where(which, fastest, 0.0))

    def _beat(self, now_ms: float, speed: Floats) -> None:
        record = self.record
        far = speed > GREW * record
        if far.any():
            more = [(now_ms, i, float(record[i])) for i in np.flatnonzero(far).tolist()]
            self._beaten = [*self._beaten, *more][-KEPT * len(record) :]
        np.fmax(record, speed, out=record)

    def forgive(self, channel: int, since_ms: float) -> None:
        """Take that what a channel has done since was no movement: no record of it stands."""
        mine = [each for each in self._beaten if each[1] == channel and each[0] >= since_ms]
        self._beaten = [each for each in self._beaten if each not in mine]
        for _, _, before in mine:
            self.record[channel] = min(self.record[channel], before)

    def begin_anew(self, channel: int) -> None:
        """Forget what is usual of a channel, where it was learned of little else than an error."""
        if self.watched_d[channel] < self._least_d:
            self.log_eq[channel] = self.log_high[channel] = np.nan
            self.watched_d[channel] = 0.0

    def high(self) -> Floats:
        """Give the speed that is rarely exceeded."""
        return np.fmax(np.exp(self.log_high), self._given_max)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        beaten = [list(each) for each in self._beaten]
        return {name: listed(getattr(self, name)) for name in _KEPT} | {"beaten": beaten}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels; what is configured now stays."""
        for name in _KEPT:
            refill(getattr(self, name), state[name])
        self.v_eq[:] = np.where(self._configured, self._given_eq, self.v_eq)
        beaten = [(float(at), int(i), float(v)) for at, i, v in state.get("beaten", ())]
        if not all(0 <= i < len(self.record) and math.isfinite(at + v) for at, i, v in beaten):
            raise ValueError("records of other channels")
        self._beaten = beaten[-KEPT * len(self.record) :]


_KEPT = ("log_eq", "log_high", "watched_d", "record", "v_eq")
