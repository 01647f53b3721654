"""The GRU as others ship it, of the same weights: over a window of its past, in every form."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import figures  # noqa: F401 - see there: before anything of export
import numpy as np

from edge.bench import demo_bundle
from export.models.rehearsal import read_rehearsal
from export.quiet import native_silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edge.runtime import Singles
    from export.models.gru import GruWeights
    from export.models.rehearsal import Rehearsal

WINDOW = 64
"""Steps a windowed model looks back, as in latency.py."""
_OPSET = 17

QUICK_FORMS = ("float32", "dynamic")
FORMS = ("float32", "float16", "dynamic", "int8", "float32 unrolled", "int8 unrolled")


def keras_model(weights: GruWeights, *, unrolled: bool = False) -> Any:
    """Return the Keras model of a window, its steps a loop or one after another."""
    with native_silence(), redirect_stdout(io.StringIO()):  # TensorFlow tells much
        import tensorflow as tf

        inputs = tf.keras.Input((WINDOW, weights.kernel.shape[0]), batch_size=1)
        gru = tf.keras.layers.GRU(weights.hidden, reset_after=True, unroll=unrolled)
        head = tf.keras.layers.Dense(weights.head.shape[1])
        model = tf.keras.Model(inputs, head(gru(inputs)))
        gru.set_weights([weights.kernel, weights.recurrent, weights.bias])
        head.set_weights([weights.head, weights.head_bias])
    return model


def tflite_file(model: Any, precision: str, samples: Singles) -> bytes:
    """Convert it as TensorFlow does; ``samples`` float32[n, WINDOW, features] calibrate int8."""
    import tensorflow as tf

    with native_silence(), redirect_stdout(io.StringIO()):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        elif precision == "int8":
            converter.representative_dataset = lambda: ([each[None]] for each in samples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return bytes(converter.convert())


def tflite_files(
    kept: Rehearsal, folder: Path, forms: Sequence[str]
) -> Iterator[tuple[str, bytes | str]]:
    """Give what TensorFlow's converter makes; a text says why one is not made.

    int8 is made in a process of its own: calibrating a loop ends TensorFlow 2.21 with a
    segmentation fault.
    """
    for form in forms:
        if form.startswith("int8"):
            yield form, _apart(form, folder / form.replace(" ", "-"))
            continue
        try:
            yield form, converted(kept, form)
        except Exception as error:  # whatever its C++ side names
            yield form, " ".join(str(error).split())[:120]


def _apart(form: str, path: Path) -> bytes | str:
    command = [sys.executable, __file__, form, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if path.exists():
        return path.read_bytes()
    if done.returncode < 0:
        return f"TensorFlow's converter died of {signal.Signals(-done.returncode).name}"
    return (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:120]


def converted(kept: Rehearsal, form: str) -> bytes:
    """Convert the network of a bundle to one of FORMS."""
    precision, *unrolled = form.split(" ")
    model = keras_model(kept.weights, unrolled=bool(unrolled))
    return tflite_file(model, precision, windows_of(kept.x))


def onnx_file(weights: GruWeights) -> bytes:
    """Return the window as one GRU node of ONNX: what its runtime is best at."""
    from onnx import TensorProto, checker, helper, numpy_helper

    hidden, features = weights.hidden, weights.kernel.shape[0]
    outputs = weights.head.shape[1]

    def constant(name: str, values: Any) -> Any:
        return numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)

    nodes = [
        helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("GRU", ["steps", "w", "r", "b"], ["", "last"],
                         hidden_size=hidden, linear_before_reset=1),
        helper.make_node("Squeeze", ["last", "axis"], ["state"]),
        helper.make_node("Gemm", ["state", "head", "head_bias"], ["y"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "window",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, WINDOW, features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, outputs])],
        [
            constant("w", weights.kernel.T[None]),
            constant("r", weights.recurrent.T[None]),
            constant("b", weights.bias.reshape(1, -1)),
            constant("head", weights.head),
            constant("head_bias", weights.head_bias),
            numpy_helper.from_array(np.array([0], np.int64), "axis"),
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = 8
    checker.check_model(model)
    return bytes(model.SerializeToString())


def tflite_run(content: bytes, runtime: str) -> Callable[[Singles], Singles]:
    """Return a function of a window, in LiteRT or tflite-runtime, one thread."""
    import importlib

    module = {"litert": "ai_edge_litert", "tflite": "tflite_runtime"}[runtime]
    interpreter = importlib.import_module(f"{module}.interpreter").Interpreter(
        model_content=content, num_threads=1
    )
    interpreter.allocate_tensors()
    into = interpreter.get_input_details()[0]["index"]
    out = interpreter.get_output_details()[0]["index"]

    def run(x: Singles) -> Singles:
        interpreter.set_tensor(into, x)
        interpreter.invoke()
        y: Singles = interpreter.get_tensor(out)
        return y

    return run


def onnx_run(content: bytes) -> Callable[[Singles], Singles]:
    """Return a function of a window, in ONNX Runtime, one thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(x: Singles) -> Singles:
        y: Singles = session.run(["y"], {"x": x})[0]
        return y

    return run


class Streaming:
    """What openWakeWord does with every step: grow a buffer of features, run the window again."""

    def __init__(self, run: Callable[[Singles], Singles], features: int) -> None:
        self._run = run
        self._buffer: Singles = np.zeros((WINDOW, features), np.float32)
        self._most = 2 * WINDOW

    def step(self, x: Singles) -> Singles:
        """Take the features of one step, float32[1, features]."""
        self._buffer = np.vstack((self._buffer, x))
        if len(self._buffer) > self._most:
            self._buffer = self._buffer[-self._most :]
        return self._run(self._buffer[-WINDOW:][None].astype(np.float32))


def windows_of(rows: Singles) -> Singles:
    """Return the first WINDOW steps of sequences, float32[n, WINDOW, features]."""
    repeated = np.tile(rows, (1, -(-WINDOW // rows.shape[1]), 1))
    return np.ascontiguousarray(repeated[:, :WINDOW])


def main() -> None:
    """Convert the demo's network to one form: FORM FILE."""
    Path(sys.argv[2]).write_bytes(converted(read_rehearsal(demo_bundle()), sys.argv[1]))


if __name__ == "__main__":
    main()
