"""Thresholds from the calibration part, by the very classes that will compare with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge.autoencoder import Detector
from edge.kinematics import Kinematics
from edge.manifest import DetectorSpec, ForecasterSpec, KinematicsSpec
from export.models.budget import limit_for

if TYPE_CHECKING:
    from edge.runtime import Model
    from export.history import Floats, History
    from export.models.artifacts import Exported
    from export.models.material import Material

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
    return tuple(limit(seen[target]) for target in targets)


def with_artifacts(spec: ForecasterSpec, exported: Exported) -> ForecasterSpec:
    """Return the spec with what was exported."""
    return replace(spec, artifacts=exported.artifacts)


def set_detector(spec: DetectorSpec, m: Material, model: Model) -> DetectorSpec:
    """Return the spec with a threshold that keeps the budget of false alarms.

    From the calibration part, streamed through the shipped artifact by the gateway's own class.
    The reason says as well how often the part after it, which set nothing, was over.
    """
    detector = Detector(spec, m.features, m.history.channels, model)

    def scores(span: slice) -> Floats:
        steps = range(span.start, span.stop)
        each = [detector.score_one(m.x[i] if m.known[i] else None) for i in steps]
        return np.array([score.value for score in each if score is not None])

    found = limit_for(scores(m.parts.calibration), spec.false_alarm_share)
    later = scores(m.parts.test)
    said = f"{spec.reason}; threshold: {found.how}"
    if len(later):
        share = float((later >= found.value).mean())
        said += f"; {share:.2%} of the {len(later)} later ones, held back, reach it"
    return replace(spec, threshold=found.value, reason=said)


def limit(values: list[float], floor: float = 1e-6) -> float:
    """Return what the quiet history stayed below, and MARGIN more; at least ``floor``."""
    if not values:
        return max(floor, 1.0)
    return max(floor, MARGIN * float(np.quantile(values, QUANTILE)))
