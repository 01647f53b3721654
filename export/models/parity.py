"""Proof that an artifact computes what the weights say, step after step, in each runtime here.

Each runtime runs in a process of its own: TensorFlow's symbols spoil tflite-runtime in the same
process (``std::bad_alloc`` at load), and a runtime that crashes must not take the training along.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import RuntimeMissingError
from edge.runtime import RUNTIMES, installed, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.runtime import Model
    from export.history import Flags, Singles

_TIME_LIMIT_S = 900
_AT_THE_END = 3
"""So many times in a row at the extreme value of a whole stream: clipped, not a maximum."""


@dataclass(frozen=True, slots=True)
class Row:
    """One artifact in one runtime over the stream; errors are of y, in its own units.

    ``drift`` is the RMS error over the RMS of y, ``saturated`` counts outputs held at the end of
    an integer range, ``decisions_differ`` the steps on which an alarm would be decided otherwise.
    ``why`` says why it is not bundled for this runtime.
    """

    file: str
    precision: str
    runtime: str
    size_bytes: int
    p50_us: float
    drift: float
    limit: float
    max_error: float
    saturated: int
    decisions_differ: int
    bundled: bool
    why: str


def prove(
    files: dict[str, bytes],
    stream: Singles,
    expected: Singles,
    hidden: int,
    decide: Callable[[Singles], Flags],
    limits: dict[str, float],
) -> tuple[Row, ...]:
    """Drive every file over ``stream`` in every runtime that reads it.

    ``stream`` is float32[n, features] for a step with a state of ``hidden``, or
    float32[n, window, features] for a detector (``hidden`` 0); ``expected`` is y for each.
    ``limits`` are the drifts allowed, by precision.
    """
    found: list[Row] = []
    wanted = decide(expected)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "stream.npy", stream)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        for runtime in installed():
            fitting = [f for f in files if f.rsplit(".", 1)[1] == RUNTIMES[runtime]]
            refused = _in_its_own_process(folder, runtime, hidden, fitting)
            for file in fitting:
                precision = file.rsplit(".", 2)[1]
                row = Row(
                    file, precision, runtime, len(files[file]), 0.0, 0.0, limits[precision],
                    0.0, 0, 0, bundled=False, why=refused.get(file, ""),
                )  # fmt: skip
                if not row.why:
                    row = _measured(row, folder, expected, decide, wanted)
                found.append(row)
    return tuple(sorted(found, key=lambda row: list(files).index(row.file)))


def _in_its_own_process(
    folder: Path, runtime: str, hidden: int, files: Sequence[str]
) -> dict[str, str]:
    """Leave the outputs of each file beside it; returns why there are none, by file."""
    if not files:
        return {}
    command = [sys.executable, "-m", "export.models.parity", str(folder), runtime, str(hidden)]
    try:
        done = subprocess.run(
            [*command, *files], capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return dict.fromkeys(files, f"longer than {_TIME_LIMIT_S} s")
    said = dict(json.loads(line) for line in done.stdout.splitlines() if line[:1] == "[")
    ended = f"the runtime ended with {done.returncode}: {done.stderr.strip()[-200:]}"
    return {file: said.get(file, ended) for file in files if said.get(file, ended)}


def _measured(
    row: Row, folder: Path, expected: Singles, decide: Callable[[Singles], Flags], wanted: Flags
) -> Row:
    with np.load(folder / f"{row.file}.{row.runtime}.npz") as kept:
        outputs, p50_us = kept["y"], float(kept["p50_us"])
    off = outputs.astype(np.float64) - expected
    if not np.isfinite(off).all():
        return _with(row, why="outputs are not finite")
    size = float(np.sqrt((expected.astype(np.float64) ** 2).mean())) or 1.0
    drift = float(np.sqrt((off**2).mean())) / size
    over = drift > row.limit
    return _with(
        row,
        p50_us=p50_us,
        drift=drift,
        max_error=float(np.abs(off).max()),
        saturated=saturated(outputs) if row.precision in ("int8", "int16x8") else 0,
        decisions_differ=int((decide(outputs) != wanted).sum()),
        bundled=not over,
        why=f"drift {drift:.2%} is over its limit of {row.limit:.2%}" if over else "",
    )


def saturated(outputs: Singles) -> int:
    """Count outputs that stand at the extreme of their column again and again: clipped there."""
    flat = outputs.reshape(len(outputs), -1)
    count = 0
    for end in (flat.min(axis=0), flat.max(axis=0)):
        at_end = flat == end
        often = at_end.sum(axis=0) >= _AT_THE_END
        moving = np.ptp(flat, axis=0) > 0
        count += int(at_end[:, often & moving].sum())
    return count


def _with(row: Row, **changes: Any) -> Row:
    from dataclasses import replace

    return replace(row, **changes)


def drive(model: Model, stream: Singles, hidden: int) -> tuple[Singles, float]:
    """Step through a stream, the state carried on; returns outputs and the median time, us."""
    state = np.zeros((1, hidden), np.float32) if hidden else None
    outputs, times = [], []
    for x in stream:
        row = x[None]
        began = time.perf_counter_ns()
        y, state = model.step(row, state)
        times.append(time.perf_counter_ns() - began)
        outputs.append(y[0].copy())
    return np.stack(outputs), float(np.median(times)) / 1000.0


def _run(folder: Path, file: str, runtime: str, hidden: int) -> str:
    stream = np.load(folder / "stream.npy")
    try:
        outputs, p50_us = drive(load(folder / file, runtime), stream, hidden)
    except (RuntimeMissingError, RuntimeError, ValueError) as error:
        return " ".join(str(error).split())[:200]
    np.savez(folder / f"{file}.{runtime}.npz", y=outputs, p50_us=p50_us)
    return ""


def _main(arguments: list[Any]) -> None:
    folder, runtime, hidden, *files = arguments
    for file in files:
        print(json.dumps([file, _run(Path(folder), file, runtime, int(hidden))]), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
