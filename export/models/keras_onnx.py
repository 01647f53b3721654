"""A stack of dense Keras layers as ONNX, written by hand: the one kind that needs no converter."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.models.to_onnx import finished

_ACTIVATIONS = {"linear": "", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
_NOTHING = ("InputLayer", "Dropout", "GaussianNoise")
"""Layers that do nothing once a model is trained."""


def dense_to_onnx(model: Any, shape: tuple[int, ...]) -> bytes:
    """Return x [batch, *shape] -> y, the batch dynamic; b"" where a layer is none of these."""
    from onnx import TensorProto, helper

    nodes: list[Any] = []
    constants: dict[str, Any] = {}
    now, size = "x", shape
    if not _stacked(model):
        return b""
    for i, layer in enumerate(model.layers):
        kind = type(layer).__name__
        if kind in _NOTHING:
            continue
        if kind == "Flatten":
            size = (int(np.prod(size)),)
            constants[f"flat{i}"] = np.array([-1, *size], dtype=np.int64)
            nodes.append(helper.make_node("Reshape", [now, f"flat{i}"], [f"f{i}"]))
            now = f"f{i}"
        elif kind == "Dense" and layer.activation.__name__ in _ACTIVATIONS:
            now = _dense(nodes, constants, layer, i, now)
            size = (*size[:-1], layer.units)
        else:
            return b""
    nodes.append(helper.make_node("Identity", [now], ["y"]))
    floats = TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", floats, ["batch", *shape])]
    outputs = [helper.make_tensor_value_info("y", floats, ["batch", *size])]
    return finished("dense", nodes, inputs, outputs, constants)


def _stacked(model: Any) -> bool:
    """Tell whether each layer takes what the one before gave, and nothing else."""
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    given: Any = model.inputs[0]
    for layer in layers:
        if layer.input is not given:
            return False
        given = layer.output
    return bool(layers) and model.outputs[0] is given


def _dense(nodes: list[Any], constants: dict[str, Any], layer: Any, i: int, now: str) -> str:
    from onnx import helper

    arrays = layer.get_weights()
    constants[f"k{i}"] = arrays[0]
    nodes.append(helper.make_node("MatMul", [now, f"k{i}"], [f"m{i}"]))
    made = f"m{i}"
    if len(arrays) > 1:
        constants[f"b{i}"] = arrays[1]
        nodes.append(helper.make_node("Add", [made, f"b{i}"], [f"a{i}"]))
        made = f"a{i}"
    if kind := _ACTIVATIONS[layer.activation.__name__]:
        nodes.append(helper.make_node(kind, [made], [f"h{i}"]))
        made = f"h{i}"
    return made
