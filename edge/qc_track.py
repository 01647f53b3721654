"""What is kept of each channel: its last values, its running noise, how still it can be.

Everything is one numpy array over the channels. The scale of the noise is 1.2533 x the mean size of
first and of second differences, each clipped at CLIP scales, so that jumps do not become noise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.evidence import Bools, Floats
    from edge.qc_plan import QcChannel
    from edge.qc_row import Judged

WARM = 30
"""Readings from which on a learned noise is believed."""
EARLY = 10
"""From here on what is far beyond it is held back already."""
MEMORY = 300
HOLD = 8.0
"""A jump of more than so many sd of the first differences is held back."""
LOOK = 4.5
"""A jump of so many is looked at."""
BEND = 6.5
"""A bend of so many sd of the second differences may be a spike."""
GRAINS = 2.5
"""No jump of fewer steps of the resolution is one."""
IMPOSSIBLE_NATS = 20.0
"""So still is no sensor by chance (1e-9)."""
LEAST_STILL = 6
STILL_SEEN = 80
RENEW = 64
"""Rows after which limits are renewed from the noise."""
CLIP = 4.0
MEAN_TO_SD = 1.2533
TREND = 0.2
_NEVER = 1e15


class Track:
    """The channels of one station."""

    def __init__(self, channels: Sequence[QcChannel]) -> None:
        n = len(channels)
        self.steady = np.array([c.steady for c in channels], dtype=bool)
        self._learns = np.array(
            [c.steady and c.quantity not in ("other", "battery_voltage") for c in channels],
            dtype=bool,
        )
        self._given_limit = np.array([c.spike_limit for c in channels])
        self.max_rate = np.array([c.max_rate_per_h for c in channels])
        self._given_sd = math.sqrt(2.0) * np.array([c.noise_sd for c in channels])
        self._given_grain = np.array([c.resolution for c in channels])
        self._frozen_ms = np.array([float(c.frozen_after_ms or _NEVER) for c in channels])
        self._timed = np.array([c.frozen_after_ms > 0 for c in channels], dtype=bool)
        self._may_freeze = self.steady | self._timed
        self.scale = np.zeros((2, n))
        """sd of the first and of the second differences."""
        self.seen = np.zeros(n)
        self.trend = np.zeros(n)
        """Running mean of the first differences: much beyond its noise while it accelerates."""
        self.zeros = np.zeros(n)
        self.total = np.zeros(n)
        self.grain = np.full(n, np.inf)
        self.interval = np.zeros(n)
        self._bounds()
        self.reset()

    def reset(self) -> None:
        """Forget the values and times, not what was learned: the time line began anew."""
        n = len(self.seen)
        self.raw = np.full(n, np.nan)
        """Last value, be it held back."""
        self.before = np.full(n, np.nan)
        """The one before it."""
        self.raw_ms = np.zeros(n)
        self.before_ms = np.zeros(n)
        self.now, self.now_ms = self.raw, self.raw_ms
        """The same with the row that is being judged."""
        self.last = np.full(n, np.nan)
        """Last that was accepted."""
        self.step = np.full(n, np.nan)
        """Last first difference."""
        self.since_ms = np.zeros(n)
        """Of the first of the values that have all been the same."""
        self.froze = np.zeros(n, dtype=bool)
        self.four: Floats | None = None
        """The row four before, where rows go the short way."""

    def _bounds(self) -> None:
        """Renew the limits from the noise as it is now."""
        warm = self.seen >= WARM
        given = self._given_sd == self._given_sd
        self.sd = np.where(warm | ~given, self.scale[0], self._given_sd)
        """sd of first differences."""
        known = (warm | given) & self._learns
        grain = np.where(self._given_grain == self._given_grain, self._given_grain, self.grain)
        least = GRAINS * np.where(np.isfinite(grain), grain, 0.0)
        limit = np.where(known, np.maximum(HOLD * self.sd, least), np.inf)
        early = self._learns & ~known & (self.seen >= EARLY)
        limit = np.where(early, np.maximum(3.0 * HOLD * self.sd, least), limit)
        fixed = self._given_limit == self._given_limit
        self.limit = np.where(fixed, self._given_limit, limit)
        """A jump of more is held back."""
        look = np.where(known, np.maximum(LOOK * self.sd, least), np.inf)
        hourly = self.max_rate * np.maximum(self.interval, 1.0) / 3.6e6
        look = np.fmin(np.minimum(look, self.limit), np.where(hourly > 0, hourly, np.inf))
        bend = np.maximum(BEND * self.scale[1], 2.0 * least)
        self.quick = np.stack((look, np.where(warm & self._learns, bend, np.inf)))
        """First and second differences below which nothing needs to be looked at."""
        self._cap = np.where(self.seen >= EARLY, CLIP * self.scale, np.inf)
        repeats = (self.zeros + 1.0) / (self.total + 2.0)
        told = np.clip(-np.log(np.minimum(repeats, 1.0 - 1e-9)), 1e-9, None)
        k = np.maximum(LEAST_STILL, np.ceil(IMPOSSIBLE_NATS / np.minimum(told, 4.0)))
        ready = self._learns & (self.total >= STILL_SEEN)
        # So long without a change is impossible; rows may come a little early.
        self.still_ms = np.where(ready & (self.interval > 0), (k - 0.1) * self.interval, np.inf)
        self.still_ms[~self._may_freeze] = np.inf
        self.look_ms = 0.0
        """Nothing can be found frozen before this."""
        self.repeats = repeats
        fresh = (self.seen > 0) & (self.seen <= WARM)
        self.due, self.warm = RENEW, bool((self.seen > 0).any()) and not fresh.any()

    def learn(self, first: Floats, size: Floats, which: Bools, moved: Bools) -> None:
        """Learn the noise from those that are as they should be, the trend from ``moved``."""
        self.due -= 1
        self.four = None
        rate = 1.0 / np.minimum(self.seen + 1.0, MEMORY)
        with np.errstate(invalid="ignore"):
            gain = rate * (MEAN_TO_SD * np.minimum(size, self._cap) - self.scale)
        same = first == 0.0
        self.scale[0] += np.where(which, gain[0], 0.0)
        self.scale[1] += np.where(which & (size[1] == size[1]), gain[1], 0.0)
        self.seen += which
        self.trend += np.where(moved, TREND * (first - self.trend), 0.0)
        self.total += which
        self.zeros += which & same
        if self.due <= 0 or not self.warm:
            self.renew(np.where(same | ~which | (size[0] != size[0]), np.inf, size[0]))

    def renew(self, moved: Floats) -> None:
        """Renew the resolution from the least changes seen, and the limits."""
        self.grain = np.minimum(self.grain, moved)
        full = self.total > 4000.0
        self.total[full] *= 0.5
        self.zeros[full] *= 0.5
        self._bounds()

    @property
    def cap(self) -> Floats:
        """So much of a first and of a second difference counts as noise, at most."""
        return self._cap

    def sync(self, last_ms: int, before_ms: int) -> None:
        """Take that all channels were read at these times, and not each at its own."""
        self.raw_ms = np.full(len(self.raw), float(last_ms))
        self.before_ms = np.full(len(self.raw), float(before_ms))

    def take(self, judged: Judged, accepted: Bools) -> None:
        """Take one row, judged."""
        time_ms, found, here, known = judged.time_ms, judged.found, judged.here, judged.known
        first, passed = judged.first, judged.passed
        same = known & (first == 0.0)
        self.before, self.raw = (
            np.where(here, self.raw, self.before),
            np.where(here, found, self.raw),
        )
        self.before_ms = np.where(here, self.raw_ms, self.before_ms)
        self.raw_ms = np.where(here, float(time_ms), self.raw_ms)
        self.last = np.where(accepted, found, self.last)
        self.step = np.where(known, first, np.where(here, np.nan, self.step))
        self.since_ms = np.where(here & ~same, float(time_ms), self.since_ms)
        # Nobody knows what it did while nothing came: that time is not stillness.
        gone = same & (self.interval > 0) & (passed > 2.5 * self.interval)
        self.since_ms = np.where(gone, self.since_ms + passed - self.interval, self.since_ms)
        usual = known & (passed > 0) & ((self.seen < 5) | (passed < 2.5 * self.interval))
        rate = np.maximum(0.03, 1.0 / (self.seen + 1.0))
        longer = known & (passed > 0) & ~usual
        self.interval = np.where(
            usual, self.interval + rate * (passed - self.interval), self.interval
        )
        self.interval = np.where(longer, np.minimum(1.05 * self.interval, passed), self.interval)

    def frozen(self, time_ms: int, since_ms: Floats) -> Bools:
        """Give which channels are too still to be true."""
        lasted = time_ms - since_ms
        left = np.minimum(self.still_ms, self._frozen_ms + 1.0) - lasted
        stuck = (left <= 0) & self._may_freeze & (lasted > 0)
        usable = left[self._may_freeze & ~stuck]
        self.look_ms = time_ms + float(usable.min()) if usable.size else time_ms
        return np.asarray(stuck)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {name: _list(getattr(self, name)) for name in _KEPT} | {
            "due": self.due, "warm": self.warm,
            "four": None if self.four is None else _list(self.four),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        for name in _KEPT:
            was = getattr(self, name)
            found = np.array(_floats(state[name]), dtype=was.dtype).reshape(was.shape)
            setattr(self, name, found)
        due, warm = int(state["due"]), bool(state["warm"])
        bounds = {name: np.array(_floats(state[name])) for name in _BOUNDS}
        self._bounds()
        for name, values in bounds.items():  # as they were when last renewed
            setattr(self, name, values.reshape(getattr(self, name).shape))
        self.due, self.warm, self.look_ms = due, warm, 0.0
        four = state["four"]
        self.four = None if four is None else np.array(_floats(four))


_BOUNDS = ("sd", "limit", "quick", "_cap", "still_ms", "repeats")
_KEPT = (
    "scale", "seen", "trend", "zeros", "total", "grain", "interval", "raw", "before", "raw_ms",
    "before_ms", "last", "step", "since_ms", "froze", *_BOUNDS,
)  # fmt: skip


def _list(array: Floats) -> list[Any]:
    """Return numbers for JSON: NaN is null, the infinite are texts."""
    if array.dtype == bool:
        return [bool(v) for v in array]
    return [
        v if v - v == 0.0 else None if v != v else "inf" if v > 0 else "-inf"
        for v in array.ravel().tolist()
    ]


def _floats(values: list[Any]) -> list[float]:
    return [math.nan if v is None else float(v) for v in values]
