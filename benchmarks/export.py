"""What each precision of the GRU costs: size, conversion time, step time, drift over 20,000 steps.

The demo's site and features on a generated slope, trained briefly; three seeds (one with --quick),
the worst of them counts. With --data the whole of ``talus-export train`` on Bazimen as well: its
time, and the most memory any of its processes took.

  python benchmarks/export.py --data ../shared/data --json export.json
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bazimen import write_history
from figures import machine, parse, write

if TYPE_CHECKING:
    from export.history import Singles
    from export.models.gru import GruWeights
    from export.models.parity import Row

_ROOT = Path(__file__).resolve().parent.parent
_STEP = {"float32": "tflite float32", "float16": "tflite float16", "dynamic": "tflite dynamic",
         "int8": "tflite int8", "int16x8": "tflite int16x8"}  # fmt: skip


class Timed:
    """Progress that takes the time of each part: ``took`` seconds by its name."""

    def __init__(self) -> None:
        self.took: dict[str, float] = {}
        self._part, self._began = "", 0.0

    def stage(self, name: str, total: int) -> None:
        """Say what begins."""
        print(f"  {name}", file=sys.stderr, flush=True)

    def step(self, text: str) -> None:
        """End the part before, and begin this one."""
        now = time.perf_counter()
        self.took[self._part] = now - self._began
        self._part, self._began = text, now

    def note(self, text: str) -> None:
        """Say it."""
        print(f"  {text}", file=sys.stderr, flush=True)


def fitted(*, quick: bool) -> tuple[list[GruWeights], Singles]:
    """Train the demo's GRU with every seed; returns the weights and the features it meets."""
    from edge.bench import demo_bundle
    from export.checkpoint import Checkpoint
    from export.history import load_history
    from export.models.aim import aim
    from export.models.forecast import fit
    from export.models.material import prepare
    from export.models.recipe import resolve
    from export.slope import generate, write_csv
    from export.train_config import load_site

    config, wanted = load_site(demo_bundle().parent / "site.toml")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "history.csv"
        write_csv(generate(days=40 if quick else 120, seed=1), path)
        history = load_history(config, wanted.station, [str(path)])
    wanted = replace(resolve(wanted, len(history.values)), epochs=6 if quick else 15)
    m = prepare(wanted, history)
    whole = slice(0, len(m.x))
    seeds = 1 if quick else 3
    nets = fit(wanted, m, aim(m, whole), whole, seeds, Timed(), Checkpoint(None, ""), "benchmark")
    return nets, m.x[m.known]


def measured(weights: GruWeights, rows: Singles) -> tuple[tuple[Row, ...], dict[str, float]]:
    """Export one network; returns its parity and the seconds that each conversion took."""
    from export.models.artifacts import export_model
    from export.models.gru_export import ExportableGru

    timed = Timed()
    made = export_model(
        "gru", ExportableGru(weights), rows, timed, lambda y: np.zeros(len(y), bool)
    )
    return made.parity, timed.took


def table(found: list[tuple[tuple[Row, ...], dict[str, float]]]) -> str:
    """Return a line for each file and runtime: the median times, the worst drift over the seeds."""
    head = ("file", "runtime", "bytes", "convert s", "p50 us", "drift", "limit")
    lines = ["{:<22}{:<13}{:>7}{:>11}{:>8}{:>9}{:>8}  seeds over".format(*head)]
    for i, first in enumerate(found[0][0]):
        rows = [parity[i] for parity, _ in found]
        _, precision, form = first.file.split(".")
        onnx = "onnx int8" if precision == "dynamic" else "onnx float32"
        part = onnx if form == "onnx" else _STEP[precision]
        convert = statistics.median(took[part] for _, took in found)
        start = f"{first.file:<22}{first.runtime:<13}{first.size_bytes:>7}{convert:>11.2f}"
        if all(row.p50_us == 0.0 for row in rows):
            lines.append(f"{start}  not run: {first.why[:60]}")
            continue
        p50 = statistics.median(row.p50_us for row in rows)
        over = sum(not row.bundled for row in rows)
        worst = max(row.drift for row in rows)
        lines.append(f"{start}{p50:>8.1f}{worst:>9.3%}{first.limit:>8.2%}  {over} of {len(rows)}")
    return "\n".join(lines)


def drifts(rows: list[Row]) -> dict[str, float]:
    """Return the figures of precision: the worst seed in LiteRT, and what is over its limit."""
    from export.models.matrix import over_limit

    figures: dict[str, float] = {
        f"{precision}_drift_pct": max(
            100.0 * row.drift
            for row in rows
            if (row.precision, row.runtime) == (precision, "litert")
        )
        for precision in ("int8", "dynamic", "float16", "int16x8")
    }
    return figures | {"parity_failures": sum(over_limit(row) for row in rows)}


def bazimen(data: Path) -> dict[str, float]:
    """Run ``talus-export train`` on Bazimen in a process of its own: seconds, MB at most."""
    with tempfile.TemporaryDirectory(prefix="export-") as name:
        folder = Path(name)
        write_history(data, folder / "history.csv")
        command = [
            sys.executable, "-m", "export", "train", "--out", str(folder / "bundle"),
            "--site", str(Path(__file__).with_name("bazimen.toml")),
            "--data", str(folder / "history.csv"),
        ]  # fmt: skip
        began = time.monotonic()
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
        took = time.monotonic() - began
        if done.returncode or not (folder / "bundle.report.html").is_file():
            sys.exit(f"talus-export train ended with {done.returncode}: {done.stderr[-2000:]}")
    print(f"\ntalus-export train on Bazimen, bundle and page: {took:.0f} s")
    most_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {"train_export_s": took, "peak_rss_mb": most_kb / 1024}


def main() -> None:
    """Run all of it."""
    args = parse(__doc__, data=True, needed=False)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    warnings.filterwarnings("ignore")
    print(machine())
    nets, rows = fitted(quick=args.quick)
    found = [measured(net, rows) for net in nets]
    print(table(found))
    figures = drifts([row for parity, _ in found for row in parity])
    if args.data is not None:
        figures |= bazimen(args.data)
    else:
        print("\nno --data: train_export_s and peak_rss_mb are left out")
    write(figures, args.json)


if __name__ == "__main__":
    main()
