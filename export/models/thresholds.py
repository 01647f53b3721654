"""Thresholds from the calibration part, by the very classes that will compare with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge.autoencoder import Detector
from edge.gru import Forecaster
from edge.kinematics import Kinematics
from edge.manifest import DetectorSpec, FeatureSpec, ForecasterSpec, KinematicsSpec

if TYPE_CHECKING:
    from edge.runtime import Model
    from export.history import Flags, Floats, History, Singles
    from export.models.windows import Split

QUANTILE = 0.999
MARGIN = 1.25
"""What the site did in its own quiet history, and a quarter more, is not yet news."""


def movement_reference(
    history: History, targets: tuple[str, ...], window: int, span: slice
) -> tuple[float, ...]:
    """Return what counts as 1.0 of movement over ``window`` steps, for each target."""
    spec = KinematicsSpec(targets, window, (1.0,) * len(targets))
    places = [history.channels.index(t) for t in targets]
    watch = Kinematics(spec, ("",) * len(targets))
    seen: dict[str, list[float]] = {target: [] for target in targets}
    for values, reset in zip(history.values[span], history.reset[span], strict=True):
        if reset:
            watch.reset()
        for score in watch.score_one([float(values[i]) for i in places]):
            seen[score.channel].append(score.value)
    return tuple(_limit(seen[target]) for target in targets)


def forecast_scores(
    spec: ForecasterSpec, model: Model, history: History, x: Singles, known: Flags, span: slice
) -> dict[tuple[str, str], list[float]]:
    """Stream the shipped artifact over a span: values by (kind, channel)."""
    forecaster = Forecaster(spec, model, ("",) * len(spec.targets), 1)
    places = [history.channels.index(t) for t in spec.targets]
    seen: dict[tuple[str, str], list[float]] = {}
    for i in range(span.start, span.stop):
        if history.reset[i]:
            forecaster.reset()
        row = x[i] if known[i] else None
        targets = [float(history.values[i, j]) for j in places]
        for score in forecaster.score_one(row, targets) or ():
            seen.setdefault((score.kind, score.channel), []).append(score.value)
    return seen


def set_forecaster(
    spec: ForecasterSpec, model: Model, history: History, x: Singles, known: Flags, parts: Split
) -> ForecasterSpec:
    """Return the spec with residual thresholds from the calibration part."""
    seen = forecast_scores(spec, model, history, x, known, parts.calibration)
    limits = tuple(_limit(seen.get(("residual", t), []), floor=0.5) for t in spec.targets)
    return replace(spec, residual_threshold=limits)


def set_detector(
    spec: DetectorSpec,
    features: FeatureSpec,
    history: History,
    model: Model,
    errors: Floats,
    x: Singles,
    known: Flags,
    parts: Split,
) -> DetectorSpec:
    """Return the spec with the scale of each channel and the threshold of the worst of them."""
    scale = (1.0,) * len(history.channels)
    if len(errors):
        scale = tuple(np.maximum(errors.mean(axis=0), 1e-9).tolist())
    spec = replace(spec, channel_scale=scale)
    detector = Detector(spec, features, history.channels, model)
    seen = []
    for i in range(parts.calibration.start, parts.calibration.stop):
        score = detector.score_one(x[i] if known[i] else None)
        if score is not None:
            seen.append(score.value)
    return replace(spec, threshold=_limit(seen, floor=1.0))


def _limit(values: list[float], floor: float = 1e-6) -> float:
    if not values:
        return max(floor, 1.0)
    return max(floor, MARGIN * float(np.quantile(values, QUANTILE)))
