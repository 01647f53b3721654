"""Movement as evidence: velocity, acceleration and its onset, tangent angle, stage, failure time.

speed           over the shortest window, up to the base, where it clearly stands out of the noise
tangent angle   atan(speed / v_eq), Xu et al. 2009; v_eq, the slope's steady speed, is learned
                (`movement_usual`) or configured
onset           as in PFTF (`movement_onset`)
failure time    inverse velocity with Voight's exponent estimated (`movement_failure`)
stage           0 steady; 1 accelerating; 2 beyond 80 degrees; 3 as well BEYOND times faster than
                it ever was outside of an acceleration, or in one that stopped

Steps are gathered into means over a sixth of the shortest window, the least that it can tell, and
all of this is renewed once for each of them: what comes often costs no more than what comes hourly.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.movement_doubt import Doubts
from edge.movement_failure import FailureTime
from edge.movement_gathered import Gathered
from edge.movement_moved import Moved
from edge.movement_onset import Onset
from edge.movement_plan import HOUR_MS, LEAST_STEPS
from edge.movement_recent import NOTHING, Look, Recent
from edge.movement_series import make_series
from edge.movement_unseen import Unseen
from edge.movement_usual import LEARN_D, Usual
from edge.movement_velocity import DAY_MS, Velocities, listed, refill
from edge.movement_windows import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.evidence import Floats, Series
    from edge.movement_plan import MovePlan
    from edge.movement_windows import Compared, Places
    from edge.qc_zero import Rezeroed

GATE = 3.0
"""A speed of less than so many of its own sd is no movement."""
SURE = 8.0
"""The shortest window whose speed is so many of its sd gives the speed now."""
STEADY_MS = 240 * HOUR_MS
"""The window for the steady speed, or the longest that there is."""
LOOKS = 6
"""In the shortest window."""
BEYOND, FAR_BEYOND = 1.3, 2.0
"""The second where a window stands in after a gap: a short one holds all of a day's swing."""
NONE_H = 10_000.0
"""Hours to failure where none is in sight: a sensor that sees none is not one that is dead."""
NEAR_D = 2.0
ORANGE = math.tan(math.radians(80.0))


class Movement:
    """The moving channels of one station; see `evidence.Producer`. Units a day."""

    def __init__(self, plan: MovePlan, step_ms: int) -> None:
        self.plan = plan
        base_ms = max(plan.base_window_ms, LEAST_STEPS * step_ms)
        windows = sorted({*plan.velocity_windows_ms, base_ms, 3 * base_ms, STEADY_MS})
        n, self._windows = len(plan.channels), windows
        self._base, self._long = windows.index(base_ms), windows.index(3 * base_ms)
        self._new_d = 0.5 * windows[self._long] / DAY_MS  # before that no window can be whole
        self._span_d = 0.5 * (windows[self._long] - base_ms) / DAY_MS
        self._look_ms = max(step_ms, min(windows) // LOOKS)
        self._step_d = self._look_ms / DAY_MS
        self.velocities = Velocities([c.noise_sd for c in plan.channels], windows, self._look_ms)
        self.usual = Usual(
            np.array([c.v_eq_per_day for c in plan.channels]),
            np.array([c.v_max_seen_per_day for c in plan.channels]),
            max(LEARN_D, 3.0 * base_ms / DAY_MS),
        )
        self.onset = Onset(n)
        self.failure = FailureTime(n, plan.alpha, self._step_d)
        parts = self.velocities, self.usual, self.onset, self.failure
        self.doubts = Doubts(*parts, base_ms, self._look_ms)
        self._moved = tuple(Moved(n, window) for window in plan.moved_windows_ms)
        self._recent = Recent(n)
        self.unseen = Unseen(n, max(windows[0], 3 * self._look_ms), base_ms)
        self._speed = np.full((len(windows), n), np.nan)
        self._acceleration, self._angle, self._stage = (np.full(n, np.nan) for _ in range(3))
        self._hours = np.full((3, n), np.nan)
        self._places = np.arange(n)
        self._which = Windows(n, self._base, self._long)
        self._step_ms = step_ms
        self._gathered = Gathered(n, step_ms)
        self._looked_ms: float | None = None
        self._series = make_series(
            plan, windows, self._windows[self._base], self._speed,
            [moved.values for moved in self._moved],
            {
                "acceleration": self._acceleration, "tangent_angle": self._angle,
                "stage": self._stage, "hours": self._hours, "moved_unseen": self.unseen.values,
            },
        )  # fmt: skip

    def series(self) -> tuple[Series, ...]:
        """Give all its evidence; always the same arrays."""
        return self._series

    def reset(self) -> None:
        """Forget the past."""
        parts: tuple[Any, ...] = self.velocities, self.usual, self.onset, self.failure
        for part in (*parts, self.doubts, self.unseen, self._recent, *self._moved):
            part.reset()
        for array in (self._speed, self._acceleration, self._angle, self._stage, self._hours):
            array.fill(np.nan)
        self._gathered.reset()
        self._looked_ms = None

    def push(self, time_ms: int, values: Sequence[float]) -> bool:
        """Take one grid step: a value a channel, NaN missing. Returns whether it looked anew."""
        row = np.array(values, dtype=float)
        if self._recent.due:
            row = self._recent.pending(time_ms, row)
        for moved in self._moved:
            moved.push(time_ms, row)
        bucket, looks, gathered = time_ms // self._look_ms, False, self._gathered
        if gathered.any and bucket != gathered.last_ms // self._look_ms:
            looks = self._close()  # its last steps never came
        gathered.add(time_ms, row)
        if (time_ms + self._step_ms) // self._look_ms != bucket:
            looks = self._close()
        return looks

    def _close(self) -> bool:
        """Take the mean of what was gathered as one reading, and renew all evidence."""
        now_ms, row, count = self._gathered.take()
        silent = bool((count != count).all())
        dt_d = 0.0 if self._looked_ms is None else max(0.0, now_ms - self._looked_ms) / DAY_MS
        self._looked_ms = now_ms
        weight = self.doubts.push(now_ms, dt_d, row, self._gathered.last_ms)
        bucket = self._gathered.last_ms // self._look_ms
        before = self.usual.record.copy(), self.onset.state()
        self._recent.keep(Look(bucket, now_ms, count, weight, *before))
        self._look(now_ms, dt_d)
        self.unseen.push(now_ms, row, self.usual.record, self.usual.v_eq)
        if silent:  # what was seen before it says nothing of now
            for array in (self._speed, self._acceleration, self._angle, self._stage, self._hours):
                array.fill(np.nan)
        return True

    def _look(self, now_ms: float, dt_d: float) -> None:
        """Renew all evidence but what moved."""
        self.velocities.solve()
        slope, sd = np.abs(self.velocities.slope), self.velocities.sd
        self._speed[:] = slope
        self._speed[slope < GATE * sd] = 0.0
        sure = slope[: self._base] >= SURE * sd[: self._base]
        pick = np.where(sure.any(axis=0), np.argmax(sure, axis=0), self._which.shortest(slope))
        fast = slope[pick, self._places]
        v_eq = self.usual.v_eq
        found = self._which.compare(slope, sd, v_eq)
        # What is seen with a stand-in, after a gap, may be the end: it is not taken for usual.
        sure_of = found.whole | (self.usual.watched_d < self._new_d)
        calm = self.onset.calm & (sure_of | (v_eq != v_eq))
        steady, doubted = self._which.steady(slope), self.doubts.doubted
        self.usual.learn(now_ms, dt_d, steady, fast, calm, sure_of, doubted)
        gain, doubt = found.gain, GATE * found.noise
        if not found.whole.all():  # a short window may show no more than a day's swing of heat
            gain = np.where(found.whole | (found.speed > self.usual.high()), gain, np.nan)
        shown = np.where(sure.any(axis=0), fast, self._speed[pick, self._places])
        np.degrees(np.arctan2(shown, v_eq), out=self._angle)
        np.divide(gain, self._span_d, out=self._acceleration)
        self._acceleration[np.abs(gain) < doubt] = 0.0
        self._acceleration[~found.whole] = np.nan
        over = self.onset.look(dt_d, gain, doubt, found.speed, fast, v_eq)
        if over.any():
            self.usual.stopped(now_ms, over & found.whole, self.onset.fastest)
        stirs = ~self.onset.calm
        changed = stirs != self.failure.runs
        if changed.any():  # the line begins with the stir, not hours later when that is believed
            self.failure.end(changed & ~stirs)
            speed = found.speed
            self.failure.begin(changed & stirs & (speed == speed), np.fmax(speed, 1e-12))
        self._judge(dt_d, fast, v_eq, pick, found)
        unknown = (gain != gain) | (v_eq != v_eq)
        self._stage[unknown] = np.nan
        self._hours[:, unknown] = np.nan

    def _judge(
        self, dt_d: float, fast: Floats, v_eq: Floats, pick: Places, found: Compared
    ) -> None:
        """Renew stage and time to failure."""
        active, stirs = self.onset.active, self.failure.runs
        self._stage.fill(0.0)
        self._hours.fill(NONE_H)
        if not stirs.any():
            return
        orange = fast >= ORANGE * v_eq
        times = np.where(found.whole, BEYOND, FAR_BEYOND)
        beyond = orange & (fast >= times * self.usual.record)
        self._stage[active] = (1.0 + orange + beyond)[active]
        which = np.flatnonzero(stirs)
        # Far from failure the base window, over which a day's swing of temperature averages out.
        far = ~(self.failure.best[which] < NEAR_D)
        pick = np.where(far, found.near[which], pick[which])
        speed = np.abs(self.velocities.slope[pick, which])
        half_d = 0.5 * self.velocities.windows_d[pick]
        overlap = np.maximum(1.0, half_d / self._step_d)
        self.failure.push(dt_d, which, speed, half_d, overlap)
        for i, days in enumerate((self.failure.best, self.failure.low, self.failure.high)):
            self._hours[i] = np.where(active & (days == days), 24.0 * days, NONE_H)

    def undo(self, channel: str, readings: Sequence[tuple[int, float]]) -> None:
        """Take out readings, (time_ms, how much too high), that turned out to be a spike."""
        i = [c.name for c in self.plan.channels].index(channel)
        self.unseen.forget(i)
        for time_ms, excess in readings:
            step_ms = time_ms // self._step_ms * self._step_ms
            bucket = step_ms // self._look_ms
            look = self._recent.find(bucket)
            if look is not None and self._looked_ms is not None and look.count[i] > 0:
                ago_d = (self._looked_ms - look.time_ms) / DAY_MS
                by = excess * float(look.weight[i] / look.count[i])
                self.velocities.undo(i, ago_d, by)
                self.usual.record[i] = min(self.usual.record[i], look.record[i])
                self.onset.undo(i, look.onset)
            elif self._gathered.any and bucket == self._gathered.last_ms // self._look_ms:
                self._gathered.lessen(i, excess)
            elif step_ms > self._gathered.last_ms:
                self._recent.due[i, step_ms] = self._recent.due.get((i, step_ms), 0.0) + excess

    def take_back(self, channel: str, taken: Rezeroed) -> None:
        """Take out that a channel has read more since a time, and had not moved."""
        i = [c.name for c in self.plan.channels].index(channel)
        by, step_ms = taken.by, self._step_ms
        since_ms = taken.since_ms // step_ms * step_ms
        if since_ms > self._gathered.last_ms:
            return  # it has not seen any of it
        # Of a step with several readings nobody knows here how many were of the jump.
        alone = taken.each_ms >= step_ms
        looks = None
        if alone or since_ms == taken.since_ms:
            unit_ms = max(taken.each_ms, step_ms)
            looks = self._recent.since(since_ms, self._look_ms, unit_ms, held=alone)
        if looks is None:
            self.velocities.restart(i)
            self._gathered.forget(i)
        else:
            self._gathered.lessen_since(i, by, since_ms)
        for look, share in looks or ():
            ago_d = ((self._looked_ms or 0.0) - look.time_ms) / DAY_MS
            self.velocities.undo(i, ago_d, share * by * float(look.weight[i]))
        for moved in self._moved:
            moved.take_back(i, by, since_ms)
        self.usual.forgive(i, since_ms - self._look_ms)
        self.usual.begin_anew(i)
        self.unseen.forget(i)
        self.doubts.cancel(i)
        self.onset.forgive(i)
        self.failure.end(self._places == i)

    def learned(self) -> dict[str, dict[str, float]]:
        """Give what each channel is taken for: steady speed, usual high speed, noise, exponent."""
        of = {
            "v_eq_per_day": self.usual.v_eq, "v_high_per_day": self.usual.high(),
            "noise_sd": self.velocities.noise_sd, "watched_d": self.usual.watched_d,
            "alpha": self.failure.alpha,
        }  # fmt: skip
        names = enumerate(channel.name for channel in self.plan.channels)
        return {name: {key: float(each[i]) for key, each in of.items()} for i, name in names}

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "velocities": self.velocities.snapshot(),
            "usual": self.usual.snapshot(),
            "onset": self.onset.snapshot(),
            "failure": self.failure.snapshot(),
            "moved": [moved.snapshot() for moved in self._moved],
            "recent": self._recent.snapshot(),
            "doubts": self.doubts.snapshot(),
            "unseen": self.unseen.snapshot(),
            "looked_ms": self._looked_ms,
            **self._gathered.snapshot(),
            **{name: listed(getattr(self, name)) for name in _KEPT},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same plan."""
        for name in ("velocities", "usual", "onset", "failure"):
            getattr(self, name).restore(state[name])
        for moved, saved in zip(self._moved, state["moved"], strict=True):
            moved.restore(saved)
        self._recent.restore(state.get("recent", NOTHING))
        self.doubts.restore(state.get("doubts", {}), len(self._windows))
        self.unseen.restore(state.get("unseen", {}))
        self._gathered.restore(state)
        self._looked_ms = state["looked_ms"]
        for name in _KEPT:
            refill(getattr(self, name), state[name])


_KEPT = ("_speed", "_acceleration", "_angle", "_stage", "_hours")
