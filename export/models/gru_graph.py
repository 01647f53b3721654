"""The TensorFlow graph that fits several GRUs side by side: [networks, ...] in every weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from export.history import Floats, Singles
    from export.models.gru import Recipe

from export.models.gru import CLIP_NORM

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7


class Graph:
    """Weights, AdamW (Loshchilov & Hutter 2019) and the two traced functions."""

    def __init__(self, recipe: Recipe, count: int, features: int, outputs: int) -> None:
        tf.config.experimental.enable_op_determinism()
        h = recipe.hidden
        shapes = ((features, 3 * h), (h, 3 * h), (2, 3 * h), (h, outputs), (outputs,))
        self._weights = [tf.Variable(tf.zeros((count, *shape))) for shape in shapes]
        self._first = [tf.Variable(tf.zeros_like(w)) for w in self._weights]
        self._second = [tf.Variable(tf.zeros_like(w)) for w in self._weights]
        self._step = tf.Variable(0.0)
        self._recipe, self._count, self._hidden = recipe, count, h
        self._levels = tf.constant(recipe.quantiles, tf.float32)
        any_x = tf.TensorSpec((None, None, features), tf.float32)
        any_y = tf.TensorSpec((None, None, None, None), tf.float32)
        noise = tf.TensorSpec((2,), tf.int32)
        self._learn = tf.function(self._update, input_signature=(any_x, any_y, noise))
        self._judge = tf.function(
            lambda x, y: self._loss(x, y, None), input_signature=(any_x, any_y)
        )

    def begin(self, values: list[Singles]) -> None:
        """Start anew from these weights."""
        for variable, value in zip(self._weights, values, strict=True):
            variable.assign(value)
        for variable in (*self._first, *self._second, self._step):
            variable.assign(tf.zeros_like(variable))

    def values(self) -> list[Singles]:
        """Return a copy of the weights."""
        return [np.array(variable.numpy()) for variable in self._weights]

    def learn(self, x: Singles, y: Singles, noise: Any) -> Floats:
        """Take one step of descent; returns the loss of each network before it."""
        return np.asarray(self._learn(x, y, noise).numpy(), np.float64)

    def judge(self, x: Singles, y: Singles) -> Floats:
        """Return the loss of each network."""
        return np.asarray(self._judge(x, y).numpy(), np.float64)

    def _outputs(self, x: Any) -> Any:
        """Return [networks, batch, steps, outputs] for x [networks, batch, steps, features]."""
        kernel, recurrent, bias, head, head_bias = self._weights
        n = 2 * self._hidden
        tall = tf.einsum("pbtf,pfg->tpbg", x, kernel) + bias[:, 0][None, :, None]

        def step(h: Any, a: Any) -> Any:
            b = tf.matmul(h, recurrent) + bias[:, 1][:, None]
            z, r = tf.split(tf.sigmoid(a[..., :n] + b[..., :n]), 2, axis=-1)
            c = tf.tanh(a[..., n:] + r * b[..., n:])
            return c + z * (h - c)

        start = tf.zeros((self._count, tf.shape(x)[1], self._hidden))
        states = tf.scan(step, tall, initializer=start)
        return tf.einsum("tpbh,pho->pbto", states, head) + head_bias[:, None, None]

    def _loss(self, x: Any, y: Any, noise: Any) -> Any:
        x = tf.tile(x[None], (self._count, 1, 1, 1))
        if noise is not None and self._recipe.dropout:
            x *= self._kept(x, noise)
        skip = tf.minimum(self._recipe.skip, tf.shape(x)[2] // 2)
        shape = tf.concat([tf.shape(y), [len(self._recipe.quantiles)]], 0)
        q = tf.reshape(self._outputs(x), tf.concat([[self._count], shape], 0))[:, :, skip:]
        label = y[None, :, skip:, :, :, None]
        known = tf.math.is_finite(label)
        off = tf.where(known, label, 0.0) - q
        weight = tf.cast(known, tf.float32)
        pinball = tf.maximum(self._levels * off, (self._levels - 1.0) * off) * weight
        count = tf.maximum(tf.reduce_sum(weight) * len(self._recipe.quantiles), 1.0)
        return tf.reduce_sum(pinball, axis=(1, 2, 3, 4, 5)) / count

    def _kept(self, x: Any, noise: Any) -> Any:
        """Hide features for a whole sequence (Gal & Ghahramani 2016), each network its own."""
        shape = tf.stack([self._count, tf.shape(x)[1], 1, tf.shape(x)[3]])
        drawn = tf.random.stateless_uniform(shape, noise)
        share = 1.0 - self._recipe.dropout
        return tf.cast(drawn < share, tf.float32) / share

    def _update(self, x: Any, y: Any, noise: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = self._loss(x, y, noise)
            total = tf.reduce_sum(loss)  # the networks share nothing: each gets its own gradient
        gradients = tape.gradient(total, self._weights)
        axes = [list(range(1, len(g.shape))) for g in gradients]
        squares = [tf.reduce_sum(g * g, a) for g, a in zip(gradients, axes, strict=True)]
        norm = tf.sqrt(tf.add_n(squares))
        shrink = CLIP_NORM / tf.maximum(norm, CLIP_NORM)
        self._step.assign_add(1.0)
        speed = self._recipe.learning_rate
        rate = speed * tf.sqrt(1.0 - _BETA_2**self._step) / (1.0 - _BETA_1**self._step)
        for i, (weight, g) in enumerate(zip(self._weights, gradients, strict=True)):
            g = g * tf.reshape(shrink, [-1] + [1] * (len(g.shape) - 1))  # noqa: PLW2901
            first, second = self._first[i], self._second[i]
            first.assign(_BETA_1 * first + (1.0 - _BETA_1) * g)
            second.assign(_BETA_2 * second + (1.0 - _BETA_2) * g * g)
            decay = speed * self._recipe.weight_decay if i in (0, 1, 3) else 0.0
            weight.assign(weight * (1.0 - decay) - rate * first / (tf.sqrt(second) + _EPSILON))
        return loss
