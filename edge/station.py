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

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.config import StationConfig
    from edge.manifest import Manifest
    from edge.score import Forecast, Score
    from firmware_bridge.reading import Reading

TICK_MS = 200
"""Silence is looked for at most so often."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One grid step and what the models say of it (empty while they warm up)."""

    observation: Observation
    scores: tuple[Score, ...]
    forecasts: tuple[Forecast, ...]


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
        self._ticked_ms = 0

    def receive(
        self, reading: Reading, *, rebased: bool
    ) -> tuple[list[float], list[Scored], list[AlarmChange]]:
        """Take one reading: its calibrated values, and the grid steps and changes it leads to."""
        calibrator = self._calibrator(reading)
        values = calibrator.apply(reading.values, reading.time_ms)
        now_ms = reading.received_ms
        if self._since_ms is None:
            self._since_ms = now_ms
        heard = self._heard
        for name, value in zip(self.channels, values, strict=True):
            if value == value:
                heard[name] = now_ms
        if self.watch is None:
            return values, [], []
        scored, changes = [], []
        for observation in self.watch.observe(reading.time_ms, values, rebased=rebased):
            step = self.watch.score(observation)
            scored.append(step)
            changes += self._decide(step, now_ms)
        return values, scored, changes

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
        found: list[AlarmChange | None] = []
        if step.scores and self.alarm.silent:
            found.append(self._silence(now_ms))
        time_ms = step.observation.time_ms
        found.append(self.alarm.update(time_ms, now_ms, step.scores))
        return [change for change in found if change is not None]

    def tick(self, now_ms: int) -> list[AlarmChange]:
        """Look for silence; the change carries the moment it was due, so replay agrees."""
        if self._since_ms is None:
            self._since_ms = now_ms
        if 0 <= now_ms - self._ticked_ms < TICK_MS:
            return []
        self._ticked_ms = now_ms
        change = self._silence(now_ms)
        return [] if change is None else [change]

    def _silence(self, now_ms: int) -> AlarmChange | None:
        """Compare when each armed score and model channel was last heard with the limit."""
        if self.watch is None:
            why = f"not armed: {self.unarmed}"
            return self.alarm.silence(now_ms, ("models",), no_data=True, why=why)
        limit = self.config.no_data_after_ms
        start = self._since_ms if self._since_ms is not None else now_ms
        expected = (*self.watch.armed_kinds, *self.watch.channels)
        last = {name: self._heard.get(name, start) for name in expected}
        silent = tuple(name for name in expected if now_ms - last[name] > limit)
        if silent == self.alarm.silent:
            return None
        kinds = self.watch.armed_kinds
        no_data = all(kind in silent for kind in kinds)
        names = ", ".join(silent)
        why = f"nothing for {limit / 1000:g} s from {names}"
        due = max((last[name] + limit for name in silent), default=now_ms)
        return self.alarm.silence(min(due, now_ms), silent, no_data=no_data, why=why)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "bundle": None if self.watch is None else self.watch.label,
            "alarm": self.alarm.snapshot(),
            "watch": None if self.watch is None else self.watch.snapshot(),
        }

    def restore(self, state: dict[str, Any], now_ms: int) -> list[str]:
        """Continue from a snapshot; another bundle keeps the alarm and warms its models anew."""
        self._since_ms = now_ms
        self.alarm.restore(state["alarm"])
        if self.watch is None:
            return []
        if state["bundle"] != self.watch.label:
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
        self._kinematics = Kinematics(m.kinematics, tuple(unit[t] for t in m.kinematics.targets))
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
            self._kinematics.reset()
            for detector in self.detectors:
                detector.reset()
        row = observation.values.tolist()
        scores = self._kinematics.score_one([row[i] for i in self._moving])
        x = self.features.push(observation.values)
        found = self.forecaster.score_one(x, [row[i] for i in self._targets])
        if found:
            scores += found
        for detector in self.detectors:
            score = detector.score_one(x)
            if score is not None:
                scores += (score,)
        return Scored(observation, scores, self.forecaster.forecasts() if found else ())

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "grid": self.grid.snapshot(),
            "features": self.features.snapshot(),
            "kinematics": self._kinematics.snapshot(),
            "forecaster": self.forecaster.snapshot(),
            "detectors": [detector.snapshot() for detector in self.detectors],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot taken with the same bundle."""
        self.grid.restore(state["grid"])
        self.features.restore(state["features"])
        self._kinematics.restore(state["kinematics"])
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
