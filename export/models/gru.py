"""The GRU forecaster: trained over sequences in TensorFlow, carried on as weights of one step.

Pinball loss (Koenker & Bassett 1978) on increments over their training spread. Several networks
(seeds, and the members that vote in one) are trained side by side in one graph: on small machines
the loop over time costs more than its sums. The step form is the deployed one: see models.md on
why a window must never be exported.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.history import Singles

BATCH = 32
PATIENCE = 6
LEARNING_RATE = 3e-3
CLIP_NORM = 1.0
_HEAD_START = 0.1
"""The head starts small and its bias at the quantiles of the labels: the forecast it begins with
is the naive one, and what is learned is what departs from it."""


@dataclass(frozen=True, slots=True)
class GruWeights:
    """Keras ``reset_after`` weights, gates in the order z, r, h, and the linear head.

    kernel [F, 3H], recurrent [H, 3H], bias [2, 3H], head [H, O], head_bias [O]; all float32.
    """

    kernel: Singles
    recurrent: Singles
    bias: Singles
    head: Singles
    head_bias: Singles

    @property
    def hidden(self) -> int:
        """Size of the state."""
        return int(self.recurrent.shape[0])

    def step(self, x: npt.NDArray[Any], h: npt.NDArray[Any]) -> tuple[Any, Any]:
        """Run one step in the precision of the inputs: the reference of every parity test."""
        n = 2 * self.hidden
        a = x @ self.kernel + self.bias[0]
        b = h @ self.recurrent + self.bias[1]
        gates = 1.0 / (1.0 + np.exp(-(a[:, :n] + b[:, :n])))
        z, r = np.split(gates, 2, axis=1)
        c = np.tanh(a[:, n:] + r * b[:, n:])
        following = c + z * (h - c)
        return following @ self.head + self.head_bias, following


@dataclass(frozen=True, slots=True)
class Recipe:
    """How networks are fitted. ``quantiles`` are those of the loss; ``skip`` steps warm up."""

    hidden: int
    quantiles: tuple[float, ...]
    skip: int
    epochs: int
    dropout: float
    weight_decay: float
    patience: int = PATIENCE
    learning_rate: float = LEARNING_RATE


def run(weights: GruWeights, rows: Singles) -> tuple[Singles, Singles]:
    """Step float32[steps, features] from zero state; returns outputs and the states before."""
    h = np.zeros((1, weights.hidden))
    outputs, states = [], []
    for x in rows.astype(np.float64):
        states.append(h[0])
        y, h = weights.step(x[None], h)
        outputs.append(y[0])
    return np.array(outputs, dtype=np.float32), np.array(states, dtype=np.float32)


def vote(members: list[GruWeights]) -> GruWeights:
    """Return one network whose output is the mean of its members': still a single step."""
    if len(members) == 1:
        return members[0]
    size, count = members[0].hidden, len(members)
    features = members[0].kernel.shape[0]
    kernel = np.zeros((features, 3, count * size), np.float32)
    recurrent = np.zeros((count * size, 3, count * size), np.float32)
    bias = np.zeros((2, 3, count * size), np.float32)
    for i, each in enumerate(members):
        own = slice(i * size, (i + 1) * size)
        kernel[:, :, own] = each.kernel.reshape(features, 3, size)
        recurrent[own, :, own] = each.recurrent.reshape(size, 3, size)
        bias[:, :, own] = each.bias.reshape(2, 3, size)
    return GruWeights(
        kernel.reshape(features, -1),
        recurrent.reshape(count * size, -1),
        bias.reshape(2, -1),
        np.concatenate([m.head for m in members]) / np.float32(count),
        np.mean([m.head_bias for m in members], axis=0, dtype=np.float32),
    )


def fit(
    recipe: Recipe,
    train: tuple[Singles, Singles],
    validation: tuple[Singles, Singles],
    seeds: tuple[int, ...],
    progress: Callable[[int, float, float], None],
    start: GruWeights | None = None,
) -> list[GruWeights]:
    """Train one network a seed; ``progress(epoch, loss, validation loss)`` after each epoch.

    x float32[n, steps, features], labels float32[n, steps, targets, horizons], NaN unknown.
    Each stops at its own best validation loss; without validation all epochs are run.
    ``start`` are weights to go on from instead of random ones.
    """
    x, y = train
    outputs = y.shape[2] * y.shape[3] * len(recipe.quantiles)
    weights = [start or _random(recipe, x.shape[2], y, seed) for seed in seeds]
    graph = _graph(recipe, len(seeds), x.shape[2], outputs)
    graph.begin([np.stack(group) for group in zip(*(_parts(w) for w in weights), strict=True)])
    best = graph.values()
    best_loss, stale = np.full(len(seeds), np.inf), np.zeros(len(seeds), np.int64)
    order = np.random.default_rng(seeds[0])
    batch = min(BATCH, len(x))
    for epoch in range(recipe.epochs):
        shuffled = order.permutation(len(x))
        losses = []
        for i, at in enumerate(range(0, len(x) - batch + 1, batch)):
            pick = shuffled[at : at + batch]
            noise = np.array([seeds[0], epoch * 10_000 + i], np.int32)
            losses.append(graph.learn(x[pick], y[pick], noise))
        mean = np.mean(losses, axis=0)
        held = graph.judge(*validation) if len(validation[0]) else np.full(len(seeds), -epoch)
        progress(epoch, float(mean.mean()), float(held.mean()))
        better = held < best_loss - 1e-5
        for kept, now in zip(best, graph.values(), strict=True):
            kept[better] = now[better]
        best_loss = np.where(better, held, best_loss)
        stale = np.where(better, 0, stale + 1)
        if (stale >= recipe.patience).all():
            break
    return [GruWeights(*(group[i] for group in best)) for i in range(len(seeds))]


def _parts(w: GruWeights) -> tuple[Singles, ...]:
    return w.kernel, w.recurrent, w.bias, w.head, w.head_bias


def _random(recipe: Recipe, features: int, labels: Singles, seed: int) -> GruWeights:
    """Return Keras' initial weights (Glorot uniform, orthogonal) and a head that starts naive."""
    random, h = np.random.default_rng(seed), recipe.hidden
    limit = np.sqrt(6.0 / (features + 3 * h))
    kernel = random.uniform(-limit, limit, (features, 3 * h))
    square, upper = np.linalg.qr(random.standard_normal((3 * h, h)))
    recurrent = (square * np.sign(np.diag(upper))).T
    flat = labels.reshape(-1, labels.shape[2] * labels.shape[3])
    levels = np.nan_to_num(np.nanquantile(flat, recipe.quantiles, axis=0)).T.ravel()
    limit = _HEAD_START * np.sqrt(6.0 / (h + len(levels)))
    head = random.uniform(-limit, limit, (h, len(levels)))
    single = np.float32
    return GruWeights(
        kernel.astype(single), recurrent.astype(single), np.zeros((2, 3 * h), single),
        head.astype(single), levels.astype(single),
    )  # fmt: skip


@lru_cache(maxsize=4)
def _graph(recipe: Recipe, count: int, features: int, outputs: int) -> Any:
    """Return the training graph of these sizes: tracing it takes longer than a small training."""
    from export.models.gru_graph import Graph

    return Graph(recipe, count, features, outputs)
