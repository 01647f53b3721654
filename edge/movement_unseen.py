"""What moved while nothing was heard: readings after a gap, against those before it.

After a gap no window knows a speed for hours, and a slope that has moved and rests again would
never show. What it has moved is told against the most that it usually does in so long: its record
speed all that time, or three times what its readings usually stray from their daily mean (their
daily swing, and noise). 0 where there was no gap. O(1) a look.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.movement_velocity import DAY_MS, listed, refill

if TYPE_CHECKING:
    from edge.evidence import Bools, Floats

MEAN_D, STRAY_D = 1.0, 5.0
"""Memory of the mean of a day, and of how far readings usually lie from it: so long a channel is
heard before anything is told of it."""
STRAYS = 3.0
MOST_STRAY = 5.0
"""What strays further counts no more than so many times the usual: jumps are not usual."""
LOOKS = 3
"""The median of so many looks is where a channel was before."""
USUAL_GAP, EACH = 3.0, 0.125
"""A gap is longer than so many usual intervals, which follow the last at this rate."""


class Unseen:
    """Of ``n`` channels. A gap is ``least_ms`` or more; what moved in it stands for ``hold_ms``."""

    def __init__(self, n: int, least_ms: int, hold_ms: int) -> None:
        self._least_ms, self._hold_ms = least_ms, hold_ms
        self.values = np.full(n, np.nan)
        """In times of the usual; NaN: not known, as where nothing usual is known yet."""
        self._latest = np.full((LOOKS, n), np.nan)
        self._last_ms, self._from_ms, self._told_ms = (np.full(n, np.nan) for _ in range(3))
        self._before, self._first = np.full(n, np.nan), np.full(n, np.nan)
        """Where a channel was before its gap, and where the first look after it saw it."""
        self._mean, self._stray = np.full(n, np.nan), np.full(n, np.nan)
        self._each_ms, self._heard_d = np.full(n, np.nan), np.zeros(n)
        self._worked_ms = np.full(n, np.nan)
        """When work on it ended: a gap over that is nothing that moved."""
        self._told = np.zeros(n)
        self._record = np.full(n, np.nan)
        """As it was before the gap: what the windows make of the jump is not usual."""
        self._calm_ms: float | None = None

    def reset(self) -> None:
        """Forget all."""
        for name in _KEPT:
            getattr(self, name).fill(np.nan)
        self._told.fill(0.0)
        self._heard_d.fill(0.0)
        self._calm_ms = None

    def forget(self, channel: int) -> None:
        """Take that a channel read wrong: what it was before tells nothing."""
        for array in (self._last_ms, self._from_ms, self._told_ms, self._before, self._first):
            array[channel] = np.nan
        self._latest[:, channel] = self._mean[channel] = np.nan
        self._told[channel] = 0.0
        self._calm_ms = None

    def excuse(self, channel: int, until_ms: float) -> None:
        """Take that a channel was worked on until then."""
        self._worked_ms[channel] = until_ms

    def push(self, now_ms: float, row: Floats, record: Floats, v_eq: Floats) -> None:
        """Take one look (NaN missing); ``v_eq`` NaN: nothing usual is known yet, nor a record."""
        here = row == row
        known = (v_eq == v_eq) & (self._heard_d >= STRAY_D)
        soon = self._calm_ms is not None and 0.0 <= now_ms - self._calm_ms < self._least_ms
        if soon and here.all() and known.all():
            self._learn_all(now_ms, row, record)
            return
        passed_ms = now_ms - self._last_ms
        gap = here & (passed_ms >= np.fmax(self._least_ms, USUAL_GAP * self._each_ms))
        if gap.any():
            again = self._before == self._before  # a second gap before the first was judged
            fresh = gap & ~again
            self._before[fresh] = _median(self._latest[:, fresh])
            self._from_ms[fresh] = self._last_ms[fresh]
            self._first[gap] = row[gap]
            worked = gap & (self._from_ms <= self._worked_ms)
            worked &= now_ms >= self._worked_ms - self._least_ms
            self._before[worked] = np.nan
        judge = here & ~gap & (self._before == self._before)
        if judge.any():
            self._judge(now_ms, judge, row)
        np.copyto(self._record, record, where=here & (self._before != self._before))
        most = np.where(known & (self._stray > 0.0), self._most(record), np.inf)
        self._learn(now_ms, row, here, gap, most)
        ago_ms = now_ms - self._told_ms
        self._told[~((ago_ms >= 0.0) & (ago_ms < self._hold_ms))] = 0.0
        heard = now_ms - self._last_ms < self._least_ms
        self.values[:] = np.where(known & heard, self._told, np.nan)
        self._calm_ms = self._when_calm()

    def _when_calm(self) -> float | None:
        """Give when all were heard last, if that was at once and there is nothing to judge or tell.

        The next look is then most often one more like it.
        """
        last = self._last_ms
        busy = (last != last[:1]).any() or self._told.any() or (self._before == self._before).any()
        return None if busy or not len(last) or last[0] != last[0] else float(last[0])

    def _learn_all(self, now_ms: float, row: Floats, record: Floats) -> None:
        """Take a look like most: all heard, as before."""
        assert self._calm_ms is not None
        passed_ms = now_ms - self._calm_ms
        dt_d = passed_ms / DAY_MS
        off = row - self._mean
        self._mean += off * (1.0 - math.exp(-dt_d / MEAN_D))
        off = np.minimum(np.abs(off), self._most(record))
        off -= self._stray
        self._stray += off * (1.0 - math.exp(-dt_d / STRAY_D))
        self._each_ms += EACH * (passed_ms - self._each_ms)
        self._latest[:-1] = self._latest[1:]
        self._latest[-1] = row
        self._last_ms.fill(now_ms)
        self._record[:] = record
        self.values.fill(0.0)
        self._calm_ms = now_ms

    def _most(self, record: Floats) -> Floats:
        """Give how far a reading counts as straying; a day's way at most where none ever did."""
        return np.fmax(MOST_STRAY * self._stray, record * MEAN_D)

    def _judge(self, now_ms: float, which: Bools, row: Floats) -> None:
        """Judge what two looks after a gap both show."""
        one, two = self._first - self._before, row - self._before
        moved = np.where(one * two > 0.0, np.fmin(np.abs(one), np.abs(two)), 0.0)
        usual = np.fmax(self._record * (now_ms - self._from_ms) / DAY_MS, STRAYS * self._stray)
        self._told[which] = (moved / np.fmax(usual, 1e-12))[which]
        self._told_ms[which] = now_ms
        self._before[which] = self._first[which] = self._from_ms[which] = np.nan

    def _learn(self, now_ms: float, row: Floats, here: Bools, gap: Bools, most: Floats) -> None:
        passed_ms = np.where(here, now_ms - self._last_ms, np.nan)
        passed_ms = np.where(passed_ms >= 0.0, passed_ms, 0.0)
        dt_d = np.fmin(passed_ms, self._least_ms) / DAY_MS
        first = here & ((self._mean != self._mean) | gap)
        self._mean[first] = row[first]
        goes_on = here & ~first & (dt_d > 0.0)
        off = np.abs(row - self._mean)
        fresh = goes_on & ~(self._stray > 0.0)
        self._stray[fresh] = off[fresh]
        step = np.minimum(off, most) - self._stray
        self._stray += np.where(goes_on & ~fresh, step * (1.0 - np.exp(-dt_d / STRAY_D)), 0.0)
        shift = (row - self._mean) * (1.0 - np.exp(-dt_d / MEAN_D))
        self._mean += np.where(here, shift, 0.0)
        self._heard_d += np.where(goes_on, dt_d, 0.0)
        new = here & (passed_ms > 0.0) & (self._each_ms != self._each_ms)
        self._each_ms[new] = passed_ms[new]
        longer = EACH * (np.fmin(passed_ms, USUAL_GAP * self._each_ms) - self._each_ms)
        self._each_ms += np.where(here & (passed_ms > 0.0), longer, 0.0)
        self._latest[:-1, here] = self._latest[1:, here]
        self._latest[-1, here] = row[here]
        self._last_ms[here] = now_ms

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {name: listed(getattr(self, name)) for name in _KEPT}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels; {}: of a program that kept none."""
        self.reset()
        for name in _KEPT if state else ():
            refill(getattr(self, name), state[name])
        self._calm_ms = self._when_calm()


def _median(looks: Floats) -> Floats:
    """Give the median of each column, of what it has; numpy's loads a branch for that."""
    ordered = np.sort(looks, axis=0)  # NaN last
    middle = np.maximum((ordered == ordered).sum(axis=0) - 1, 0) // 2
    return np.asarray(np.take_along_axis(ordered, middle[None, :], axis=0)[0])


_KEPT = (
    "values", "_latest", "_last_ms", "_from_ms", "_told_ms", "_before", "_first", "_mean",
    "_stray", "_told", "_record", "_each_ms", "_heard_d", "_worked_ms",
)  # fmt: skip
