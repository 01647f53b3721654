"""A bundle trained on with new history, without forgetting the old.

The network goes on from its weights over the new sequences and the ones stored in the bundle
(rehearsal: Robins 1995), and the gate compares old and new on both: on new history held back, and
on stored stretches that were never trained on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import TalusError
from export.history import feature_rows
from export.models import forecast, gru, intervals, windows
from export.models.aim import Aim
from export.models.naives import naive_forecasts

if TYPE_CHECKING:
    from edge.manifest import ForecasterSpec, Manifest
    from export.history import Floats, History, Singles
    from export.models.artifacts import Progress
    from export.models.rehearsal import Rehearsal

HELD_SHARE = 0.3
"""Of the new history, its end, for the gate alone."""
FORGIVEN = 0.02
"""The old period may become worse by so much of its loss: less than two trainings differ."""
_EPOCHS, _SPEED = 15, 5e-4


@dataclass(frozen=True, slots=True)
class Updated:
    """Pinball losses of old and new network, and whether the new one may replace the old.

    x, y are the sequences of the new history; ``margin`` its conformal margins.
    """

    weights: gru.GruWeights
    new_before: float
    new_after: float
    old_before: float
    old_after: float
    x: Singles
    y: Singles
    margin: Floats
    rows: Singles

    @property
    def better(self) -> bool:
        """Better on what is new, and no worse on what was."""
        kept = self.old_after <= self.old_before * (1.0 + FORGIVEN)
        return self.new_after < self.new_before and kept

    @property
    def reason(self) -> str:
        """What the gate found, in words."""
        return (
            f"pinball loss on the new period {self.new_before:.4f} -> {self.new_after:.4f}, "
            f"on the old {self.old_before:.4f} -> {self.old_after:.4f} "
            f"(+{FORGIVEN:.0%} forgiven)"
        )


def update(
    manifest: Manifest,
    rehearsal: Rehearsal,
    history: History,
    progress: Progress,
) -> Updated:
    """Train on. Raises TalusError where the new history is too short."""
    spec, weights = manifest.forecaster, rehearsal.weights
    x, known = feature_rows(manifest.features, history)
    labels = windows.increments(history, spec.targets, spec.horizons)
    to = aim_of(spec, history)
    first = round(len(x) * (1.0 - HELD_SHARE))
    length = min(rehearsal.x.shape[1], first // 4)
    scaled = to.scaled(labels)
    stride = max(1, length // 8)
    fit = windows.sequences(
        x[: first - spec.horizons[-1]], known[: first - spec.horizons[-1]],
        scaled[: first - spec.horizons[-1]], length, stride,
    )  # fmt: skip
    held = windows.sequences(x[first:], known[first:], scaled[first:], length, stride)
    if not len(fit[0]) or not len(held[0]):
        raise TalusError(
            f"{len(x)} new steps hold no unbroken stretch of {length} to train on and one to "
            "judge by: wait for more history"
        )
    old = _cut(rehearsal.x, length), _cut(rehearsal.y, length)
    judge_old = _cut(rehearsal.judge_x, length), _cut(rehearsal.judge_y, length)
    after = _train(spec, weights, fit, old, manifest.seed, progress)
    late = slice(first, len(x))
    quantiles = forecast.streamed(
        forecast.reference(after), after.hidden, spec.warm_up_steps, len(spec.quantiles),
        to, x, known, history.reset, late,
    )  # fmt: skip
    return Updated(
        after,
        loss(weights, spec, held), loss(after, spec, held),
        loss(weights, spec, judge_old), loss(after, spec, judge_old),
        *fit,
        intervals.margins(quantiles, labels[late], spec.quantiles, to.scale),
        x[known],
    )  # fmt: skip


def aim_of(spec: ForecasterSpec, history: History) -> Aim:
    """Return what the network in a bundle stands on, over another history."""
    base, shape = spec.baseline, (len(spec.targets), len(spec.horizons))
    naive = naive_forecasts(history, spec.targets, spec.horizons, base.drift, base.season_steps)
    rows = [
        naive[kind][:, i, j] for kind, (i, j) in zip(spec.anchors, np.ndindex(*shape), strict=True)
    ]
    anchor = np.stack(rows, axis=1).reshape(-1, *shape)
    return Aim(spec.anchors, anchor, np.array(spec.scale).reshape(shape))


def _cut(rows: Singles, length: int) -> Singles:
    """Return stored sequences no longer than the new ones: all go through one graph."""
    return np.asarray(rows[:, :length])


def _train(
    spec: ForecasterSpec,
    weights: gru.GruWeights,
    new: tuple[Singles, Singles],
    old: tuple[Singles, Singles],
    seed: int,
    progress: Progress,
) -> gru.GruWeights:
    """Go on from the weights; each epoch sees as much of the old as of the new."""
    repeat = max(1, len(new[0]) // max(1, len(old[0])))
    x = np.concatenate([new[0], *[old[0]] * repeat])
    y = np.concatenate([new[1], *[old[1]] * repeat])
    recipe = gru.Recipe(
        weights.hidden, spec.quantiles, min(spec.warm_up_steps, x.shape[1] // 4),
        _EPOCHS, 0.0, 0.0, learning_rate=_SPEED,
    )  # fmt: skip
    progress.stage("update GRU", _EPOCHS)
    return gru.fit(
        recipe, (x, y), (x[:0], y[:0]), (seed,),
        lambda epoch, found, _: progress.step(f"epoch {epoch + 1}, loss {found:.4f}"),
        weights,
    )[0]  # fmt: skip


def loss(
    weights: gru.GruWeights, spec: ForecasterSpec, sequences: tuple[Singles, Singles]
) -> float:
    """Return the mean pinball loss over sequences, after the warm-up."""
    x, y = sequences
    h = np.zeros((len(x), weights.hidden))
    levels, skip = np.array(spec.quantiles), min(spec.warm_up_steps, x.shape[1] // 4)
    total, count = 0.0, 0
    for t in range(x.shape[1]):
        out, h = weights.step(x[:, t].astype(np.float64), h)
        if t < skip:
            continue
        off = y[:, t, :, :, None] - out.reshape(*y[:, t].shape, len(levels))
        pinball = np.maximum(levels * off, (levels - 1.0) * off)
        total += float(np.nansum(pinball))
        count += int(np.isfinite(pinball).sum())
    return total / max(count, 1)


def updated_spec(spec: ForecasterSpec, found: Updated) -> ForecasterSpec:
    """Return the spec with margins that are wide enough for the old period and for the new."""
    margin = np.maximum(np.array(spec.margin), found.margin.ravel())
    return replace(spec, margin=tuple(margin.tolist()), reason=f"{spec.reason}; {found.reason}")
