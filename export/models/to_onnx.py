"""Weights into ONNX by hand: small, checked, with a dynamic batch for many stations at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from export.models.autoencoder import Reconstruction
    from export.models.gru import GruWeights

OPSET = 13
IR_VERSION = 8
"""Old enough for every ONNX Runtime since 1.10 (JetPack 5)."""


def gru_to_onnx(weights: GruWeights) -> bytes:
    """Return x [batch, F], state [batch, H] -> y, next_state."""
    from onnx import TensorProto, helper

    n, hidden = 2 * weights.hidden, weights.hidden
    size, outputs = weights.kernel.shape[0], weights.head.shape[1]
    constants = {
        "gates": np.concatenate([weights.kernel[:, :n], weights.recurrent[:, :n]]),
        "gate_bias": weights.bias[0, :n] + weights.bias[1, :n],
        "kernel": weights.kernel[:, n:],
        "bias": weights.bias[0, n:],
        "recurrent": weights.recurrent[:, n:],
        "recurrent_bias": weights.bias[1, n:],
        "head": weights.head,
        "head_bias": weights.head_bias,
    }
    nodes = [
        helper.make_node("Concat", ["x", "state"], ["both"], axis=1),
        helper.make_node("Gemm", ["both", "gates", "gate_bias"], ["gates_in"]),
        helper.make_node("Sigmoid", ["gates_in"], ["gates_out"]),
        helper.make_node("Split", ["gates_out"], ["z", "r"], axis=1),
        helper.make_node("Gemm", ["state", "recurrent", "recurrent_bias"], ["inner"]),
        helper.make_node("Gemm", ["x", "kernel", "bias"], ["outer"]),
        helper.make_node("Mul", ["r", "inner"], ["gated"]),
        helper.make_node("Add", ["outer", "gated"], ["c_in"]),
        helper.make_node("Tanh", ["c_in"], ["c"]),
        helper.make_node("Sub", ["state", "c"], ["kept"]),
        helper.make_node("Mul", ["z", "kept"], ["carried"]),
        helper.make_node("Add", ["c", "carried"], ["next_state"]),
        helper.make_node("Gemm", ["next_state", "head", "head_bias"], ["y"]),
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
    return _finish("gru_step", nodes, inputs, given, constants)


def reconstruction_to_onnx(net: Reconstruction) -> bytes:
    """Return x [batch, window, F] -> y of the same shape."""
    from onnx import TensorProto, helper

    size = net.window_steps * net.features
    constants: dict[str, Any] = {
        "flat": np.array([-1, size], dtype=np.int64),
        "whole": np.array([-1, net.window_steps, net.features], dtype=np.int64),
    }
    nodes = [helper.make_node("Reshape", ["x", "flat"], ["h0"])]
    for i, layer in enumerate(net.layers):
        constants[f"k{i}"], constants[f"b{i}"] = layer.kernel, layer.bias
        out = f"a{i}" if layer.relu else f"h{i + 1}"
        nodes.append(helper.make_node("Gemm", [f"h{i}", f"k{i}", f"b{i}"], [out]))
        if layer.relu:
            nodes.append(helper.make_node("Relu", [out], [f"h{i + 1}"]))
    nodes.append(helper.make_node("Reshape", [f"h{len(net.layers)}", "whole"], ["y"]))
    shape = ["batch", net.window_steps, net.features]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    return _finish("reconstruction", nodes, inputs, outputs, constants)


def _finish(
    name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]
) -> bytes:
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
