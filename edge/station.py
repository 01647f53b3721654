"""One watched slope: calibration, grid, features, models and alarm, step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edge.alarm import Alarm, AlarmChange
from edge.autoencoder import Detector
from edge.calibration import Board, Calibrator
from edge.errors import BundleError
from edge.features import Features
from edge.grid import Grid, Observation
from edge.gru import Forecaster
from edge.kinematics import Kinematics
from edge.score import NONE_YET

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.config import StationConfig
    from edge.manifest import Manifest
    from edge.score import Forecasts, Score
    from firmware_bridge.reading import Reading

NEVER_MS = 2**62


@dataclass(frozen=True, slots=True)
class Scored:
    """One grid step and what the models say of it (empty while they warm up)."""

    observation: Observation
    scores: tuple[Score, ...]
    forecasts: Forecasts


class Station:
    """The watch over one slope. Without a bundle it calibrates and publishes, in NO-DATA."""

    def __init__(
        self,
        config: StationConfig,
        bundle: Bundle | str,
        board: Board,
        shared: frozenset[str],
    ) -> None:
        self.name = config.name
        self.config = config
        self.channels = tuple(channel.name for channel in config.channels)
        self.ports = frozenset(channel.port for channel in config.channels)
        self.rejected: dict[tuple[str, str], int] = {}
        self.unarmed = bundle if isinstance(bundle, str) else ""
        self.watch = None if isinstance(bundle, str) else Watch(config, bundle)
        label = "none" if isinstance(bundle, str) else bundle.manifest.label
        self.alarm = Alarm(config.name, config.alarm, label)
        self._board, self._shared = board, shared
        self._calibrators: dict[tuple[str, tuple[str, ...]], Calibrator] = {}
        self._heard: dict[str, int] = {}
        self._since_ms: int | None = None
        self.due_ms = 0
        """Nothing can fall silent before this: a lower bound, so that readings need not look."""

    def receive(
        self, reading: Reading, *, rebased: bool
    ) -> tuple[list[float], list[Scored], list[AlarmChange]]:
        """Take one reading: its calibrated values, and the grid steps and changes it leads to."""
        values = self.calibrate(reading)
        now_ms = reading.received_ms
        heard = self._heard
        for name, value in zip(self.channels, values, strict=True):
            if value == value:  # not NaN
                heard[name] = now_ms
        if self.watch is None:
            return values, [], []
        scored, changes = [], []
        for observation in self.watch.observe(reading.time_ms, values, rebased=rebased):
            step = self.watch.score(observation)
            scored.append(step)
            changes += self._decide(step, now_ms)
        if self.alarm.silent:
            changes += self._returned(now_ms)
        return values, scored, changes

    def calibrate(self, reading: Reading) -> list[float]:
        """Return engineering values in the order of ``channels``, NaN for missing."""
        return self._calibrator(reading).apply(reading.values, reading.time_ms)

    def _calibrator(self, reading: Reading) -> Calibrator:
        """Return the calibrator of a layout; a node that sends a new layout gets a new one."""
        key = (reading.source, reading.channels)
        found = self._calibrators.get(key)
        if found is None:
            plans = tuple(
                channel.plan
                if channel.port == reading.source
                else replace(channel.plan, column="\0")  # it comes from another port
                for channel in self.config.channels
            )
            found = Calibrator(self.name, plans, reading.channels, self._board, self._shared)
            found.rejected = self.rejected
            self._calibrators[key] = found
        return found

    def _decide(self, step: Scored, now_ms: int) -> list[AlarmChange]:
        if step.observation.reset:
            self.alarm.restart_clocks()
        for score in step.scores:
            if score.armed:
                self._heard["score " + score.kind] = now_ms
        returned = self._returned(now_ms) if step.scores and self.alarm.silent else []
        change = self.alarm.update(step.observation.time_ms, now_ms, step.scores)
        return returned if change is None else [*returned, change]

    def tick(self, now_ms: int) -> list[AlarmChange]:
        """Look for what has fallen silent, in the order and at the times it was due.

        However often this is called, the same changes come of it: replay agrees with the field.
        """
        if now_ms <= self.due_ms:
            return []
        if self._since_ms is None:
            self._since_ms = now_ms
        if self.watch is None:
            self.due_ms = NEVER_MS
            why = f"not armed: {self.unarmed}"
            change = self.alarm.silence(now_ms, ("models",), no_data=True, why=why)
            return [] if change is None else [change]
        silent = set(self.alarm.silent)
        dues = {name: due for name, due in self._dues().items() if name not in silent}
        found = []
        for due in sorted({due for due in dues.values() if due < now_ms}):
            silent.update(name for name in dues if dues[name] == due)
            found += self._silence(due, silent)
        self.due_ms = min((due for due in dues.values() if due >= now_ms), default=now_ms)
        return found

    def shift(self, delta_ms: int) -> None:
        """Move all times of arrival: the clock of the gateway was set."""
        self._heard = {name: at + delta_ms for name, at in self._heard.items()}
        if self._since_ms is not None:
            self._since_ms += delta_ms
            self.due_ms += delta_ms

    def _dues(self) -> dict[str, int]:
        """Return when each armed score and model channel falls silent if nothing more comes."""
        assert self.watch is not None
        start = self._since_ms or 0
        limit = self.config.no_data_after_ms
        expected = (*self.watch.armed_kinds, *self.watch.channels)
        return {name: self._heard.get(name, start) + limit for name in expected}

    def _returned(self, now_ms: int) -> list[AlarmChange]:
        """Look whether something that was silent reports again."""
        limit = self.config.no_data_after_ms
        silent = {
            name
            for name in self.alarm.silent
            if name not in self._heard or self._heard[name] + limit < now_ms
        }
        self.due_ms = 0
        return self._silence(now_ms, silent)

    def _silence(self, at_ms: int, names: set[str]) -> list[AlarmChange]:
        assert self.watch is not None
        kinds = self.watch.armed_kinds
        silent = tuple(sorted(names))
        no_data = all(kind in names for kind in kinds)
        limit_s = self.config.no_data_after_ms / 1000
        why = f"nothing for {limit_s:g} s from {', '.join(silent)}"
        change = self.alarm.silence(at_ms, silent, no_data=no_data, why=why)
        return [] if change is None else [change]

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "bundle": None if self.watch is None else self.watch.label,
            "alarm": self.alarm.snapshot(),
            "watch": None if self.watch is None else self.watch.snapshot(),
        }

    def restore(self, state: dict[str, Any], now_ms: int) -> list[str]:
        """Continue from a snapshot; another bundle keeps the alarm and warms its models anew."""
        self._since_ms, self.due_ms = now_ms, 0
        self.alarm.restore(state["alarm"])
        if self.watch is None:
            return []
        if "models" in self.alarm.silent:  # it was unarmed: silent until its scores are heard
            self.alarm.silent = tuple(sorted(self.watch.armed_kinds))
        if state["bundle"] != self.watch.label:
            self.alarm.forget_scores()
            return [f"{self.name}: bundle changed, models warm up anew; the alarm level is kept"]
        self.watch.restore(state["watch"])
        return []


class Watch:
    """Grid, features and models of one station, as its bundle says."""

    def __init__(self, config: StationConfig, bundle: Bundle) -> None:
        m = bundle.manifest
        check_schema(config, m)
        self.label = m.label
        self.channels = tuple(channel.name for channel in m.channels)
        names = [channel.name for channel in config.channels]
        self._take = tuple(names.index(name) for name in self.channels)
        self._targets = tuple(self.channels.index(t) for t in m.forecaster.targets)
        self._moving = tuple(self.channels.index(t) for t in m.kinematics.targets)
        unit = {channel.name: channel.unit for channel in m.channels}
        self.grid = Grid(
            config.name,
            m.step_ms,
            tuple(channel.aggregate for channel in m.channels),
            readings_per_step=config.readings_per_step,
            lateness_ms=config.lateness_ms,
        )
        self.features = Features(m.features, self.channels)
        self.kinematics = Kinematics(m.kinematics, tuple(unit[t] for t in m.kinematics.targets))
        self.forecaster = Forecaster(
            m.forecaster,
            bundle.forecaster.model,
            tuple(unit[t] for t in m.forecaster.targets),
            m.step_ms,
        )
        self.detectors = tuple(
            Detector(spec, m.features, self.channels, loaded.model)
            for spec, loaded in zip(m.detectors, bundle.detectors, strict=True)
        )
        ceiling = dict(config.alarm.ceiling)
        armed = ["velocity", *(("forecast", "residual") if m.forecaster.armed else ())]
        armed += [spec.name for spec in m.detectors if spec.armed]
        self.armed_kinds = tuple(f"score {kind}" for kind in armed if ceiling[kind])

    def observe(self, time_ms: int, values: list[float], *, rebased: bool) -> list[Observation]:
        """Put calibrated values (station order) on the grid."""
        steps = self.grid.rebase() if rebased else []
        return steps + self.grid.push(time_ms, [values[i] for i in self._take])

    def score(self, observation: Observation) -> Scored:
        """Let every model look at one grid step."""
        if observation.reset:
            self.features.reset()
            self.forecaster.reset()
            self.kinematics.reset()
            for detector in self.detectors:
                detector.reset()
        row = observation.values
        scores = self.kinematics.score_one([row[i] for i in self._moving])
        x = self.features.push(row)
        found = self.forecaster.score_one(x, [row[i] for i in self._targets])
        if found:
            scores += found
        for detector in self.detectors:
            score = detector.score_one(x)
            if score is not None:
                scores += (score,)
        return Scored(observation, scores, self.forecaster.forecasts() if found else NONE_YET)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "grid": self.grid.snapshot(),
            "features": self.features.snapshot(),
            "kinematics": self.kinematics.snapshot(),
            "forecaster": self.forecaster.snapshot(),
            "detectors": [detector.snapshot() for detector in self.detectors],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot taken with the same bundle."""
        self.grid.restore(state["grid"])
        self.features.restore(state["features"])
        self.kinematics.restore(state["kinematics"])
        self.forecaster.restore(state["forecaster"])
        for detector, kept in zip(self.detectors, state["detectors"], strict=True):
            detector.restore(kept)


def check_schema(config: StationConfig, manifest: Manifest) -> None:
    """Raise BundleError unless the station has every channel of the bundle, in its unit."""
    by_name = {channel.name: channel for channel in config.channels}
    wrong = []
    for spec in manifest.channels:
        channel = by_name.get(spec.name)
        if channel is None:
            wrong.append(f"channel {spec.name!r} ({spec.unit}) is not configured")
        elif channel.unit != spec.unit:
            wrong.append(f"channel {spec.name!r} is in {channel.unit}, trained in {spec.unit}")
        elif channel.aggregate != spec.aggregate:
            wrong.append(
                f"channel {spec.name!r} aggregates by {channel.aggregate}, "
                f"trained with {spec.aggregate}"
            )
    if config.step_ms and config.step_ms != manifest.step_ms:
        wrong.append(f"step_s is {config.step_ms / 1000:g}, trained at {manifest.step_ms / 1000:g}")
    if wrong:
        msg = f"station {config.name!r} does not fit bundle {manifest.label}: " + "; ".join(wrong)
        raise BundleError(msg)
