"""What a station decides by: movement, rain, values and model scores as evidence, and the rules."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.evidence import Series
from edge.movement import Movement
from edge.movement_plan import MoveChannel, MovePlan
from edge.rainfall import HOUR_MS, Rainfall, RainPlan
from edge.rule_state import RuleEngine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge.config import StationConfig
    from edge.evidence import Tripped
    from edge.qc_zero import Rezeroed
    from edge.rule import Rule
    from edge.score import Score

MOVING = ("displacement", "crack_width", "tilt")
"""Quantities whose change is movement of the slope."""
SHOWN_RAIN_MS = (24 * HOUR_MS, 72 * HOUR_MS)
_VELOCITY_H = (6, 12, 24, 48, 72)
_WET = ("soil_moisture", "pore_pressure", "water_level")


class Decider:
    """The evidence and the rules of one station. UnknownEvidenceError: a rule looks at what is not.

    ``step`` takes the values of one grid step in the order of ``channels``.
    """

    def __init__(
        self, config: StationConfig, step_ms: int, kinds: Sequence[tuple[str, str]]
    ) -> None:
        """Take the station, its grid step, and which (kind, channel) scores its models give."""
        rules = config.decision.rules
        self.channels = tuple(channel.name for channel in config.channels)
        self.movement = _movement(config, rules, step_ms)
        self._share = {
            c.name: 1.0 / config.readings_per_step if c.aggregate == "mean" else 1.0
            for c in config.channels
        }
        """What one reading is of its step."""
        self.rainfall, self._per_step = _rainfall(config, rules, step_ms)
        self._values = np.full(len(self.channels), np.nan)
        self._scores = _ModelSeries(kinds)
        offered = [*self._scores.series, self._value_series(config)]
        self._moving: tuple[int, ...] = ()
        self._gauges: tuple[int, ...] = ()
        self._wet: tuple[int, ...] = ()
        if self.movement is not None:
            offered += self.movement.series()
            self._moving = self._places(c.name for c in self.movement.plan.channels)
        if self.rainfall is not None:
            offered += self.rainfall.series()
            self._gauges = self._places(self.rainfall.plan.gauges)
            self._wet = self._places(name for name, _ in self.rainfall.plan.wet)
        self.offered = tuple(offered)
        self.moving = (
            ()
            if self.movement is None
            else tuple(channel.name for channel in self.movement.plan.channels)
        )
        """Channels whose silence, all together, is NO-DATA."""
        self.needed = self._needed(rules)
        """Channels whose silence is told."""
        self.engine = RuleEngine(rules, self.offered)
        kinds_seen = {c.evidence for r in self.engine.rules for c in r.rule.when}
        self._looks_at_scores = bool(kinds_seen & set(_MODEL_KINDS))
        self._each_step = self.movement is None or not kinds_seen <= _SLOW_KINDS
        self._asked: tuple[int, frozenset[str], int] | None = None
        """(level, shelved, what the rules asked for) when they last looked."""

    def _places(self, names: Iterable[str]) -> tuple[int, ...]:
        return tuple(self.channels.index(name) for name in names)

    def _needed(self, rules: Sequence[Rule]) -> tuple[str, ...]:
        """Give the channels that the rules look at; the nearest gauge may have others behind it."""
        valued = {
            name
            for rule in rules
            for condition in rule.when
            if condition.evidence == "value"
            for name in condition.channels or self.channels
        }
        rain = set() if self.rainfall is None else {
            *self.rainfall.plan.gauges, *(name for name, _ in self.rainfall.plan.wet),
        }  # fmt: skip
        wanted = {*self.moving, *valued, *rain}
        return tuple(name for name in self.channels if name in wanted)

    def _value_series(self, config: StationConfig) -> Series:
        units = tuple(channel.unit for channel in config.channels)
        return Series("value", 0, self.channels, units, self._values)

    def step(
        self, time_ms: int, values: Sequence[float], scores: Iterable[Score], level: int,
        *, reset: bool,
    ) -> int:  # fmt: skip
        """Take one grid step; ``level`` stands now. Give the level that the rules ask for."""
        if reset:
            self.engine.restart(time_ms)
        self._values[:] = values
        fresh = reset or self._each_step
        if self.movement is not None:
            fresh |= self.movement.push(time_ms, [values[i] for i in self._moving])
        if self.rainfall is not None:
            rain = [values[i] * f for i, f in zip(self._gauges, self._per_step, strict=True)]
            fresh |= self.rainfall.push(time_ms, rain, [values[i] for i in self._wet])
        if self._looks_at_scores:
            self._scores.take(scores)
        shelved, asked = self.engine.shelved, self._asked
        if not fresh and asked is not None and asked[:2] == (level, shelved):
            return asked[2]  # nothing new to see
        wanted = self.engine.step(time_ms, level)
        self._asked = level, shelved, wanted
        return wanted

    def take_back(self, channel: str, taken: Rezeroed) -> None:
        """Take out that a channel has read more for a while, and had not moved."""
        if self.movement is not None and channel in self.moving:
            self.movement.take_back(channel, taken)

    def undo(self, channel: str, readings: Sequence[tuple[int, float]]) -> None:
        """Take out of the movement readings, (time_ms, how much too high), that were a spike."""
        if self.movement is not None and channel in self.moving:
            share = self._share[channel]
            self.movement.undo(channel, [(at_ms, share * by) for at_ms, by in readings])

    def doubt(self, channel: str, time_ms: int, by: float) -> None:
        """Take that a channel jumped, and that nobody could confirm it; by 0.0: it did not."""
        if self.movement is not None and channel in self.moving:
            place, doubts = self.moving.index(channel), self.movement.doubts
            if by:
                doubts.begin(place, time_ms, by)
            else:
                doubts.cancel(place, time_ms)

    def excuse(self, channels: Iterable[str], now_ms: int) -> None:
        """Take that channels were worked on until now: a gap over that is nothing that moved."""
        for name in channels:
            if self.movement is not None and name in self.moving:
                self.movement.unseen.excuse(self.moving.index(name), now_ms)

    def standing(self) -> tuple[Tripped, ...]:
        """Give the rules that stand, with what they see."""
        return self.engine.standing()

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "movement": None if self.movement is None else self.movement.snapshot(),
            "rainfall": None if self.rainfall is None else self.rainfall.snapshot(),
            "rules": self.engine.snapshot(),
            "asked": None if self._asked is None else _listed(*self._asked),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot."""
        if self.movement is not None:
            self.movement.restore(state["movement"])
        if self.rainfall is not None:
            self.rainfall.restore(state["rainfall"])
        self.engine.restore(state["rules"])
        asked = state["asked"]
        self._asked = None if asked is None else (asked[0], frozenset(asked[1]), asked[2])


_MODEL_KINDS = ("forecast", "residual", "baseline", "detector")
_SLOW_KINDS = frozenset({
    "velocity", "acceleration", "tangent_angle", "stage", "time_to_failure",
    "time_to_failure_low", "time_to_failure_high", "moved_unseen", "rain_sum", "rain_curve",
})  # fmt: skip
"""Evidence that is renewed less often than every step, and tells when it is."""


def _listed(level: int, shelved: frozenset[str], wanted: int) -> list[Any]:
    return [level, sorted(shelved), wanted]


class _ModelSeries:
    """Scores of the bundle's armed models as ratios to their thresholds."""

    def __init__(self, kinds: Sequence[tuple[str, str]]) -> None:
        self.series: list[Series] = []
        self._places: dict[tuple[str, str], tuple[Series, int]] = {}
        for kind in _MODEL_KINDS:
            names = tuple(name for each, name in kinds if each == kind)
            if not names:
                continue
            series = Series(kind, 0, names, ("1",) * len(names), np.full(len(names), np.nan))
            self.series.append(series)
            for i, name in enumerate(names):
                self._places[name if kind == "detector" else kind, name] = series, i

    def take(self, scores: Iterable[Score]) -> None:
        """Renew the ratios; what gave no score is not known."""
        for series in self.series:
            series.values.fill(np.nan)
        for score in scores:
            if not score.armed:
                continue
            # A detector names the channel to blame: its own name stands for it.
            found = self._places.get((score.kind, score.channel)) or self._places.get(
                (score.kind, score.kind)
            )
            if found is not None:
                series, i = found
                series.values[i] = score.ratio


def _windows(rules: Sequence[Rule], *kinds: str) -> set[int]:
    return {c.window_ms for rule in rules for c in rule.when if c.evidence in kinds}


def _movement(config: StationConfig, rules: Sequence[Rule], step_ms: int) -> Movement | None:
    site = {each.name: each for each in config.site}
    channels = []
    for channel in config.channels:
        if channel.quantity not in MOVING:
            continue
        own = site.get(channel.name)
        channels.append(
            MoveChannel(channel.name, channel.unit)
            if own is None
            else MoveChannel(
                channel.name, channel.unit, own.noise_sd, own.v_eq_per_day, own.v_max_seen_per_day
            )
        )
    if not channels:
        return None
    velocity = _windows(rules, "velocity", "acceleration") | {h * HOUR_MS for h in _VELOCITY_H}
    moved = _windows(rules, "moved")
    return Movement(
        MovePlan(tuple(channels), tuple(sorted(velocity)), tuple(sorted(moved))), step_ms
    )


def _rainfall(
    config: StationConfig, rules: Sequence[Rule], step_ms: int
) -> tuple[Rainfall | None, tuple[float, ...]]:
    rain, site = config.rain, {each.name: each for each in config.site}
    wet = tuple(
        (c.name, site[c.name].wet_above)
        for c in config.channels
        if c.quantity in _WET and c.name in site and not math.isnan(site[c.name].wet_above)
    )
    if not rain.gauges and not wet:
        return None, ()
    unit = {channel.name: channel.unit for channel in config.channels}
    per_step = tuple(step_ms / HOUR_MS if unit[g] == "mm/h" else 1.0 for g in rain.gauges)
    windows = tuple(sorted(_windows(rules, "rain_sum") | set(SHOWN_RAIN_MS)))
    plan = RainPlan(rain.gauges, windows, rain.curves if rain.gauges else (), wet)
    return Rainfall(plan, step_ms), per_step
