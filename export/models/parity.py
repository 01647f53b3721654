"""Proof that an artifact computes what the weights say, step after step, in each runtime here.

Each runtime runs in a process of its own: TensorFlow's symbols spoil tflite-runtime in the same
process (``std::bad_alloc`` at load), and a runtime that crashes must not take the training along.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import RuntimeMissingError
from edge.runtime import RUNTIMES, installed, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.runtime import Model
    from export.history import Singles

_TIME_LIMIT_S = 600


@dataclass(frozen=True, slots=True)
class Parity:
    """How far one artifact is from the reference in one runtime, over the stream."""

    file: str
    runtime: str
    worst: float
    rms: float
    refused: str


def prove(
    files: dict[str, bytes], stream: Singles, expected: Singles, hidden: int
) -> tuple[Parity, ...]:
    """Drive every file over ``stream`` in every runtime that reads it.

    ``stream`` is float32[n, features] for a step with a state of ``hidden``, or
    float32[n, window, features] for a detector (``hidden`` 0); ``expected`` is y for each.
    """
    found: list[Parity] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "stream.npy", stream)
        np.save(folder / "expected.npy", expected)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        for runtime in installed():
            fitting = [f for f in files if f.rsplit(".", 1)[1] == RUNTIMES[runtime]]
            if fitting:
                found += _in_its_own_process(folder, runtime, hidden, fitting)
    return tuple(sorted(found, key=lambda p: list(files).index(p.file)))


def _in_its_own_process(
    folder: Path, runtime: str, hidden: int, files: Sequence[str]
) -> list[Parity]:
    command = [sys.executable, "-m", "export.models.parity", str(folder), runtime, str(hidden)]
    try:
        done = subprocess.run(
            [*command, *files], capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return [_refused(file, runtime, f"longer than {_TIME_LIMIT_S} s") for file in files]
    found = [Parity(**json.loads(line)) for line in done.stdout.splitlines() if line[:1] == "{"]
    missing = [file for file in files if file not in {p.file for p in found}]
    ended = f"the runtime ended with {done.returncode}: {done.stderr.strip()[-200:]}"
    return found + [_refused(file, runtime, ended) for file in missing]


def _refused(file: str, runtime: str, why: str) -> Parity:
    return Parity(file, runtime, 0.0, 0.0, why)


def _drive(model: Model, stream: Singles, hidden: int) -> Singles:
    state = np.zeros((1, hidden), np.float32) if hidden else None
    outputs = []
    for x in stream:
        y, state = model.step(x[None], state)
        outputs.append(y[0])
    return np.stack(outputs)


def _measure(folder: Path, file: str, runtime: str, hidden: int) -> Parity:
    stream, expected = np.load(folder / "stream.npy"), np.load(folder / "expected.npy")
    try:
        off = np.abs(_drive(load(folder / file, runtime), stream, hidden) - expected)
    except (RuntimeMissingError, RuntimeError, ValueError) as error:
        return _refused(file, runtime, str(error)[:200])
    if not np.isfinite(off).all():
        return _refused(file, runtime, "outputs are not finite")
    rms = float(np.sqrt((off.astype(np.float64) ** 2).mean()))
    return Parity(file, runtime, float(off.max()), rms, "")


def _main(arguments: list[Any]) -> None:
    folder, runtime, hidden, *files = arguments
    for file in files:
        print(json.dumps(asdict(_measure(Path(folder), file, runtime, int(hidden)))), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
