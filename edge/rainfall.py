"""Rain as evidence: antecedent sums, threshold curves, and whether the ground is wet. Pure.

Rain is gathered in hourly buckets of reading time, so a sum costs the same for an hour and for a
month. Curves: `edge.rain_curves`. A curve of sums (P3 against P15) and curves of intensity and
duration give one ratio each: 1.0 stands on the curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.evidence import Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from edge.evidence import Bools, Floats
    from edge.rain_curves import Curve

HOUR_MS = 3_600_000
MAX_HOURS = 24 * 60
"""The longest sum, 60 days."""
GAUGE_MAX_AGE_MS = 24 * HOUR_MS
"""A gauge that has said nothing for longer is passed over for the next."""
LEAST_SHARE = 0.5
"""Less of a window heard, and its sum is not known."""
RECENT_H = 72
UNHEARD = 0.05
"""More of the last hours of a window than this not heard, and it may have rained more than the sum
says. What was missed longer ago no longer counts: missing data holds a level for three days."""


@dataclass(frozen=True, slots=True)
class RainPlan:
    """What of a station is rain, which sums and curves are wanted, and what says that it is wet."""

    gauges: tuple[str, ...]
    """Channels in mm a step of the grid, nearest first; the first that lives counts."""
    windows_ms: tuple[int, ...]
    curves: tuple[Curve, ...]
    wet: tuple[tuple[str, float], ...] = ()
    """(channel, set point) of soil moisture or pore pressure: the second condition."""


class Rainfall:
    """The rain of one station; see `evidence.Producer`."""

    def __init__(self, plan: RainPlan, step_ms: int) -> None:
        self.plan = plan
        self._step_ms = step_ms
        spans = [window // HOUR_MS for window in plan.windows_ms]
        spans += [hours for curve in plan.curves for hours in curve.hours]
        self._hours = min(MAX_HOURS, max(spans, default=1)) + 1
        self._spans = np.unique(np.clip(spans, 1, self._hours)) if spans else np.ones(1, dtype=int)
        self._recent = np.minimum(self._spans, RECENT_H)
        self._of_windows = self._places(window // HOUR_MS for window in plan.windows_ms)
        self._of_curves = [self._places(curve.hours) for curve in plan.curves]
        steep = [i for i, c in enumerate(plan.curves) if c.kind == "intensity_duration"]
        self._steep, self._others = np.array(steep, dtype=int), set(range(len(plan.curves)))
        self._others.difference_update(steep)
        self._of_steep = np.concatenate([self._of_curves[i] for i in steep] or [np.zeros(0, int)])
        self._limits = np.array([v for i in steep for v in plan.curves[i].limits_mm()])
        self._firsts = np.cumsum([0, *(len(self._of_curves[i]) for i in steep)])[:-1]
        self._sums = np.full(len(plan.windows_ms), np.nan)
        self._ratios = np.full(len(plan.curves), np.nan)
        self._wetness = np.full(len(plan.wet), np.nan)
        self._points = np.array([point for _, point in plan.wet])
        self._least = np.zeros(len(plan.windows_ms), dtype=bool)
        self._least_ratios = np.zeros(len(plan.curves), dtype=bool)
        self._series = self._make_series()
        self.reset()

    def _places(self, hours: Iterable[int]) -> npt.NDArray[np.intp]:
        """Give where among the spans these are."""
        return np.searchsorted(self._spans, [min(self._hours, max(1, h)) for h in hours])

    def _make_series(self) -> tuple[Series, ...]:
        plan = self.plan
        found = [
            Series("rain_sum", window, ("rain",), ("mm",), self._sums[here], self._least[here])
            for window, here in ((w, slice(i, i + 1)) for i, w in enumerate(plan.windows_ms))
        ]
        if plan.curves:
            names = tuple(curve.name for curve in plan.curves)
            units = ("1",) * len(names)
            found.append(Series("rain_curve", 0, names, units, self._ratios, self._least_ratios))
        if plan.wet:
            names = tuple(name for name, _ in plan.wet)
            found.append(Series("wetness", 0, names, ("1",) * len(names), self._wetness))
        return tuple(found)

    def series(self) -> tuple[Series, ...]:
        """Give rain_sum of each window, rain_curve and wetness."""
        return self._series

    def reset(self) -> None:
        """Forget the past."""
        self._hour: int | None = None  # of the newest bucket
        self._rain = np.zeros(self._hours)
        self._heard = np.zeros(self._hours)  # share of each hour that was measured
        self._last_ms: list[int | None] = [None] * len(self.plan.gauges)
        self.gauge = ""
        """The gauge that counts now; "" where none lives."""
        for values in (self._sums, self._ratios, self._wetness):
            values.fill(np.nan)
        self._least.fill(False)
        self._least_ratios.fill(False)

    def push(self, time_ms: int, rain_mm: Sequence[float], wet: Sequence[float]) -> bool:
        """Take one grid step: rain of each gauge (mm in the step) and the wetness channels.

        Returns whether sums and curves are renewed.
        """
        amount = self._choose(time_ms, rain_mm)
        new_hour = self._turn(time_ms // HOUR_MS)
        if amount == amount:
            self._rain[-1] += amount
            self._heard[-1] += self._step_ms / HOUR_MS
        renewed = amount > 0.0 or new_hour
        if renewed:
            self._weigh()
        if len(wet):
            np.divide(wet, self._points, out=self._wetness)
        return renewed

    def _choose(self, time_ms: int, rain_mm: Sequence[float]) -> float:
        """Give the rain of the nearest gauge that lives, NaN for now if it is silent."""
        chosen, self.gauge = float("nan"), ""
        for i, amount in enumerate(rain_mm):
            if amount == amount:
                self._last_ms[i] = time_ms
            last = self._last_ms[i]
            if not self.gauge and last is not None and time_ms - last <= GAUGE_MAX_AGE_MS:
                self.gauge, chosen = self.plan.gauges[i], amount
        return chosen

    def _turn(self, hour: int) -> bool:
        """Open the bucket of this hour; hours without a word are not heard."""
        if self._hour is None:
            self._hour = hour
            return True
        ahead = hour - self._hour
        if ahead <= 0:
            return False
        self._hour = hour
        if ahead >= self._hours:
            self._rain.fill(0.0)
            self._heard.fill(0.0)
        else:
            for ring in (self._rain, self._heard):
                ring[:-ahead] = ring[ahead:].copy()
                ring[-ahead:] = 0.0
        return True

    def _weigh(self) -> None:
        total, least = self._totals()
        self._sums[:], self._least[:] = total[self._of_windows], least[self._of_windows]
        if len(self._steep):  # all of these at once
            ratios = total[self._of_steep] / self._limits
            self._ratios[self._steep] = np.fmax.reduceat(ratios, self._firsts)
            bounds = np.logical_or.reduceat(least[self._of_steep], self._firsts)
            self._least_ratios[self._steep] = bounds
        for i in self._others:
            places = self._of_curves[i]
            self._ratios[i] = self.plan.curves[i].ratio(total[places].tolist())
            self._least_ratios[i] = least[places].any()

    def _totals(self) -> tuple[Floats, Bools]:
        """Give the rain of each span up to now; NaN where too little was heard, and no more.

        And which of them are known to be at least so much: they may trip a threshold, never calm
        one.
        """
        place = self._spans - 1
        total = np.cumsum(self._rain[::-1])[place]
        heard = self._heard[::-1].copy()
        few = LEAST_SHARE * self._spans
        total[(np.cumsum(heard)[place] < few) & (total <= 0.0)] = np.nan
        heard[0] = np.ceil(heard[0])  # the rest of this hour is still to come
        heard = np.cumsum(np.minimum(heard, 1.0))
        missed = self._recent - heard[self._recent - 1]
        return total, (heard[place] < few) | (missed > UNHEARD * self._recent)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "hour": self._hour,
            "rain": self._rain.tolist(),
            "heard": self._heard.tolist(),
            "last_ms": list(self._last_ms),
            "gauge": self.gauge,
            "live": [_kept(values) for values in (self._sums, self._ratios, self._wetness)],
            "least": [self._least.tolist(), self._least_ratios.tolist()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same plan."""
        rain, heard = np.array(state["rain"]), np.array(state["heard"])
        if rain.shape != (self._hours,) or heard.shape != (self._hours,):
            raise ValueError("not a state of this rain plan")
        self._hour = state["hour"]
        self._rain, self._heard = rain, heard
        self._last_ms = list(state["last_ms"])
        self.gauge = str(state["gauge"])
        for values, saved in zip(
            (self._sums, self._ratios, self._wetness), state["live"], strict=True
        ):
            values[:] = [np.nan if v is None else v for v in saved]
        for bounds, kept in zip(
            (self._least, self._least_ratios), state.get("least", ()), strict=False
        ):
            bounds[:] = kept


def _kept(values: Floats) -> list[float | None]:
    return [None if v != v else float(v) for v in values]
