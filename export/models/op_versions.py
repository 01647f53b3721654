"""Operators of a file against what the oldest runtimes it is meant for understand.

TFLite operators carry versions; tflite-runtime 2.14 ends with those below, and every LiteRT reads
them and more. ONNX operator sets grow by number: ONNX Runtime 1.17 ends at 20 (IR 9).
"""

from __future__ import annotations

OLDEST = {"litert": "1.2", "onnxruntime": "1.17", "tflite": "2.14"}
_TFLITE_2_14 = {
    "ADD": 5, "CONCATENATION": 4, "CONV_2D": 8, "DEPTHWISE_CONV_2D": 7, "DEQUANTIZE": 6,
    "FULLY_CONNECTED": 11, "LOGISTIC": 3, "MUL": 7, "QUANTIZE": 3, "RELU": 3, "RESHAPE": 1,
    "SPLIT": 4, "SUB": 5, "TANH": 3, "TRANSPOSE_CONV": 5, "EXPAND_DIMS": 1, "SQUEEZE": 2,
    "SLICE": 6, "STRIDED_SLICE": 8, "TRANSPOSE": 6, "PAD": 4, "LEAKY_RELU": 2, "UNPACK": 4,
    "BATCH_MATMUL": 4, "MEAN": 3, "MAX_POOL_2D": 3, "RESIZE_NEAREST_NEIGHBOR": 4, "PACK": 4,
    "SOFTMAX": 1, "WHILE": 1, "LESS": 1, "LOGICAL_AND": 1, "GATHER": 1, "AVERAGE_POOL_2D": 1,
    "RELU6": 1, "MAXIMUM": 1, "MINIMUM": 1,
}  # fmt: skip
"""Highest version in TensorFlow 2.14 (lite/core/kernels/register.cc); from SOFTMAX on, as tried."""
_NEWER_ALLOWED = {"FULLY_CONNECTED": 12}
"""LiteRT 1.2 has these; tflite-runtime refuses them, and parity then does not offer it the file."""
_OPSET, _IR = 20, 9


def too_new(file: str, data: bytes) -> str:
    """Return what the oldest runtime of a file's format does not know, "" if it knows all."""
    return _onnx(data) if file.endswith(".onnx") else _tflite(data)


def _onnx(data: bytes) -> str:
    import onnx

    model = onnx.load_from_string(data)
    sets = {i.domain: i.version for i in model.opset_import}
    if model.ir_version > _IR or sets.get("", 0) > _OPSET:
        return f"IR {model.ir_version}, opset {sets.get('')}: {_OPSET} and {_IR} at most"
    extra = sorted(d for d in sets if d not in ("", "ai.onnx", "ai.onnx.ml"))
    used = {node.domain for node in model.graph.node}
    return f"operators of {', '.join(extra)}" if used.intersection(extra) else ""


def _tflite(data: bytes) -> str:
    wrong = [
        f"{name} v{version}"
        for name, version in tflite_operators(data)
        if version > max(_TFLITE_2_14.get(name, 0), _NEWER_ALLOWED.get(name, 0))
    ]
    oldest = f"LiteRT {OLDEST['litert']}"
    return f"{', '.join(wrong)} is not known to be in {oldest}" if wrong else ""


def tflite_operators(data: bytes) -> tuple[tuple[str, int], ...]:
    """Return (operator, version) of every kind of operator in a .tflite file."""
    from ai_edge_litert import schema_py_generated as schema

    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    return tuple(
        (names.get(max(code.builtinCode, code.deprecatedBuiltinCode), "?"), code.version)
        for code in model.operatorCodes
    )
