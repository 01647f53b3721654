"""The GRU step as TensorFlow functions: one form for each precision, all of the same sums.

What an integer range is shared by decides the error, so the forms differ in what they multiply
together. Measured on the demo's network over 20,000 steps (benchmarks/export.py): one form for all
left 0.39 % in dynamic range and 5.5 % in int8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from export.models.products import LANES, SMALL, halved_gates, product
from export.models.rounding import rounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.history import Singles
    from export.models.gru import GruWeights


def step_function(weights: GruWeights, precision: str, stream: Singles, states: Singles) -> Any:
    """Return x [1, F], state [1, H] -> y [1, O], next_state; stream and states are what it meets.

    Raises nothing; the float forms ignore the stream.
    """
    if precision == "int16x8":
        return _function(_Plain(_rounded(weights, stream, states)), _sigmoid)
    w = halved_gates(weights)
    if precision == "dynamic":
        return _function(_Pieces(w, states), _by_tanh)
    if precision == "int8":
        return _function(_Joined(w, stream, states), _by_tanh)
    return _function(_Plain(w), _by_tanh)


def _rounded(w: GruWeights, stream: Singles, states: Singles) -> GruWeights:
    from dataclasses import replace

    return replace(
        w,
        kernel=rounded(w.kernel, stream),
        recurrent=rounded(w.recurrent, states),
        head=rounded(w.head, states),
    )


class _Plain:
    """Two products: of the features and of the state."""

    def __init__(self, w: GruWeights) -> None:
        self.w = w

    def __call__(self, x: Any, state: Any) -> tuple[Any, Any, Any]:
        """Return z and r before their sigmoid, and the parts of the candidate."""
        n = 2 * self.w.hidden
        a = product(x, self.w.kernel, self.w.bias[0])
        b = product(state, self.w.recurrent, self.w.bias[1])
        return a[:, :n] + b[:, :n], a[:, n:], b[:, n:]


class _Pieces(_Plain):
    """Only the recurrent weights in int8: what the converter leaves in float is below 1024 values.

    Features reach +-8, the state +-1: quantised at run time, the features would cost too much.
    """

    def __init__(self, w: GruWeights, states: Singles) -> None:
        super().__init__(w)
        self._recurrent = rounded(w.recurrent, states)
        rows = w.kernel.shape[0]
        width = max(1, min(w.hidden, SMALL // rows))
        self._width = width - width % LANES or width

    def __call__(self, x: Any, state: Any) -> tuple[Any, Any, Any]:
        """See _Plain."""
        import tensorflow as tf

        w, width, n = self.w, self._width, 2 * self.w.hidden
        cuts = range(0, 3 * w.hidden, width)
        parts = [tf.matmul(x, w.kernel[:, i : i + width]) for i in cuts]
        a = tf.concat(parts, 1) + w.bias[0]
        b = tf.matmul(state, self._recurrent) + w.bias[1]
        return a[:, :n] + b[:, :n], a[:, n:], b[:, n:]


class _Joined(_Plain):
    """Features, each over its own range, and state side by side: one range of +-1 for all.

    The gates come out of one product, so that one rounding is left where there were two. The zeros
    keep the converter from folding the ranges back into the weights.
    """

    def __init__(self, w: GruWeights, stream: Singles, states: Singles) -> None:
        super().__init__(w)
        n, size = 2 * w.hidden, w.kernel.shape[0]
        reach = np.maximum(np.abs(stream).max(axis=0), 1e-3).astype(np.float32)
        self._inverse = (1.0 / reach).astype(np.float32)
        both = np.concatenate([stream * self._inverse, states], axis=1)
        kernel = w.kernel * reach[:, None]
        self._gates = rounded(np.concatenate([kernel[:, :n], w.recurrent[:, :n]]), both)
        outer = rounded(kernel[:, n:], both[:, :size])
        self._outer = np.concatenate([outer, np.zeros((w.hidden, w.hidden), np.float32)])
        self._inner = rounded(w.recurrent[:, n:], states)

    def __call__(self, x: Any, state: Any) -> tuple[Any, Any, Any]:
        """See _Plain."""
        import tensorflow as tf

        w, n = self.w, 2 * self.w.hidden
        both = tf.concat([x * self._inverse, state], 1)
        gates = tf.matmul(both, self._gates) + (w.bias[0, :n] + w.bias[1, :n])
        outer = tf.matmul(both, self._outer) + w.bias[0, n:]
        inner = tf.matmul(state, self._inner) + w.bias[1, n:]
        return gates, outer, inner


def _by_tanh(halves: Any) -> Any:
    """Return the sigmoid of twice this."""
    import tensorflow as tf

    return 0.5 * tf.tanh(halves) + 0.5


def _sigmoid(x: Any) -> Any:
    import tensorflow as tf

    return tf.sigmoid(x)


def _function(sums: _Plain, gate: Callable[[Any], Any]) -> Any:
    import tensorflow as tf

    w = sums.w

    @tf.function(  # type: ignore[untyped-decorator, unused-ignore]
        input_signature=[
            tf.TensorSpec((1, w.kernel.shape[0]), tf.float32, name="x"),
            tf.TensorSpec((1, w.hidden), tf.float32, name="state"),
        ]
    )
    def step(x: Any, state: Any) -> dict[str, Any]:
        gates, outer, inner = sums(x, state)
        z, r = tf.split(gate(gates), 2, axis=1)
        c = tf.tanh(outer + r * inner)
        following = c + z * (state - c)
        return {"y": product(following, w.head, w.head_bias), "next_state": following}

    return step
