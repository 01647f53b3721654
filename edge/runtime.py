"""LiteRT, tflite-runtime and ONNX Runtime behind one ``step``.

``Model.step(x, state) -> (y, state)``: the state is an explicit tensor, zeros to start with;
detectors have none and take and return None. Arrays returned belong to the caller.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from edge.errors import RuntimeMissingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Singles = npt.NDArray[np.float32]
State = Singles | None

RUNTIMES = {"litert": "tflite", "onnxruntime": "onnx", "tflite": "tflite"}
"""Known runtimes in order of preference, and the artifact format each reads."""
KERNELS = ("tuned", "plain")
"""``tuned``: what a runtime takes for this CPU; floats were up to 6 ulp apart between those tried.
``plain``: 2 ulp, at three times the cost of a step (benchmarks/flash_arm64.py, flash_cpu.py)."""

_MODULES = {
    "litert": "ai_edge_litert.interpreter",
    "onnxruntime": "onnxruntime",
    "tflite": "tflite_runtime.interpreter",
}


class Model(Protocol):
    """A loaded artifact. ``x`` is float32[1, ...] as trained, ``state`` float32[1, hidden]."""

    runtime: str
    invoke: Callable[[], Any]

    def step(self, x: Singles, state: State = None) -> tuple[Singles, State]:
        """Run once; returns (y, next state)."""
        ...


def installed() -> tuple[str, ...]:
    """Return the runtimes whose package is present, most preferred first (nothing is loaded)."""
    from importlib.util import find_spec

    found = []
    for name, module in _MODULES.items():
        try:
            if find_spec(module.split(".", 1)[0]) is not None:
                found.append(name)
        except (ImportError, ValueError):
            continue
    return tuple(found)


def load(path: Path, runtime: str, kernels: str = "tuned") -> Model:
    """Load one artifact; ``kernels`` of KERNELS. Raises RuntimeMissingError: why it cannot run."""
    try:
        if runtime == "onnxruntime":
            return OnnxModel(path)
        return TfliteModel(path, runtime, kernels)
    except ImportError as error:
        text = f"runtime {runtime} is not installed or does not load: {error}"
        raise RuntimeMissingError(text) from error
    except RuntimeMissingError:
        raise
    except Exception as error:  # the runtimes raise whatever their C++ side names
        text = f"runtime {runtime} cannot run {path.name}: {' '.join(str(error).split())[:300]}"
        raise RuntimeMissingError(text) from error


class TfliteModel:
    """A .tflite file in LiteRT or tflite-runtime, one thread, tensors named x, state -> y."""

    def __init__(self, path: Path, runtime: str, kernels: str) -> None:
        if runtime == "tflite" and "tensorflow" in sys.modules:
            msg = "tflite-runtime ends a process that has loaded TensorFlow: run it in another"
            raise RuntimeMissingError(msg)
        module = importlib.import_module(_MODULES[runtime])
        self.runtime = runtime
        # Bytes, not a path: the mapping of a file replaced under a running gateway is not safe.
        self._content = path.read_bytes()
        if kernels == "plain":
            interpreter = _plain(module, self._content, runtime)
        else:
            interpreter = _tuned(module, self._content)
        self._interpreter = interpreter
        signature = interpreter.get_signature_list()["serving_default"]
        runner = interpreter.get_signature_runner("serving_default")
        inputs = {k: v["index"] for k, v in runner.get_input_details().items()}
        outputs = {k: v["index"] for k, v in runner.get_output_details().items()}
        if "x" not in signature["inputs"] or "y" not in signature["outputs"]:
            msg = f"{path.name}: needs an input x and an output y, has {signature}"
            raise RuntimeMissingError(msg)
        self._x, self._y = inputs["x"], outputs["y"]
        self._set, self._get, self.invoke = _calls(interpreter, self._x, self._y)
        self._state_in, self._state_out = inputs.get("state", -1), outputs.get("next_state", -1)
        self._has_state = "state" in inputs

    def step(self, x: Singles, state: State = None) -> tuple[Singles, State]:
        """Run once; see Model."""
        self._set(self._x, x)
        if not self._has_state:
            self.invoke()
            return self._get(self._y), None
        self._set(self._state_in, state)
        self.invoke()
        return self._get(self._y), self._get(self._state_out)


def _tuned(module: Any, content: bytes) -> Any:
    interpreter = module.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _plain(module: Any, content: bytes, runtime: str) -> Any:
    """Return one whose floats hardly depend on the CPU. Integers are the same in any kernel.

    LiteRT's reference kernels sum in the order in which the weights stand. tflite-runtime's fuse
    sums and products on arm64 and not on x86: 5 ulp.
    """
    interpreter = module.Interpreter(
        model_content=content, num_threads=1,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF,
    )  # fmt: skip
    interpreter.allocate_tensors()
    floats = sum(each["dtype"] is np.float32 for each in interpreter.get_tensor_details())
    if floats == len(interpreter.get_input_details()) + len(interpreter.get_output_details()):
        return _tuned(module, content)
    if runtime == "tflite":
        msg = "its floats differ between CPUs: of kernels that are plain it runs integers alone"
        raise RuntimeMissingError(msg)
    return interpreter


def _calls(interpreter: Any, x: int, y: int) -> tuple[Callable[..., Any], ...]:
    """Return what sets a tensor, gets one, and runs.

    Each is a method in Python around one in C++, and that costs a third of a small model. The inner
    ones are called where they do what they do in every release so far; what they give is proven
    with the golden vectors of each bundle before it is armed.
    """
    inner: Any = getattr(interpreter, "_interpreter", None)
    try:
        put, get, invoke = inner.SetTensor, inner.GetTensor, inner.Invoke
        put(x, get(x))
        invoke()
        get(y)
    except Exception:  # a release that has others
        return interpreter.set_tensor, interpreter.get_tensor, interpreter.invoke
    return put, get, invoke


class OnnxModel:
    """A .onnx file in ONNX Runtime on the CPU, one thread."""

    def __init__(self, path: Path) -> None:
        ort = importlib.import_module("onnxruntime")
        self.runtime = "onnxruntime"
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        session = ort.InferenceSession(path.read_bytes(), options, providers=providers)
        self._session = session
        names = [i.name for i in session.get_inputs()]
        self._has_state = "state" in names
        self._outputs = ["y", "next_state"] if self._has_state else ["y"]
        feed = {
            i.name: np.zeros([d if isinstance(d, int) else 1 for d in i.shape], np.float32)
            for i in session.get_inputs()
        }
        self.invoke = lambda: session.run(self._outputs, feed)

    def step(self, x: Singles, state: State = None) -> tuple[Singles, State]:
        """Run once; the batch may be any number of stations."""
        if not self._has_state:
            return self._session.run(self._outputs, {"x": x})[0], None
        y, following = self._session.run(self._outputs, {"x": x, "state": state})
        return y, following
