"""Every form of one model, each proven over a long stream before it may go into a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from edge.errors import TalusError
from edge.manifest import Artifact
from export.models.gru import run
from export.models.parity import Parity, prove
from export.models.to_onnx import gru_to_onnx, reconstruction_to_onnx
from export.models.to_tflite import PRECISIONS, convert, gru_function, reconstruction_function

if TYPE_CHECKING:
    from collections.abc import Iterable

    from export.history import Singles
    from export.models.autoencoder import Reconstruction
    from export.models.gru import GruWeights

STREAM_STEPS = 5000
"""Steps that every artifact is driven over: drift of the state shows late."""
REPRESENTATIVE = 400
GOLDEN_STEPS = 64
GOLDEN_WINDOWS = 8
LIMITS = {"float32": 1e-4, "float16": 0.02, "dynamic": 0.15, "int8": 1.0}
"""Largest difference from the reference allowed, in the units of y (training spreads)."""
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
    parity: tuple[Parity, ...]


def stream_of(rows: Singles, steps: int = STREAM_STEPS) -> Singles:
    """Return at least so many steps: the rows over and over."""
    return np.tile(rows, (-(-steps // len(rows)), 1))[: max(steps, min(len(rows), 2 * steps))]


def export_gru(weights: GruWeights, rows: Singles, progress: Progress) -> Exported:
    """Convert the forecaster; ``rows`` are the known feature rows of the history, in order."""
    stream = stream_of(rows)
    expected, states = run(weights, stream)
    pick = _representative(np.abs(stream).max(axis=1))

    def samples() -> Iterable[dict[str, Any]]:
        # Pairs along a real stream: int8 ranges must hold the states that are reached.
        return ({"x": stream[i][None], "state": states[i][None]} for i in pick)

    function = gru_function(weights)
    files = {}
    for precision in PRECISIONS:
        progress.step(precision)
        files[f"gru.{precision}.tflite"] = convert(function, precision, samples)
    files["gru.float32.onnx"] = gru_to_onnx(weights)
    progress.step("parity")
    cut = GOLDEN_STEPS
    golden = {"x": stream[:cut].tolist(), "y": expected[:cut].tolist()}

    return _offer(files, golden, prove(files, stream, expected, weights.hidden), progress)


def export_reconstruction(
    name: str, net: Reconstruction, windows: Singles, progress: Progress
) -> Exported:
    """Convert a detector; ``windows`` float32[n, window, features] of the history, in order."""
    part = windows[: STREAM_STEPS * 2]
    expected = net.run(part.astype(np.float64)).astype(np.float32)
    pick = _representative(np.abs(part).max(axis=(1, 2)))
    function = reconstruction_function(net)
    files = {}
    for precision in PRECISIONS:
        progress.step(precision)
        files[f"{name}.{precision}.tflite"] = convert(
            function, precision, lambda: ({"x": part[i][None]} for i in pick)
        )
    files[f"{name}.float32.onnx"] = reconstruction_to_onnx(net)
    progress.step("parity")
    chosen = pick[:: max(1, len(pick) // GOLDEN_WINDOWS)][:GOLDEN_WINDOWS]
    golden = {
        "x": np.round(part[chosen], 6).tolist(),
        "y": net.run(np.round(part[chosen], 6).astype(np.float64)).round(6).tolist(),
    }

    return _offer(files, golden, prove(files, part, expected, 0), progress)


def _representative(size: Singles) -> npt.NDArray[np.int64]:
    """Pick rows evenly, and the extremes: int8 clips what its calibration has not seen."""
    even = np.linspace(0, len(size) - 1, REPRESENTATIVE).astype(np.int64)
    return np.union1d(even, np.argsort(size)[-REPRESENTATIVE // 4 :])


def _offer(
    files: dict[str, bytes],
    golden: dict[str, Any],
    parity: tuple[Parity, ...],
    progress: Progress,
) -> Exported:
    """Keep what agrees with the reference, for the runtimes in which it does."""
    artifacts = []
    for file in files:
        _, precision, form = file.rsplit(".", 2)
        found = [p for p in parity if p.file == file]
        good = [p for p in found if not p.refused and p.worst <= LIMITS[precision]]
        for each in found:
            if each not in good:
                why = each.refused or f"off by {each.worst:.3g}, {LIMITS[precision]:g} allowed"
                progress.note(f"{file} is not offered to {each.runtime}: {why}")
        if good:
            tolerance = max(1e-4, _MARGIN * max(p.worst for p in good))
            runtimes = tuple(p.runtime for p in good)
            artifacts.append(Artifact(file, form, precision, tolerance, runtimes))
    if not artifacts:
        raise TalusError("no artifact agrees with the reference in any runtime installed here")
    kept = {a.file: files[a.file] for a in artifacts}
    return Exported(tuple(artifacts), kept, golden, parity)
