"""Every artifact of a bundle measured again, in the runtimes that are installed here and now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.autoencoder import Detector
from edge.bundle import candidates
from edge.config import RuntimeConfig
from edge.errors import TalusError
from edge.runtime import RUNTIMES, load
from export.models import gru
from export.models.artifacts import stream_of
from export.models.forecaster import decide
from export.models.parity import drive, prove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.manifest import Artifact, DetectorSpec, ForecasterSpec, Manifest
    from edge.runtime import State
    from export.history import Flags, Singles
    from export.models.parity import Row
    from export.models.rehearsal import Rehearsal

FEWEST_STEPS = 100


def gru_rows(folder: Path, spec: ForecasterSpec, kept: Rehearsal, steps: int) -> tuple[Row, ...]:
    """Measure the GRU against its weights, over the stretches of history the bundle carries."""
    rows = _sequences(kept)
    stream = stream_of(rows.reshape(-1, rows.shape[2]), steps)
    expected, _ = gru.run(kept.weights, stream)
    files = {a.file: (folder / a.file).read_bytes() for a in spec.artifacts}
    return prove(files, stream, expected, spec.hidden, decide(spec), _limits(spec))


def detector_rows(
    folder: Path, manifest: Manifest, spec: DetectorSpec, kept: Rehearsal, steps: int
) -> tuple[Row, ...]:
    """Measure a detector against its float32 artifact in the first runtime. Raises TalusError.

    Decisions are those of the gateway's own class, fed with the outputs of each artifact.
    """
    sequences = _long_enough(_sequences(kept), spec, steps)
    stream = _calls(sequences, spec)
    exact = RuntimeConfig(tuple(RUNTIMES), "float32")
    found = candidates(spec.artifacts, exact)
    if not found:
        raise TalusError(f"{spec.name}: no float32 artifact that can run here to compare with")
    artifact, runtime = found[0]
    expected, _ = drive(load(folder / artifact.file, runtime), stream, spec.hidden)
    files = {a.file: (folder / a.file).read_bytes() for a in spec.artifacts}

    def over(outputs: Singles) -> Flags:
        return _alarms(manifest, spec, sequences, outputs)

    return prove(files, stream, expected, spec.hidden, over, _limits(spec))


def broken(artifacts: tuple[Artifact, ...], rows: tuple[Row, ...]) -> list[str]:
    """Return what a bundle offers and does not hold: one line for each artifact and runtime."""
    measured = {(row.file, row.runtime): row for row in rows}
    pairs = ((a.file, runtime) for a in artifacts for runtime in a.runtimes)
    return [
        f"{file} is offered to {runtime}: {measured[file, runtime].why}"
        for file, runtime in pairs
        if (file, runtime) in measured and not measured[file, runtime].bundled
    ]


def absent(artifacts: tuple[Artifact, ...], rows: tuple[Row, ...]) -> set[str]:
    """Return the runtimes that a bundle offers and this machine does not have."""
    return {runtime for a in artifacts for runtime in a.runtimes} - {row.runtime for row in rows}


def _limits(spec: ForecasterSpec | DetectorSpec) -> dict[str, float]:
    return {a.precision: a.drift_limit for a in spec.artifacts}


def _sequences(kept: Rehearsal) -> Singles:
    """Return float32[n, steps, features]: all that is carried."""
    return np.concatenate([kept.x, kept.judge_x])


def _long_enough(sequences: Singles, spec: DetectorSpec, steps: int) -> Singles:
    """Return the sequences over and over, until they make so many calls."""
    each = sequences.shape[1] if spec.hidden else sequences.shape[1] - spec.window_steps + 1
    if each < 1:
        raise TalusError(
            f"{spec.name}: takes windows of {spec.window_steps} steps, and the bundle carries "
            f"stretches of {sequences.shape[1]}: train anew"
        )
    return stream_of(sequences, max(1, -(-steps // each)))


def _calls(sequences: Singles, spec: DetectorSpec) -> Singles:
    """Return what the model is called with: steps [n, F], or whole windows [n, window, F]."""
    if spec.hidden:
        return sequences.reshape(-1, sequences.shape[2])
    view = np.lib.stride_tricks.sliding_window_view(sequences, spec.window_steps, axis=1)
    windows = view.transpose(0, 1, 3, 2)
    return np.ascontiguousarray(windows.reshape(-1, *windows.shape[2:]))


class _Played:
    """Outputs as they were measured, in the place of a model."""

    runtime = "played"

    def __init__(self, outputs: Singles) -> None:
        self._left: Iterator[Singles] = iter(outputs)
        self.invoke = lambda: None

    def step(self, x: Singles, state: State = None) -> tuple[Singles, State]:
        """Give the next one."""
        return next(self._left)[None], state


def _alarms(manifest: Manifest, spec: DetectorSpec, sequences: Singles, outputs: Singles) -> Flags:
    """Tell of each step whether the detector would be over its threshold."""
    channels = tuple(c.name for c in manifest.channels)
    detector = Detector(spec, manifest.features, channels, _Played(outputs))
    found = []
    for sequence in sequences:
        detector.score_one(None)
        for x in sequence:
            score = detector.score_one(x)
            found.append(score is not None and score.value >= score.threshold)
    return np.array(found, bool)
