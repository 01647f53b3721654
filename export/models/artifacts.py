"""Every form of one model, each proven over a long stream before it may go into a bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from edge.errors import TalusError
from edge.manifest import Artifact
from export.models.op_versions import too_new
from export.models.parity import Row, prove
from export.models.to_tflite import PRECISIONS, convert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from export.history import Flags, Singles
    from export.models.exportable import Exportable

STREAM_STEPS = 20_000
"""Steps that every artifact is driven over: drift of the state shows late."""
MOST_VALUES = 4_000_000
"""Of one stream: windows hold every step many times over, and prove no more for it."""
REPRESENTATIVE = 600
_STRETCH = 200
"""Of a history longer than the stream, so many steps in a row: a state needs some to settle."""
GOLDEN_STEPS = 64
GOLDEN_WINDOWS = 8
LIMITS = {"float32": 1e-4, "float16": 0.002, "dynamic": 0.002, "int16x8": 0.01, "int8": 0.02}
"""Largest RMS error allowed over the stream, as a share of the RMS of y."""
_MARGIN = 4.0


class Progress(Protocol):
    """Where long work tells how far it is."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many parts."""

    def step(self, text: str) -> None:
        """Finish one part."""

    def note(self, text: str) -> None:
        """Say something that should stay on the screen."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A model's files, what the manifest says of them, its golden vectors and its parity."""

    artifacts: tuple[Artifact, ...]
    files: dict[str, bytes]
    golden: dict[str, Any]
    parity: tuple[Row, ...]


def stream_of(rows: Singles, steps: int = STREAM_STEPS) -> Singles:
    """Return so many steps: the rows over and over, or stretches of them if they are more.

    Fewer where that is less work.
    """
    steps = min(steps, max(MOST_VALUES // max(1, int(np.prod(rows.shape[1:]))), 256))
    if len(rows) > steps:
        return rows[_stretches(rows, steps)]
    return np.tile(rows, (-(-steps // len(rows)), *(1 for _ in rows.shape[1:])))[:steps]


def _stretches(rows: Singles, steps: int) -> npt.NDArray[np.int64]:
    """Pick stretches of all of it, in order; a quarter lies about the most extreme values.

    A storm in the last year must not be the first thing that an integer range has not seen.
    """
    size = np.abs(rows.reshape(len(rows), -1)).max(axis=1)
    taken = np.zeros(len(rows), dtype=bool)
    for i in np.argsort(-size, kind="stable"):
        if taken.sum() + _STRETCH > steps // 4:
            break
        if not taken[i]:
            taken[max(0, i - _STRETCH // 2) : i + _STRETCH // 2] = True
    left, need = np.flatnonzero(~taken), steps - int(taken.sum())
    parts = np.array_split(left, max(1, need // _STRETCH))
    for part in parts:
        taken[part[: need // len(parts)]] = True
    taken[np.flatnonzero(~taken)[: steps - int(taken.sum())]] = True
    return np.flatnonzero(taken)


def export_model(
    name: str,
    model: Exportable,
    rows: Singles,
    progress: Progress,
    decide: Callable[[Singles], Flags],
    precisions: tuple[str, ...] = PRECISIONS,
    limits: dict[str, float] | None = None,
) -> Exported:
    """Convert, prove and keep what holds. Raises TalusError where nothing does.

    ``rows`` are what the model will see, in order: float32[n, F], or [n, window, F] for one that
    takes whole windows. ``decide`` tells, of outputs [n, ...], which of them would alarm.
    """
    progress.stage(f"export {name}", len(precisions) + 3)
    stream = stream_of(rows)
    expected, states = model.run(stream)
    files = convert_all(name, model, stream, states, progress, precisions)
    progress.step("parity")
    found = prove(files, stream, expected, model.hidden, decide, limits or LIMITS)
    return _offer(files, golden(model, stream, expected), found, progress)


def convert_all(
    name: str,
    model: Exportable,
    stream: Singles,
    states: Singles,
    progress: Progress,
    precisions: tuple[str, ...] = PRECISIONS,
) -> dict[str, bytes]:
    """Return the files by name; one whose operators are too new for the runtimes is left out."""
    pick = representative(stream)

    def samples() -> Iterable[dict[str, Any]]:
        # Pairs along a real stream: integer ranges must hold the states that are reached.
        for i in pick:
            pair = {"x": stream[i][None]}
            yield pair | {"state": states[i][None]} if model.hidden else pair

    files = {}
    for precision in precisions:
        progress.step(f"tflite {precision}")
        function = model.tf_function(precision, stream, states)
        sums = model.float_sums(precision)
        files[f"{name}.{precision}.tflite"] = convert(function, precision, samples, float_sums=sums)
    if "float32" in precisions:
        progress.step("onnx float32")
        files[f"{name}.float32.onnx"] = model.onnx()
    if "dynamic" in precisions:
        progress.step("onnx int8")
        files[f"{name}.dynamic.onnx"] = model.onnx_int8(states)
    files = {file: data for file, data in files.items() if data}
    for file, data in list(files.items()):
        if why := too_new(file, data):
            progress.note(f"{file} is left out: {why}")
            del files[file]
    return files


def representative(stream: Singles) -> npt.NDArray[np.int64]:
    """Pick rows evenly, and the extremes: int8 clips what its calibration has not seen."""
    size = np.abs(stream.reshape(len(stream), -1)).max(axis=1)
    even = np.linspace(0, len(size) - 1, REPRESENTATIVE).astype(np.int64)
    return np.union1d(even, np.argsort(size)[-REPRESENTATIVE // 4 :])


def golden(model: Exportable, stream: Singles, expected: Singles) -> dict[str, Any]:
    """Return the vectors that a gateway proves a model by: the start of a stream, or windows."""
    if model.hidden:
        cut = GOLDEN_STEPS
        return {"x": stream[:cut].tolist(), "y": expected[:cut].tolist()}
    pick = representative(stream)
    chosen = pick[:: max(1, len(pick) // GOLDEN_WINDOWS)][:GOLDEN_WINDOWS]
    x = np.round(stream[chosen], 6)
    return {"x": x.tolist(), "y": np.round(model.run(x)[0], 6).tolist()}


def _offer(
    files: dict[str, bytes], golden: dict[str, Any], parity: tuple[Row, ...], progress: Progress
) -> Exported:
    """Keep what agrees with the reference, for the runtimes in which it does."""
    artifacts = []
    for file in files:
        rows = [row for row in parity if row.file == file]
        for row in rows:
            if not row.bundled:
                progress.note(f"{file} is not offered to {row.runtime}: {row.why}")
        good = [row for row in rows if row.bundled]
        if good:
            artifacts.append(_artifact(file, good))
    if not artifacts:
        raise TalusError("no artifact agrees with the reference in any runtime installed here")
    kept = {a.file: files[a.file] for a in artifacts}
    return Exported(tuple(artifacts), kept, golden, parity)


def _artifact(file: str, good: list[Row]) -> Artifact:
    worst = max(row.max_error for row in good)
    return Artifact(
        file=file,
        format=file.rsplit(".", 1)[1],
        precision=good[0].precision,
        tolerance=max(1e-4, _MARGIN * worst),
        runtimes=tuple(row.runtime for row in good),
        # Stations of one call share the run-time range of an int8 file: one at a time there.
        batch=0 if file.endswith(".float32.onnx") else 1,
        drift=max(row.drift for row in good),
        drift_limit=good[0].limit,
        max_error=worst,
        saturated=max(row.saturated for row in good),
    )


def matrix(parity: tuple[Row, ...]) -> bytes:
    """Return parity.json of a bundle."""
    from dataclasses import asdict

    return json.dumps([asdict(row) for row in parity], indent=1).encode() + b"\n"
