"""The GRU forecaster: trained over sequences in Keras, carried on as plain weights for one step.

Pinball loss (Koenker & Bassett 1978) on increments over their training spread. The step form is
the deployed one: see models.md on why a window must never be exported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.history import Singles
    from export.train_config import TrainConfig

BATCH = 32
PATIENCE = 6


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


def run(weights: GruWeights, rows: Singles) -> tuple[Singles, Singles]:
    """Step float32[steps, features] from zero state; returns outputs and the states before."""
    h = np.zeros((1, weights.hidden))
    outputs, states = [], []
    for x in rows.astype(np.float64):
        states.append(h[0])
        y, h = weights.step(x[None], h)
        outputs.append(y[0])
    return np.array(outputs, dtype=np.float32), np.array(states, dtype=np.float32)


def fit(
    config: TrainConfig,
    train: tuple[Singles, Singles],
    validation: tuple[Singles, Singles],
    progress: Callable[[int, float, float], None],
) -> GruWeights:
    """Train; ``progress(epoch, loss, validation loss)`` is called after each epoch.

    x float32[n, steps, features], labels float32[n, steps, targets, horizons], NaN unknown.
    """
    import tensorflow as tf

    tf.keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    outputs = len(config.targets) * len(config.horizons) * len(config.quantiles)
    inputs = tf.keras.Input((None, train[0].shape[2]))
    gru = tf.keras.layers.GRU(config.hidden, reset_after=True, return_sequences=True)
    head = tf.keras.layers.Dense(outputs)
    model = tf.keras.Model(inputs, head(gru(inputs)))
    shape = (len(config.targets), len(config.horizons), len(config.quantiles))
    optimizer = tf.keras.optimizers.Adam(3e-3, clipnorm=1.0)
    skip = min(config.warm_up_steps, train[0].shape[1] // 2)
    levels = tf.constant(config.quantiles, tf.float32)

    def loss_of(x: Any, y: Any) -> Any:
        q = tf.reshape(model(x, training=True), (-1, tf.shape(x)[1], *shape))[:, skip:]
        label = y[:, skip:, :, :, None]
        known = tf.math.is_finite(label)
        off = tf.where(known, label, 0.0) - q
        pinball = tf.maximum(levels * off, (levels - 1.0) * off) * tf.cast(known, tf.float32)
        count = tf.reduce_sum(tf.cast(known, tf.float32)) * len(config.quantiles)
        return tf.reduce_sum(pinball) / tf.maximum(count, 1.0)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator, unused-ignore]
    def learn(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(x, y)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    judge = tf.function(loss_of, reduce_retracing=True)
    order = np.random.default_rng(config.seed)
    best, best_loss, stale = model.get_weights(), np.inf, 0
    for epoch in range(config.epochs):
        shuffled = order.permutation(len(train[0]))
        losses = []
        for start in range(0, len(shuffled) - len(shuffled) % BATCH or len(shuffled), BATCH):
            pick = shuffled[start : start + BATCH]
            losses.append(float(learn(train[0][pick], train[1][pick])))
        held = float(judge(*validation)) if len(validation[0]) else float(np.mean(losses))
        progress(epoch, float(np.mean(losses)), held)
        if held < best_loss - 1e-5:
            best, best_loss, stale = model.get_weights(), held, 0
        else:
            stale += 1
            if stale >= PATIENCE:
                break
    kernel, recurrent, bias, head_kernel, head_bias = best
    return GruWeights(kernel, recurrent, bias, head_kernel, head_bias)
