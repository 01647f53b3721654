"""Weights into ONNX by hand: small, checked, with a dynamic batch for many stations at once."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from export.quiet import native_silence

if TYPE_CHECKING:
    from export.models.gru import GruWeights
    from export.models.reconstruction import Layer, Reconstruction

_FLAT = 2
OPSET = 13
IR_VERSION = 8
"""Old enough for every ONNX Runtime since 1.10 (JetPack 5)."""


def gru_to_onnx(weights: GruWeights) -> bytes:
    """Return x [batch, F], state [batch, H] -> y, next_state."""
    from onnx import TensorProto, helper

    hidden, size, outputs = weights.hidden, weights.kernel.shape[0], weights.head.shape[1]
    n = 2 * hidden
    constants = {
        "kernel": weights.kernel,
        "bias": weights.bias[0],
        "recurrent": weights.recurrent,
        "recurrent_bias": weights.bias[1],
        "head": weights.head,
        "head_bias": weights.head_bias,
        "cuts": np.array([n, hidden], dtype=np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Gemm", ["x", "kernel", "bias"], ["outer"]),
        node("Gemm", ["state", "recurrent", "recurrent_bias"], ["inner"], name="recurrent"),
        node("Split", ["outer", "cuts"], ["outer_gates", "outer_c"], axis=1),
        node("Split", ["inner", "cuts"], ["inner_gates", "inner_c"], axis=1),
        node("Add", ["outer_gates", "inner_gates"], ["gates_in"]),
        node("Sigmoid", ["gates_in"], ["gates"]),
        node("Split", ["gates"], ["z", "r"], axis=1),
        node("Mul", ["r", "inner_c"], ["gated"]),
        node("Add", ["outer_c", "gated"], ["c_in"]),
        node("Tanh", ["c_in"], ["c"]),
        node("Sub", ["state", "c"], ["kept"]),
        node("Mul", ["z", "kept"], ["carried"]),
        node("Add", ["c", "carried"], ["next_state"]),
        node("Gemm", ["next_state", "head", "head_bias"], ["y"]),
    ]
    floats = TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info("x", floats, ["batch", size]),
        helper.make_tensor_value_info("state", floats, ["batch", hidden]),
    ]
    given = [
        helper.make_tensor_value_info("y", floats, ["batch", outputs]),
        helper.make_tensor_value_info("next_state", floats, ["batch", hidden]),
    ]
    return finished("gru_step", nodes, inputs, given, constants)


def reconstruction_to_onnx(net: Reconstruction) -> bytes:
    """Return x [batch, window, F] -> y [batch, parts * window, F]."""
    from onnx import TensorProto, helper

    steps = net.parts * net.window_steps
    constants: dict[str, Any] = {"whole": np.array([-1, steps, net.features], dtype=np.int64)}
    nodes: list[Any] = []
    now, length = "x", net.window_steps
    for i, layer in enumerate(net.layers):
        if layer.kernel.ndim == _FLAT:
            now = _dense(nodes, constants, layer, i, now)
        else:
            now, length = _conv(nodes, constants, layer, i, now, length)
        if layer.relu:
            nodes.append(helper.make_node("Relu", [now], [f"h{i}"]))
            now = f"h{i}"
    nodes.append(helper.make_node("Reshape", [now, "whole"], ["y"]))
    shape = ["batch", net.window_steps, net.features]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    given = ["batch", steps, net.features]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, given)]
    return finished("reconstruction", nodes, inputs, outputs, constants)


def _dense(nodes: list[Any], constants: dict[str, Any], layer: Layer, i: int, now: str) -> str:
    from onnx import helper

    constants[f"k{i}"], constants[f"b{i}"] = layer.kernel, layer.bias
    constants[f"flat{i}"] = np.array([-1, layer.kernel.shape[0]], dtype=np.int64)
    nodes.append(helper.make_node("Reshape", [now, f"flat{i}"], [f"f{i}"]))
    nodes.append(helper.make_node("Gemm", [f"f{i}", f"k{i}", f"b{i}"], [f"a{i}"]))
    return f"a{i}"


def _conv(
    nodes: list[Any], constants: dict[str, Any], layer: Any, i: int, now: str, length: int
) -> tuple[str, int]:
    """Add a convolution over time; ONNX has channels before steps, so it is turned twice."""
    from onnx import helper

    if layer.repeat:
        length *= 2
        constants[f"twice{i}"] = np.array([-1, length, layer.kernel.shape[1]], dtype=np.int64)
        nodes.append(helper.make_node("Concat", [now, now], [f"c{i}"], axis=2))
        nodes.append(helper.make_node("Reshape", [f"c{i}", f"twice{i}"], [f"r{i}"]))
        now = f"r{i}"
    constants[f"k{i}"] = np.ascontiguousarray(layer.kernel.transpose(2, 1, 0))
    constants[f"b{i}"] = layer.bias
    nodes += [
        helper.make_node("Transpose", [now], [f"t{i}"], perm=[0, 2, 1]),
        helper.make_node(
            "Conv", [f"t{i}", f"k{i}", f"b{i}"], [f"v{i}"],
            strides=[layer.stride], pads=list(layer.padding(length)),
        ),
        helper.make_node("Transpose", [f"v{i}"], [f"a{i}"], perm=[0, 2, 1]),
    ]  # fmt: skip
    return f"a{i}", -(-length // layer.stride)


def dynamic_int8(model: bytes, products: tuple[str, ...] = ()) -> bytes:
    """Return the same graph with int8 weights, one scale a column; activations at run time.

    ``products`` are the nodes to quantise, all where none is named.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    names = [f"{name}_MatMul" for name in products] or None
    with TemporaryDirectory() as folder, native_silence():
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            onnx.load_from_string(model), path, per_channel=True, weight_type=QuantType.QInt8,
            nodes_to_quantize=names,
        )  # fmt: skip
        made = onnx.load(path)
    made.ir_version = IR_VERSION
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def finished(
    name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]
) -> bytes:
    """Return a checked model of these nodes, its constants by name."""
    import onnx
    from onnx import helper, numpy_helper

    tensors = [
        numpy_helper.from_array(np.ascontiguousarray(value), key)
        for key, value in constants.items()
    ]
    graph = helper.make_graph(nodes, name, inputs, outputs, tensors)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, producer_name="talus-export")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
