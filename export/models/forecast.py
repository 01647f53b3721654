"""The GRU of one station: fitted on a span of history, and its forecasts of what came after."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import TalusError
from export.models import gru, windows
from export.models.aim import aim
from export.models.recipe import FEW_STEPS, recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.checkpoint import Checkpoint
    from export.history import Flags, Floats, Singles
    from export.models.aim import Aim
    from export.models.artifacts import Progress
    from export.models.material import Material
    from export.train_config import TrainConfig

    # x [1, features], state [1, hidden] to y [1, outputs], next state: reference or runtime
    Step = Callable[[Singles, Singles], tuple[Singles, Singles | None]]

_MIN_SEQUENCES = 16
_VALIDATION = 5
"""One part in so many of the training sequences, the latest, tells when to stop."""
_STRIDES = 8
_RUN_UP = 10
"""A block is streamed from so many warm-ups before it: the state has long forgotten its start."""


def sequences(
    wanted: TrainConfig, m: Material, to: Aim, span: slice
) -> tuple[tuple[Singles, Singles], tuple[Singles, Singles]]:
    """Return (x, y) to fit and to stop by; y as scaled by the aim.

    A short history goes in whole, each unbroken run padded with unknown labels, and trains for
    all its epochs. Raises TalusError where there is too little.
    """
    labels = to.scaled(m.labels)[span]
    x, known = m.x[span], m.known[span]
    if len(x) < FEW_STEPS:
        return (
            windows.runs(x, known, m.history.reset[span], labels),
            (x[:0], labels[:0].astype(np.float32)),
        )
    length = min(wanted.sequence_steps, max(8, len(x) // 4))
    stride = max(1, length // _STRIDES)
    xs, ys = windows.sequences(x, known, labels, length, stride)
    if len(xs) < _MIN_SEQUENCES:
        raise TalusError(
            f"{len(xs)} unbroken stretches of {length} steps to train on; {_MIN_SEQUENCES} "
            "needed: see the gaps of each channel, or lower train.sequence_steps"
        )
    held = len(xs) // _VALIDATION
    gap = _STRIDES  # neighbours overlap: those between the two parts are left out
    end = len(xs) - held - gap
    return (xs[:end], ys[:end]), (xs[-held:], ys[-held:])


def fit(
    wanted: TrainConfig,
    m: Material,
    to: Aim,
    span: slice,
    seeds: int,
    progress: Progress,
    checkpoint: Checkpoint,
    name: str,
) -> list[gru.GruWeights]:
    """Train the network of each seed on a span; kept ones are not trained again."""
    every = tuple(
        wanted.seed + 1000 * seed + member
        for seed in range(seeds)
        for member in range(wanted.members)
    )

    def make() -> list[Singles]:
        train, validation = sequences(wanted, m, to, span)
        found = gru.fit(recipe(wanted, len(m.x[span])), train, validation, every, _tell(progress))
        return [getattr(w, f.name) for w in found for f in fields(w)]

    progress.stage(f"train GRU {name}", wanted.epochs)
    arrays = checkpoint.arrays(f"gru-{name}", make)
    size = len(fields(gru.GruWeights))
    nets = [gru.GruWeights(*arrays[i : i + size]) for i in range(0, len(arrays), size)]
    count = wanted.members
    return [gru.vote(nets[i : i + count]) for i in range(0, len(nets), count)]


def _tell(progress: Progress) -> Callable[[int, float, float], None]:
    return lambda epoch, loss, held: progress.step(
        f"epoch {epoch + 1}, loss {loss:.4f}" + (f", held {held:.4f}" if held > 0 else "")
    )


def reference(weights: gru.GruWeights) -> Step:
    """Return the step of the reference, in float64."""
    return lambda x, h: weights.step(x.astype(np.float64), h.astype(np.float64))


def quantiles(
    step: Step, hidden: int, wanted: TrainConfig, m: Material, to: Aim, span: slice
) -> Floats:
    """Stream up to the end of a span, as the gateway would.

    Returns float64[steps of the span, targets, horizons, quantiles], rising, in target units;
    NaN where features are not known or the state warms up.
    """
    start = max(0, span.start - _RUN_UP * wanted.warm_up_steps)
    rows = slice(start, span.stop)
    found = streamed(
        step, hidden, wanted.warm_up_steps, len(wanted.quantiles),
        to, m.x, m.known, m.history.reset, rows,
    )  # fmt: skip
    return found[span.start - start :]


def streamed(
    step: Step,
    hidden: int,
    warm_up_steps: int,
    levels: int,
    to: Aim,
    x: Singles,
    known: Flags,
    reset: Flags,
    span: slice,
) -> Floats:
    """Stream a span from zero state: float64[steps, targets, horizons, levels] in target units."""
    shape = (*to.scale.shape, levels)
    out = np.full((span.stop - span.start, *shape), np.nan)
    start = np.zeros((1, hidden), np.float32)
    h, age = start, 0
    for i in range(span.start, span.stop):
        if reset[i] or not known[i]:
            h, age = start, 0
        if not known[i]:
            continue
        y, following = step(x[i : i + 1], h)
        h = start if following is None else following
        age += 1
        if age > warm_up_steps:
            row = y.reshape(shape) * to.scale[:, :, None] + to.anchor[i][:, :, None]
            out[i - span.start] = np.sort(row, axis=-1)
    return out


def rolling(wanted: TrainConfig, m: Material, progress: Progress, checkpoint: Checkpoint) -> Floats:
    """Forecast every held-back block from what was before it, once for each seed.

    Returns float64[seeds, steps, targets, horizons, quantiles], NaN outside the blocks.
    """
    shape = (len(wanted.targets), len(wanted.horizons), len(wanted.quantiles))
    out = np.full((wanted.seeds, len(m.x), *shape), np.nan)
    for i, fold in enumerate(m.folds):
        to, name = aim(m, fold.train), f"fold {i + 1}"
        nets = fit(wanted, m, to, fold.train, wanted.seeds, progress, checkpoint, name)
        for seed, net in enumerate(nets):
            out[seed, fold.block] = quantiles(reference(net), net.hidden, wanted, m, to, fold.block)
    return out
