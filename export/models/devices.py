"""Devices that an artifact may be chosen for: what runs there, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import TalusError


@dataclass(frozen=True, slots=True)
class Device:
    """A profile. ``runtime`` is one of edge.runtime.RUNTIMES, "" for any that is installed here.

    ``memory_kb`` is what one model file may take, ``budget_us`` what one call may. ``slower`` is
    how many times longer the device takes than this machine: an estimate from clock and core,
    until ``talus bench`` has run there. ``integer_only``: no float operators at all.
    """

    name: str
    runtime: str
    memory_kb: int
    budget_us: float
    integer_only: bool
    slower: float


DEVICES = (
    Device("pi3", "tflite", 16_384, 5_000.0, integer_only=False, slower=14.0),
    Device("pi4", "litert", 32_768, 2_000.0, integer_only=False, slower=6.0),
    Device("pi5", "litert", 65_536, 1_000.0, integer_only=False, slower=2.5),
    Device("jetson", "onnxruntime", 65_536, 1_000.0, integer_only=False, slower=4.0),
    Device("npu", "tflite", 256, 20_000.0, integer_only=True, slower=200.0),
    Device("this", "", 65_536, 1_000.0, integer_only=False, slower=1.0),
)
"""pi3: armv7l, where tflite-runtime alone has a wheel. npu: an integer accelerator beside a
microcontroller; TFLite Micro reads what tflite-runtime reads, which is measured in its place."""


def device(name: str) -> Device:
    """Return the profile of this name. Raises TalusError naming those there are."""
    for each in DEVICES:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in DEVICES)
    raise TalusError(f"--device {name!r}: not known; one of {known}")


def integer_throughout(data: bytes) -> bool:
    """Tell whether a .tflite file computes in integers alone, but for the ends of the graph."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    floats = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
    ends = (schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE)
    for graph in model.subgraphs:
        for op in graph.operators:
            code = model.operatorCodes[op.opcodeIndex]
            if max(code.builtinCode, code.deprecatedBuiltinCode) in ends:
                continue
            used = [i for i in (*op.inputs, *op.outputs) if i >= 0]
            if any(graph.tensors[i].type in floats for i in used):
                return False
    return True
