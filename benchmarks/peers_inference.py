"""One trained GRU, the demo's, in every form: a window each time, Keras, and our step.

All are timed in turn, a call of each a round, so that a busy machine is as busy for all. A form
is held against the step in float32 that has seen the same window from its beginning.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from peers_windows import (
    FORMS,
    QUICK_FORMS,
    WINDOW,
    Streaming,
    keras_model,
    onnx_file,
    onnx_run,
    tflite_files,
    tflite_run,
    windows_of,
)

from edge.bench import demo_bundle
from edge.bundle import read_manifest
from edge.errors import RuntimeMissingError
from edge.runtime import RUNTIMES, installed, load
from edge.trust import ANY_SIGNER
from export.models.rehearsal import read_rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.runtime import Model, Singles
    from export.models.gru import GruWeights
    from export.models.rehearsal import Rehearsal

WARM = 5
SLOW_US = 5000
SLOW_CALLS = 10
"""So often is timed what takes longer than SLOW_US."""


@dataclass(slots=True)
class Form:
    """One way to run the network once for a new row."""

    name: str
    call: Callable[[], Singles]
    apart: float
    """The greatest difference of an output from our step in float32."""
    us: float = 0.0


def measure(*, quick: bool) -> tuple[list[Form], dict[str, str]]:
    """Time every form that can be made here; and why others cannot."""
    wanted = QUICK_FORMS if quick else FORMS
    kept = read_rehearsal(demo_bundle())
    windows = windows_of(kept.x)
    forms, refused = _steps(windows[:1])
    reference = _reference(windows[:1])
    for form in (
        *_windowed(kept, windows, wanted, refused),
        *_keras(kept.weights, windows[:1]),
    ):
        form.apart = float(np.abs(form.call() - reference).max())
        forms.append(form)
    _time(forms, 200 if quick else 2000)
    return forms, refused


def _over(model: Model, window: Singles, hidden: int) -> Singles:
    """Run the step over a window from nothing; the last output."""
    state = np.zeros((1, hidden), np.float32)
    for i in range(WINDOW):
        y, following = model.step(np.ascontiguousarray(window[:, i]), state)
        assert following is not None
        state = following
    return y


def _reference(window: Singles) -> Singles:
    hidden = read_manifest(demo_bundle(), ANY_SIGNER).forecaster.hidden
    return _over(load(demo_bundle() / "gru.float32.tflite", "litert"), window, hidden)


def _steps(window: Singles) -> tuple[list[Form], dict[str, str]]:
    """Return our step in every runtime and precision."""
    spec = read_manifest(demo_bundle(), ANY_SIGNER).forecaster
    x, reference = np.ascontiguousarray(window[:, -1]), _reference(window)
    forms, refused = [], {}
    for artifact in spec.artifacts:
        for runtime in installed():
            if RUNTIMES[runtime] != artifact.format:
                continue
            name = f"step {artifact.precision} {runtime}"
            try:
                model = load(demo_bundle() / artifact.file, runtime)
                apart = float(np.abs(_over(model, window, spec.hidden) - reference).max())
            except RuntimeMissingError as error:
                refused[name] = str(error)[:120]
                continue
            forms.append(Form(name, _stepping(model, x, spec.hidden), apart))
    return forms, refused


def _stepping(model: Model, x: Singles, hidden: int) -> Callable[[], Singles]:
    state = [np.zeros((1, hidden), np.float32)]

    def call() -> Singles:
        y, following = model.step(x, state[0])
        assert following is not None
        state[0] = following
        return y

    return call


def _windowed(
    kept: Rehearsal, windows: Singles, wanted: Sequence[str], refused: dict[str, str]
) -> list[Form]:
    """Return the window in every runtime and precision, and the streaming loop around the best."""
    x, features = windows[:1], windows.shape[2]
    forms = []
    with tempfile.TemporaryDirectory(prefix="windows-") as folder:
        made = list(tflite_files(kept, Path(folder), wanted))
    for precision, content in made:
        if isinstance(content, str):
            refused[f"window {precision}"] = content
            continue
        for runtime in (r for r in installed() if RUNTIMES[r] == "tflite"):
            name = f"window {precision} {runtime}"
            try:
                run = tflite_run(content, runtime)
                run(x)
            except Exception as error:  # whatever its C++ side names
                refused[name] = " ".join(str(error).split())[:120]
                continue
            forms.append(Form(name, lambda run=run: run(x), 0.0))  # type: ignore[misc]
            if precision == "float32" and runtime == "litert":
                forms.append(_streamed("openWakeWord loop litert", run, x, features))
    if "onnxruntime" in installed():
        run = onnx_run(onnx_file(kept.weights))
        forms.append(Form("window float32 onnxruntime", lambda: run(x), 0.0))
        forms.append(_streamed("openWakeWord loop onnxruntime", run, x, features))
    return forms


def _streamed(name: str, run: Callable[[Singles], Singles], x: Singles, features: int) -> Form:
    """Return the loop, its buffer filled up to the last row of the window."""
    stream = Streaming(run, features)
    for i in range(WINDOW - 1):
        stream.step(x[:, i])
    last = np.ascontiguousarray(x[:, -1])
    return Form(name, lambda: stream.step(last), 0.0)


def _keras(weights: GruWeights, x: Singles) -> list[Form]:
    import tensorflow as tf

    model = keras_model(weights)
    graph = tf.function(model)
    return [
        Form("Keras predict", lambda: np.asarray(model.predict(x, verbose=0)), 0.0),
        Form("Keras tf.function", lambda: np.asarray(graph(x)), 0.0),
    ]


def _time(forms: list[Form], rounds: int) -> None:
    took: dict[str, list[float]] = {form.name: [] for form in forms}
    for form in forms:
        for _ in range(WARM):
            form.us = _timed(form)[0]
            if form.us > 20 * SLOW_US:
                break
    for number in range(rounds):
        for form in forms:
            slow = form.us > SLOW_US
            if slow and number % max(1, rounds // SLOW_CALLS):
                continue
            wall_us, cpu_us = _timed(form)
            took[form.name].append(min(wall_us, cpu_us) if slow else wall_us)
    for form in forms:
        form.us = statistics.median(took[form.name])


def _timed(form: Form) -> tuple[float, float]:
    """Call it once; us by the clock and of this process's CPU."""
    cpu, began = time.process_time_ns(), time.perf_counter_ns()
    form.call()
    ended = time.perf_counter_ns()
    return (ended - began) / 1000, (time.process_time_ns() - cpu) / 1000


def _key(name: str) -> str:
    return name.lower().replace(" ", "_").replace(".", "_")


def figures(forms: list[Form]) -> dict[str, float]:
    """Return the figures by name: us of each form, and how much more it takes than our step."""
    found = {f"inference_us_{_key(form.name)}": form.us for form in forms}
    us = {form.name: form.us for form in forms}
    step = us["step float32 litert"]
    found["window_over_step"] = us["window float32 litert"] / step
    found["keras_predict_over_step"] = us["Keras predict"] / step
    if "window float32 onnxruntime" in us and "step float32 onnxruntime" in us:
        ours = us["step float32 onnxruntime"]
        found["window_onnx_over_step"] = us["window float32 onnxruntime"] / ours
    loops = [each for name, each in us.items() if name.startswith("openWakeWord")]
    best = min(each for name, each in us.items() if name.startswith("step"))
    found["openwakeword_loop_over_step"] = min(loops) / best
    return found
