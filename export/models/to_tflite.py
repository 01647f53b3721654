"""Weights into .tflite: constants in a step function, so that no variable op is left over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from export.models.products import product
from export.quiet import native_silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from export.models.reconstruction import Reconstruction

PRECISIONS = ("float16", "dynamic", "float32", "int8", "int16x8")

_INTEGER = {
    "int8": "TFLITE_BUILTINS_INT8",
    "int16x8": "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",
}
_FLAT = 2
"""Dimensions of the kernel of a dense layer; a convolution has one more."""
_CUTS = ("STRIDED_SLICE", "SLICE")
_FLOAT_SUMS = ("ADD", "MUL", "SUB", "LOGISTIC", "TANH", "SPLIT", "CONCATENATION", *_CUTS)


def reconstruction_function(net: Reconstruction) -> Any:
    """Return the tf.function: x [1, window, F] -> y [1, parts * window, F]."""
    import tensorflow as tf

    shape = (1, net.window_steps, net.features)
    given = (1, net.parts * net.window_steps, net.features)

    @tf.function(  # type: ignore[untyped-decorator, unused-ignore]
        input_signature=[tf.TensorSpec(shape, tf.float32, name="x")]
    )
    def reconstruct(x: Any) -> dict[str, Any]:
        h = x
        for layer in net.layers:
            h = _layer(layer, h)
            if layer.relu:
                h = tf.nn.relu(h)
        return {"y": tf.reshape(h, given)}

    return reconstruct


def _layer(layer: Any, h: Any) -> Any:
    import tensorflow as tf

    if layer.kernel.ndim == _FLAT:
        return product(tf.reshape(h, (1, -1)), layer.kernel, layer.bias)
    if layer.repeat:
        steps, channels = h.shape[1:]
        h = tf.reshape(tf.concat([h, h], 2), (1, 2 * steps, channels))
    return tf.nn.conv1d(h, layer.kernel, layer.stride, "SAME") + layer.bias


def convert(
    function: Any,
    precision: str,
    samples: Callable[[], Iterable[dict[str, Any]]],
    *,
    float_sums: bool = False,
) -> bytes:
    """Convert a tf.function; ``samples`` gives inputs by name for the integer forms (float I/O).

    With ``float_sums`` int8 is for the products alone: what is added, gated and carried on, and
    the product that gives y, stay in float.
    """
    import tensorflow as tf

    module = tf.Module()
    module.step = function
    concrete = function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    with native_silence():
        if precision == "float32":
            return bytes(converter.convert())
        head = _last_product(bytes(converter.convert())) if float_sums else []
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision in _INTEGER:
            converter.representative_dataset = samples
            converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, _INTEGER[precision])]
        if float_sums:
            return _products_alone(converter, samples, head)
        return bytes(converter.convert())


def _products_alone(
    converter: Any, samples: Callable[[], Iterable[dict[str, Any]]], head: list[str]
) -> bytes:
    """Quantise selectively (tf.lite.experimental.QuantizationDebugger)."""
    import tensorflow as tf

    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,
    ]
    options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_ops=list(_FLOAT_SUMS), denylisted_nodes=head
    )
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=samples, debug_options=options
    )
    return bytes(debugger.get_nondebug_quantized_model())


def _last_product(model: bytes) -> list[str]:
    """Return the names of the products whose result is an output."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    names = {d["index"]: d["name"] for d in interpreter.get_tensor_details()}
    outputs = {d["index"] for d in interpreter.get_output_details()}
    ops = interpreter._get_ops_details()  # noqa: SLF001  (there is no public way)
    outputs |= {
        int(op["inputs"][0])
        for op in ops
        if op["op_name"] in _CUTS and int(op["outputs"][0]) in outputs
    }
    return [
        names[int(op["outputs"][0])]
        for op in ops
        if op["op_name"] == "FULLY_CONNECTED" and int(op["outputs"][0]) in outputs
    ]
