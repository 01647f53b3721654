"""Slow faults: a channel that leaves its neighbours, or answers to temperature as never before.

Every BLOCK of hours the means of the values are looked at; whatever this costs is little a reading.

temperature   change from block to block against that of the temperature: a recursive least squares
              fit over FAST_D against one over SLOW_D, which rests while they differ; what lies far
              off is cut short, for the ground that moves on a warm day does not answer to it
drift         the means of days, temperature taken out, against the neighbours: see qc_drift
"""

from __future__ import annotations

import math
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.flags import NOTHING, Flag
from edge.qc_drift import Drift
from edge.qc_track import MEAN_TO_SD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.evidence import Bools, Floats
    from edge.qc_plan import QcChannel

HOUR_MS = 3_600_000
BLOCK_MS = 3 * HOUR_MS
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


class Agreement:
    """The slow faults of one station."""

    def __init__(self, channels: Sequence[QcChannel]) -> None:
        n = len(channels)
        self._channels = channels
        self._warm = np.array([c.temperature for c in channels])
        self._judged = np.array([c.moves for c in channels], dtype=bool)
        self._heated = self._judged & (self._warm >= 0)
        self._sum, self._count = np.zeros(n), np.zeros(n)
        self._sums: list[float] = []
        """`_sum` while rows are whole, in plain floats; empty where it is not newer."""
        self._block, self._wholes = -1, 0
        self._mean = np.full(n, np.nan)
        self._day_sum, self._day_count, self._blocks = np.zeros(n), np.zeros(n), 0
        self._day = -1
        # Changes from block to block: sums of xT, TT, xx over FAST_D and SLOW_D; mean change.
        self._fit = np.zeros((2, 3, n))
        self._drift = np.full(n, np.nan)
        self._heated_d = np.zeros(n)
        self.coefficient = np.full(n, np.nan)
        """Unit a degC, over SLOW_D; NaN: not known."""
        self.hot = np.zeros(n, dtype=bool)
        self._healing = np.zeros(n)
        self._usual = np.zeros(n)
        """Usual size of a change, less its answer to temperature."""
        self.drift = Drift(channels)

    def reset(self) -> None:
        """Let go of the block at hand: the time line began anew."""
        self._sums = []
        for array in (self._sum, self._count, self._day_sum, self._day_count):
            array.fill(0.0)
        self._block = self._day = -1
        self._blocks = self._wholes = 0
        self._mean.fill(np.nan)

    def push(self, time_ms: int, values: Floats, noise: Floats) -> bool:
        """Take what the models get of one row; whether a block ended and flags may be others."""
        ended = time_ms // BLOCK_MS != self._block and self._turn(time_ms // BLOCK_MS, noise)
        here = values == values
        self._gather()
        self._sum[here] += values[here]
        self._count[here] += 1.0
        return ended

    def push_whole(self, time_ms: int, values: list[float], noise: Floats) -> bool:
        """Take a row with nothing missing."""
        ended = time_ms // BLOCK_MS != self._block and self._turn(time_ms // BLOCK_MS, noise)
        sums = self._sums or self._sum.tolist()
        self._sums = list(map(add, sums, values))
        self._wholes += 1
        return ended

    def _gather(self) -> None:
        """Put the sums of whole rows where they belong."""
        if self._sums:
            self._sum[:] = self._sums
            self._sums = []

    def _turn(self, block: int, noise: Floats) -> bool:
        """Begin another block."""
        self._gather()
        ended = 0 <= self._block < block
        if ended:
            self._count += self._wholes
            self._close(block == self._block + 1, noise)
        self._block, self._wholes = block, 0
        self._sum.fill(0.0)
        self._count.fill(0.0)
        return ended

    def _close(self, next_follows: bool, noise: Floats) -> None:
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(self._count > 0, self._sum / self._count, np.nan)
        change = mean - self._mean
        self._mean = mean if next_follows else np.full(len(mean), np.nan)
        self._heat(change, noise)
        day = self._block * BLOCK_MS // (DAY_BLOCKS * BLOCK_MS)
        if day != self._day:
            if self._day >= 0 and self._blocks:
                self._end_day(noise)
            self._day, self._blocks = day, 0
            self._day_sum.fill(0.0)
            self._day_count.fill(0.0)
        here = mean == mean
        self._day_sum[here] += mean[here]
        self._day_count[here] += 1.0
        self._blocks += 1

    def _heat(self, change: Floats, noise: Floats) -> None:
        """Renew the coefficients of temperature."""
        warming = np.where(self._heated, change[self._warm], np.nan)
        first = (self._drift != self._drift) & (change == change)
        self._drift[first] = 0.0
        usable = (change == change) & (warming == warming) & self._heated
        x = np.where(usable, change - self._drift, 0.0)
        self._drift += np.where(usable, 0.1 * (change - self._drift), 0.0)
        t = np.where(usable, warming, 0.0)
        x = self._cut(x, t, usable)
        parts = np.stack((x * t, t * t, x * x))
        learn = usable & ~self.hot
        for fit, days, which in ((0, FAST_D, usable), (1, SLOW_D, learn)):
            keep = math.exp(-1.0 / (DAY_BLOCKS * days))
            self._fit[fit] = np.where(which, keep * self._fit[fit] + parts, self._fit[fit])
        self._heated_d += learn / DAY_BLOCKS
        (fast, sd), (slow, unsure) = self._fitted(0, FAST_D), self._fitted(1, SLOW_D)
        ready = usable & (self._heated_d >= LEARN_D) & (self._fit[0, 1] > 10.0)
        apart, appreciable = np.abs(fast - slow), APPRECIABLE * noise
        far = apart > np.maximum(np.maximum(SURE * sd, SURE_OF_USUAL * unsure), appreciable)
        near = apart < HEALED * np.maximum(SURE * sd, appreciable)
        self._healing = np.where(self.hot & near, self._healing + ready, 0.0)
        healed = self._healing > HEAL_D * DAY_BLOCKS
        self.hot = np.where(ready, np.where(self.hot, ~healed, far), self.hot)
        known = self._heated_d >= LEARN_D
        self.coefficient = np.where(known, np.where(self.hot, fast, slow), np.nan)

    def _cut(self, x: Floats, t: Floats, usable: Bools) -> Floats:
        """Cut short what lies far off the answer to temperature: so the ground moves, at times."""
        xt, tt, _ = np.where(self.hot, self._fit[0], self._fit[1])
        answer = xt / np.maximum(tt, _TINY) * t
        off = np.abs(x - answer)
        most = np.where(self._heated_d > 1.0, CUT * self._usual, np.inf)
        rate = 1.0 / np.clip(DAY_BLOCKS * self._heated_d, 1.0, DAY_BLOCKS * USUAL_D)
        gain = rate * (MEAN_TO_SD * np.minimum(off, most) - self._usual)
        self._usual += np.where(usable, gain, 0.0)
        return np.asarray(answer + np.clip(x - answer, -most, most))

    def _fitted(self, fit: int, days: float) -> tuple[Floats, Floats]:
        """Give the coefficients of a fit, and their sd."""
        xt, tt, xx = self._fit[fit]
        tt = np.maximum(tt, _TINY)
        seen = DAY_BLOCKS * np.minimum(days, self._heated_d)
        left = np.maximum(xx - xt * xt / tt, 0.0)
        return xt / tt, np.sqrt(2.0 * left / (tt * np.maximum(seen - 2.0, 1.0)))

    def _end_day(self, noise: Floats) -> None:
        """Look at the paces of a day."""
        with np.errstate(invalid="ignore", divide="ignore"):
            level = np.where(
                self._day_count >= DAY_BLOCKS // 2, self._day_sum / self._day_count, np.nan
            )
        coefficient = np.where(self._heated, self.coefficient, np.nan)
        self.drift.end_day(self._day, level, noise, coefficient, self.hot)

    def answer(self) -> Floats:
        """Give what is new in the answer of each channel to temperature, unit a degC, or 0.0."""
        fast, slow = (fit[0] / np.maximum(fit[1], _TINY) for fit in self._fit)
        return np.where(self.hot, fast - slow, 0.0)

    def flag(self, i: int) -> Flag:
        """Give the slow flags of a channel."""
        found = Flag.DRIFT if self.drift.leaving[i] else NOTHING
        return found | (Flag.TEMPERATURE if self.hot[i] else NOTHING)

    def state(self) -> bytes:
        """Give something that changes with the flags."""
        return self.drift.leaving.tobytes() + self.hot.tobytes()

    def forgive(self, i: int) -> None:
        """Learn a channel anew: it was re-zeroed, or replaced."""
        self.drift.forgive(i)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        self._gather()
        kept: dict[str, Any] = {name: _list(getattr(self, name)) for name in _KEPT}
        return {
            **kept,
            "block": self._block,
            "day": self._day,
            "blocks": self._blocks,
            "wholes": self._wholes,
            "drift": self.drift.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        self._sums = []
        for name in _KEPT:
            was = getattr(self, name)
            values = [math.nan if v is None else v for v in state[name]]
            setattr(self, name, np.array(values, dtype=was.dtype).reshape(was.shape))
        self._block, self._day = int(state["block"]), int(state["day"])
        self._blocks, self._wholes = int(state["blocks"]), int(state["wholes"])
        self.drift.restore(state["drift"])


_KEPT = (
    "_sum", "_count", "_mean", "_day_sum", "_day_count", "_fit", "_drift", "_heated_d",
    "coefficient", "hot", "_healing", "_usual",
)  # fmt: skip


def _list(array: Any) -> list[Any]:
    return [None if v != v else v for v in array.ravel().tolist()]
