"""How fast and how small: model step, reading to decision, memory and start of a real gateway.

  python benchmarks/latency.py --json latency.json

All ratios are of medians taken in turn in one run. ``us_per_reading`` is the median of the
quietest of several rounds (``us_per_reading_all``: the median of all): this is a shared machine.
Memory and start are those of ``talus run`` in a process of its own, a node on a pty, a broker.
"""

from __future__ import annotations

import compileall
import io
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from figures import machine, parse, write
from latency_ops import operations
from latency_scale import scale

import edge
import firmware_bridge
from edge.bench import (
    ANY_RUNTIME,
    demo_bundle,
    report,
    time_models,
    time_stages,
    time_whole,
)
from edge.bundle import load_bundle
from edge.runtime import Singles, load
from edge.trust import ANY_SIGNER
from export.demo import make_node, write_config
from export.local_broker import Mosquitto, free_port, mosquitto_path
from export.models.rehearsal import read_rehearsal
from export.quiet import native_silence

if TYPE_CHECKING:
    from export.models.gru import GruWeights

WINDOW = 64
"""Steps a windowed model looks back, as in every tutorial (and models.md)."""
READINGS = 100_000


class Windowed:
    """The GRU as tutorials export it: a Keras model over a window, of the same weights."""

    def __init__(self, weights: GruWeights) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with native_silence(), redirect_stdout(io.StringIO()):  # TensorFlow tells much
            content = self._converted(weights)
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._in = self._interpreter.get_input_details()[0]["index"]
        self._out = self._interpreter.get_output_details()[0]["index"]

    @staticmethod
    def _converted(weights: GruWeights) -> bytes:
        import tensorflow as tf

        inputs = tf.keras.Input((WINDOW, weights.kernel.shape[0]), batch_size=1)
        gru = tf.keras.layers.GRU(weights.hidden, reset_after=True)
        head = tf.keras.layers.Dense(weights.head.shape[1])
        model = tf.keras.Model(inputs, head(gru(inputs)))
        gru.set_weights([weights.kernel, weights.recurrent, weights.bias])
        head.set_weights([weights.head, weights.head_bias])
        return bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())

    def run(self, x: Singles) -> Singles:
        """Run over float32[1, WINDOW, features]."""
        self._interpreter.set_tensor(self._in, x)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._out)


def window_over_step(bundle: Path, rounds: int) -> tuple[float, float, float]:
    """Time the windowed model and the step of the same weights in turn: us, us, difference."""
    weights = read_rehearsal(bundle).weights
    features = weights.kernel.shape[0]
    window = Windowed(weights)
    step = load(bundle / "gru.float32.tflite", "litert")
    x = np.random.default_rng(0).standard_normal((1, WINDOW, features)).astype(np.float32)
    state = np.zeros((1, weights.hidden), np.float32)
    for i in range(WINDOW):
        y, state = step.step(x[:, i], state)
    off = float(np.abs(window.run(x) - y).max())
    one, clock = np.ascontiguousarray(x[:, 0]), time.perf_counter_ns
    windows, steps = [], []
    for _ in range(rounds):
        began = clock()
        window.run(x)
        between = clock()
        step.step(one, state)
        ended = clock()
        windows.append((between - began) / 1000)
        steps.append((ended - between) / 1000)
    return statistics.median(windows), statistics.median(steps), off


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def compile_packages() -> None:
    """Have the byte code that the package installs (postinst): else the compiler is timed too."""
    for package in (edge, firmware_bridge):
        compileall.compile_dir(Path(package.__file__).parent, quiet=1)


def gateway(folder: Path, readings: int) -> dict[str, float]:
    """Run a gateway over so many readings; its memory on the way, and its start."""
    compile_packages()
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder)) if mosquitto_path() else None
        if broker is None:
            print("no mosquitto here: the outbox fills instead of emptying")
        node = make_node(rate=50_000.0, days=readings / 144.0)
        port = broker.port if broker is not None else free_port()
        config = write_config(folder, node.device, port)
        command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
        stack.enter_context(node)
        began = time.monotonic()
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        stack.callback(process.kill)
        first: list[float] = []
        lines: list[str] = []

        def read_log() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                lines.append(line)
                if "first reading" in line and not first:
                    first.append(time.monotonic() - began)

        reader = threading.Thread(target=read_log, daemon=True)
        reader.start()
        seen: list[tuple[int, float]] = []
        while node.rows_sent < readings and process.poll() is None:
            time.sleep(0.1)
            seen.append((node.rows_sent, rss_mb(process.pid)))
        took = time.monotonic() - began
        time.sleep(1.0)
        end = rss_mb(process.pid)
        process.terminate()
        process.wait(timeout=30)
        reader.join()
        if not first:
            sys.exit("the gateway processed nothing:\n" + "".join(lines[-20:]))
        early = next((rss for rows, rss in seen if rows >= readings // 5), end)
        print(f"{readings} readings in {took:.1f} s; resident {early:.1f} MB after a fifth, "
              f"{end:.1f} MB at the end; {lines[-1].strip()}")  # fmt: skip
        return {
            "rss_mb": end,
            "rss_growth_mb": end - early,
            "first_reading_s": first[0],
            "readings_per_s": readings / took,
        }


def kept_instructions() -> dict[str, float]:
    """Return what scripts/insn counted last on arm64, and holds within 2 %."""
    kept = json.loads((Path(__file__).parent / "insn.json").read_text(encoding="utf-8"))
    counted: dict[str, float] = kept["bookworm"]
    print("arm64 instructions: as counted by scripts/insn, kept in benchmarks/insn.json")
    return counted


def main() -> None:
    """Run the benchmark."""
    args = parse(__doc__)
    rounds, count = (5, 1500) if args.quick else (11, 4000)
    folder = demo_bundle()
    print(machine())
    bundle = load_bundle(folder, ANY_RUNTIME, ANY_SIGNER)
    for line in report(folder, count):
        print(line)
    medians = [statistics.median(time_whole(bundle, count, seed=i)) for i in range(rounds)]
    stages = time_stages(bundle, count)
    total = sum(stage.p50_us for stage in stages)
    timed = {
        (row.file, row.runtime): row for row in time_models(folder, bundle.manifest, 2 * count)
    }
    chosen = [timed[loaded.artifact.file, loaded.runtime]
              for loaded in (bundle.forecaster, *bundle.detectors)]  # fmt: skip
    model, invokes_us = chosen[0], sum(each.invoke_p50_us for each in chosen)
    print(f"the {len(chosen)} models of a reading: {invokes_us:.2f} us in bare invokes, "
          f"{sum(each.step_p50_us for each in chosen):.2f} us with tensors in and out")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="latency-") as name:
        run = gateway(Path(name), READINGS)
    many = scale(quick=args.quick)
    window_us, step_us, off = window_over_step(folder, count)
    print(f"window of {WINDOW} steps {window_us:.1f} us, step {step_us:.1f} us a sample, "
          f"outputs {off:.1g} apart")  # fmt: skip
    write(
        {
            "step_over_invoke": model.step_p50_us / model.invoke_p50_us,
            "window_over_step": window_us / step_us,
            "us_per_reading": min(medians),
            "us_per_reading_all": statistics.median(medians),
            "pipeline_over_invokes": min(medians) / invokes_us,
            "largest_stage_share": max(stage.p50_us for stage in stages) / total,
            **run,
            **many,
            **operations(),
            **kept_instructions(),
        },
        args.json,
    )


if __name__ == "__main__":
    main()
