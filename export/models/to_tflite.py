"""Weights into .tflite: constants in a step function, so that no variable op is left over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from export.quiet import native_silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from export.models.autoencoder import Reconstruction
    from export.models.gru import GruWeights

PRECISIONS = ("float16", "dynamic", "float32", "int8")


def gru_function(weights: GruWeights) -> Any:
    """Return the concrete step function: x [1, F], state [1, H] -> y [1, O], next_state."""
    import tensorflow as tf

    n = 2 * weights.hidden
    gates = np.concatenate([weights.kernel[:, :n], weights.recurrent[:, :n]])
    gate_bias = weights.bias[0, :n] + weights.bias[1, :n]
    spec = tf.TensorSpec

    @tf.function(  # type: ignore[untyped-decorator, unused-ignore]
        input_signature=[
            spec((1, weights.kernel.shape[0]), tf.float32, name="x"),
            spec((1, weights.hidden), tf.float32, name="state"),
        ]
    )
    def step(x: Any, state: Any) -> dict[str, Any]:
        gate = tf.sigmoid(tf.matmul(tf.concat([x, state], 1), gates) + gate_bias)
        z, r = tf.split(gate, 2, axis=1)
        inner = tf.matmul(state, weights.recurrent[:, n:]) + weights.bias[1, n:]
        c = tf.tanh(tf.matmul(x, weights.kernel[:, n:]) + weights.bias[0, n:] + r * inner)
        following = c + z * (state - c)
        y = tf.matmul(following, weights.head) + weights.head_bias
        return {"y": y, "next_state": following}

    return step


def reconstruction_function(net: Reconstruction) -> Any:
    """Return the concrete function: x [1, window, F] -> y [1, window, F]."""
    import tensorflow as tf

    shape = (1, net.window_steps, net.features)

    @tf.function(  # type: ignore[untyped-decorator, unused-ignore]
        input_signature=[tf.TensorSpec(shape, tf.float32, name="x")]
    )
    def reconstruct(x: Any) -> dict[str, Any]:
        flat = tf.reshape(x, (1, -1))
        for layer in net.layers:
            flat = tf.matmul(flat, layer.kernel) + layer.bias
            if layer.relu:
                flat = tf.nn.relu(flat)
        return {"y": tf.reshape(flat, shape)}

    return reconstruct


def convert(
    function: Any, precision: str, samples: Callable[[], Iterable[dict[str, Any]]]
) -> bytes:
    """Convert a concrete function; ``samples`` gives inputs by name for int8 (float I/O)."""
    import tensorflow as tf

    module = tf.Module()
    module.step = function
    concrete = function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with native_silence():
        return bytes(converter.convert())
