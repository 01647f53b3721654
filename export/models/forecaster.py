"""The forecaster of one station: judged out of fold, fitted on the whole history, exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.manifest import BaselineSpec, ForecasterSpec
from export.models import forecast, gate, intervals, outlook, thresholds
from export.models.aim import aim
from export.models.artifacts import export_model
from export.models.gru_export import ExportableGru
from export.models.naives import drifts, window_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.checkpoint import Checkpoint
    from export.history import Flags, Floats, Singles
    from export.models.aim import Aim
    from export.models.artifacts import Exported, Progress
    from export.models.gru import GruWeights
    from export.models.material import Material
    from export.models.outlook import Coverage
    from export.train_config import TrainConfig

RESIDUAL_STEPS = 6.0
"""Time constant of the residual: a precursor lasts, a spike does not."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecaster as it ships, what it was judged by, and what the report shows of it.

    ``quantiles`` float64[steps, targets, horizons, quantiles] are those out of fold, of the first
    seed; ``aim`` is what the shipped network stands on.
    """

    spec: ForecasterSpec
    exported: Exported
    weights: GruWeights
    skills: tuple[gate.Skill, ...]
    coverage: tuple[Coverage, ...]
    quantiles: Floats
    aim: Aim


def make_forecaster(
    wanted: TrainConfig,
    m: Material,
    interpolated: frozenset[str],
    progress: Progress,
    checkpoint: Checkpoint,
) -> Forecast:
    """Judge by rolling origin, fit on all there is, export. Raises TalusError."""
    held = forecast.rolling(wanted, m, progress, checkpoint)
    middle = len(wanted.quantiles) // 2
    skills = gate.forecast_skill(
        held[..., middle], m.labels, m.naive, m.folds, wanted.targets, wanted.horizons
    )
    verdict = gate.judge_forecaster(skills, wanted.targets, wanted.horizons[-1], interpolated)
    progress.note(f"GRU {'armed' if verdict.armed else 'in shadow'}: {verdict.reason}")
    kinds = best_naive(skills, wanted)
    whole = slice(0, len(m.x))
    to = aim(m, whole)
    weights = forecast.fit(wanted, m, to, whole, 1, progress, checkpoint, "final")[0]
    spec = specified(wanted, m, to, held[0], verdict, kinds, interpolated)
    rows = m.x[m.known]
    exported = export_model("gru", ExportableGru(weights), rows, progress, decide(spec))
    spec = thresholds.with_artifacts(spec, exported)
    found = outlook.coverage(wanted, m, held[0], kinds, to.scale)
    return Forecast(spec, exported, weights, skills, found, held[0], to)


def best_naive(skills: tuple[gate.Skill, ...], wanted: TrainConfig) -> tuple[str, ...]:
    """Return the naive forecast of each target and horizon: armed where the GRU is not."""
    best = {(s.target, s.horizon): s.best_naive for s in skills}
    return tuple(
        best.get((target, horizon), "persistence")
        for target in wanted.targets
        for horizon in wanted.horizons
    )


def specified(
    wanted: TrainConfig,
    m: Material,
    to: Aim,
    quantiles: Floats,
    verdict: gate.Verdict,
    kinds: tuple[str, ...],
    interpolated: frozenset[str],
) -> ForecasterSpec:
    """Return the spec but for its artifacts; quantiles [steps, ...] are those out of fold."""
    held, whole = outlook.held(m), slice(0, len(m.x))
    margin = intervals.margins(quantiles[held], m.labels[held], wanted.quantiles, to.scale)
    nearest = margin[:, 0, 0] * to.scale[:, 0] if margin.shape[2] else np.zeros(len(to.scale))
    offsets = outlook.baseline_offsets(wanted, m, kinds, whole)
    naive = outlook.baseline_quantiles(m, kinds, offsets)
    limits = [
        outlook.residual_limits(wanted, m, q, wider, RESIDUAL_STEPS, interpolated)
        for q, wider in ((quantiles, nearest), (naive, np.zeros(len(to.scale))))
    ]
    return ForecasterSpec(
        armed=verdict.armed,
        reason=verdict.reason,
        targets=wanted.targets,
        horizons=wanted.horizons,
        quantiles=wanted.quantiles,
        hidden=wanted.hidden * wanted.members,
        scale=tuple(to.scale.ravel().tolist()),
        anchors=to.anchors,
        margin=tuple(margin.ravel().tolist()),
        adapt_rate=wanted.adapt_rate,
        baseline=BaselineSpec(
            kinds,
            drifts(m.labels, whole),
            window_of(wanted.horizons),
            m.season_steps,
            tuple(offsets.ravel().tolist()),
            limits[1],
        ),
        warm_up_steps=wanted.warm_up_steps,
        rate_reference=thresholds.movement_reference(
            m.history, wanted.targets, wanted.horizons[-1], m.parts.train
        ),
        residual_threshold=limits[0],
        residual_time_constant_steps=RESIDUAL_STEPS,
        artifacts=(),
        golden="golden.gru.json",
    )


def decide(spec: ForecasterSpec) -> Callable[[Singles], Flags]:
    """Return what tells, of outputs [n, O], whether the forecast alone would raise an alarm."""
    shape = (len(spec.targets), len(spec.horizons), len(spec.quantiles))
    scale = np.array(spec.scale).reshape(shape[:2])[:, -1]
    limit = np.array(spec.rate_reference)

    def over(outputs: Singles) -> Flags:
        last = np.sort(outputs.reshape(-1, *shape)[:, :, -1], axis=-1)
        return np.asarray((np.abs(last[:, :, shape[2] // 2] * scale) >= limit).any(axis=1))

    return over
