"""What a bundle brings to a station: grid, features and models, step by step."""

from __future__ import annotations

import hashlib
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from edge.autoencoder import Detector
from edge.baseline import Baseline
from edge.features import Features
from edge.grid import Grid, Observation
from edge.gru import Forecaster
from edge.kinematics import Kinematics
from edge.score import NONE_YET, Scores
from firmware_bridge.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.bundle import Bundle
    from edge.config import StationConfig
    from edge.manifest import FeatureSpec, ForecasterSpec, Manifest
    from edge.score import Forecasts, Score


@record
class Scored:
    """One grid step and what the models say of it (empty while they warm up)."""

    observation: Observation
    scores: Scores | tuple[Score, ...]
    forecasts: Forecasts


class Watch:
    """Grid, features and models of one station, as its bundle says."""

    def __init__(self, config: StationConfig, bundle: Bundle) -> None:
        self.manifest = m = bundle.manifest
        self.label = m.label
        # A bundle made anew under the same label has other features: its state would not fit.
        self.identity = f"{m.label} {hashlib.sha256(repr(m).encode()).hexdigest()[:16]}"
        self.channels = tuple(channel.name for channel in m.channels)
        names = [channel.name for channel in config.channels]
        self._take = _taking(tuple(names.index(name) for name in self.channels))
        self._targets = _taking(tuple(self.channels.index(t) for t in m.forecaster.targets))
        self._moving = _taking(tuple(self.channels.index(t) for t in m.kinematics.targets))
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
        self.baseline = None if m.forecaster.armed else Baseline(m.forecaster, m.step_ms)
        self.detectors = tuple(
            Detector(spec, m.features, self.channels, loaded.model)
            for spec, loaded in zip(m.detectors, bundle.detectors, strict=True)
        )
        self._heads = (
            *self.kinematics.heads,
            *(() if self.baseline is None else self.baseline.heads),
            *self.forecaster.heads,
            *(detector.head for detector in self.detectors),
        )
        self.step_ms = m.step_ms
        self.jump_limits = tuple(_jump_limit(name, m.features) for name in names)
        """Of each channel of the station: the largest change that training has seen."""
        idle = () if m.forecaster.armed else (("gru", m.forecaster.reason),)
        self.shadow = (*idle, *((d.name, d.reason) for d in m.detectors if not d.armed))
        """(model, why) of those that are computed and published, and never alarm."""
        ceiling = dict(config.alarm.ceiling)
        armed = ["velocity", *_forecasting(m.forecaster)]
        armed += [spec.name for spec in m.detectors if spec.armed]
        self.scored = tuple(scored(m))
        """(kind, channel or detector) of all its scores but the velocity, for rules."""
        self.armed_kinds = tuple(f"score {kind}" for kind in armed if ceiling[kind])

    def observe(self, time_ms: int, values: list[float], *, rebased: bool) -> list[Observation]:
        """Put calibrated values (station order) on the grid."""
        if rebased:
            return self.grid.rebase() + self.grid.push(time_ms, self._take(values))
        return self.grid.push(time_ms, self._take(values))

    def score(self, observation: Observation) -> Scored:
        """Let every model look at one grid step."""
        if observation.reset:
            self._reset()
        row = observation.values
        values = self.kinematics.push(self._moving(row))
        targets = self._targets(row)
        forecasts = NONE_YET
        if self.baseline is not None:
            values += self.baseline.push(targets)
            forecasts = self.baseline.forecasts()
        x = self.features.push(row)
        values += self.forecaster.push(x, targets)
        if self.baseline is None:
            forecasts = self.forecaster.forecasts()
        errors = []
        for detector in self.detectors:
            values.append(detector.push(x))
            errors.append(detector.errors)
        return Scored(observation, Scores(self._heads, values, errors), forecasts)

    def _reset(self) -> None:
        """Start all from zero state: the grid broke before this step."""
        self.features.reset()
        self.forecaster.reset()
        self.kinematics.reset()
        if self.baseline is not None:
            self.baseline.reset()
        for detector in self.detectors:
            detector.reset()

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "grid": self.grid.snapshot(),
            "features": self.features.snapshot(),
            "kinematics": self.kinematics.snapshot(),
            "forecaster": self.forecaster.snapshot(),
            "baseline": None if self.baseline is None else self.baseline.snapshot(),
            "detectors": [detector.snapshot() for detector in self.detectors],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot taken with the same bundle."""
        self.grid.restore(state["grid"])
        self.features.restore(state["features"])
        self.kinematics.restore(state["kinematics"])
        self.forecaster.restore(state["forecaster"])
        if self.baseline is not None:
            self.baseline.restore(state["baseline"])
        for detector, kept in zip(self.detectors, state["detectors"], strict=True):
            detector.restore(kept)


def _forecasting(spec: ForecasterSpec) -> list[str]:
    """Return the kinds of score that stand in for the forecast: the GRU's, or the baseline's."""
    if spec.armed:
        return ["forecast", *(["residual"] if any(spec.residual_threshold) else [])]
    return ["baseline"] if any(spec.baseline.threshold) else []


def scored(m: Manifest) -> list[tuple[str, str]]:
    """Return (kind, channel or detector) of all scores of a bundle but the velocity."""
    kinds = _forecasting(m.forecaster)
    found = [(kind, target) for kind in kinds for target in m.forecaster.targets]
    return found + [("detector", spec.name) for spec in m.detectors if spec.armed]


def _jump_limit(channel: str, spec: FeatureSpec) -> float:
    """Return the largest change at once that a channel's features can tell from a larger one."""
    return max(
        (
            spec.clip * sd
            for term, sd in zip(spec.terms, spec.sd, strict=True)
            if term.channel == channel and term.transform in ("deviation", "difference")
        ),
        default=float("inf"),
    )


def _taking(places: tuple[int, ...]) -> Callable[[Sequence[float]], Sequence[float]]:
    """Return what takes these places of a row."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: [row[place] for place in places]
