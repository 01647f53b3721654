"""Each artifact of a bundle in each runtime: one step, the bare invoke in it, the first call."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.bench_spread import Spread, spread
from edge.errors import RuntimeMissingError
from edge.runtime import KERNELS, RUNTIMES, Singles, installed, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edge.manifest import Artifact, DetectorSpec, ForecasterSpec, Manifest
    from edge.runtime import Model

WARM_UP = 20
"""Steps before any is timed; of the first the time is kept."""


@dataclass(frozen=True, slots=True)
class ModelTime:
    """Time of one artifact in one runtime, us a step: ``Model.step``, and ``invoke`` alone.

    ``batch`` stations go through one call. ``refused``: why there is none.
    """

    model: str
    file: str
    runtime: str
    precision: str
    hidden: int
    batch: int
    step: Spread | None
    invoke: Spread | None
    first_us: float | None
    refused: str = ""

    @property
    def step_p50_us(self) -> float:
        """The median of a step, 0.0 where it was refused."""
        return 0.0 if self.step is None else self.step.p50_us

    @property
    def invoke_p50_us(self) -> float:
        """The median of what the runtime takes of it."""
        return 0.0 if self.invoke is None else self.invoke.p50_us


def time_models(
    folder: Path,
    manifest: Manifest,
    count: int,
    runtimes: Sequence[str] = (),
    precisions: Sequence[str] = (),
    kernels: str = KERNELS[0],
) -> list[ModelTime]:
    """Return the time of every artifact in every runtime installed that reads its format."""
    pairs = _pairs(manifest, runtimes, precisions)
    return [_time_model(*pair, folder, manifest, count, kernels) for pair in pairs]


def time_batches(
    folder: Path,
    manifest: Manifest,
    batches: Sequence[int],
    count: int,
    runtimes: Sequence[str] = (),
    precisions: Sequence[str] = (),
    kernels: str = KERNELS[0],
) -> Iterator[ModelTime]:
    """Give the time of the forecaster with several stations in one call, where it takes them."""
    for pair in _pairs(manifest, runtimes, precisions):
        if pair[0] == "gru" and not pair[2].batch:  # others are made for one station a call
            for batch in batches:
                yield _time_model(*pair, folder, manifest, count, kernels, batch=batch)


def _pairs(
    manifest: Manifest, runtimes: Sequence[str], precisions: Sequence[str]
) -> Iterator[tuple[str, ForecasterSpec | DetectorSpec, Artifact, str]]:
    models: tuple[tuple[str, ForecasterSpec | DetectorSpec], ...] = (
        ("gru", manifest.forecaster),
        *((spec.name, spec) for spec in manifest.detectors),
    )
    for name, spec in models:
        for artifact in spec.artifacts:
            if precisions and artifact.precision not in precisions:
                continue
            for runtime in runtimes or installed():
                if RUNTIMES[runtime] == artifact.format:
                    yield name, spec, artifact, runtime


def _refused(
    name: str, spec: ForecasterSpec | DetectorSpec, artifact: Artifact, runtime: str, batch: int,
    why: str,
) -> ModelTime:  # fmt: skip
    return ModelTime(name, artifact.file, runtime, artifact.precision, spec.hidden, batch,
                     None, None, None, why)  # fmt: skip


def _time_model(
    name: str, spec: ForecasterSpec | DetectorSpec, artifact: Artifact, runtime: str,
    folder: Path, manifest: Manifest, count: int, kernels: str, *, batch: int = 1,
) -> ModelTime:  # fmt: skip
    try:
        model = load(folder / artifact.file, runtime, kernels)
        x, state = _inputs(spec, len(manifest.features.terms), batch)
        first_us, steps, bare = _steps(model, x, state, count)
    except RuntimeMissingError as error:
        return _refused(name, spec, artifact, runtime, batch, str(error))
    except Exception as error:  # the runtimes raise whatever their C++ side names
        why = f"runtime {runtime} cannot run it: {' '.join(str(error).split())[:300]}"
        return _refused(name, spec, artifact, runtime, batch, why)
    return ModelTime(
        name, artifact.file, runtime, artifact.precision, spec.hidden, batch,
        spread(steps), spread(bare) if batch == 1 else None, first_us,
    )  # fmt: skip


def _inputs(
    spec: ForecasterSpec | DetectorSpec, size: int, batch: int
) -> tuple[Singles, Singles | None]:
    from edge.manifest import ForecasterSpec

    shape: tuple[int, ...] = (batch, size)
    if not isinstance(spec, ForecasterSpec) and not spec.hidden:
        shape = (batch, spec.window_steps, size)
    state = np.zeros((batch, spec.hidden), np.float32) if spec.hidden else None
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32), state


def _steps(
    model: Model, x: Singles, state: Singles | None, count: int
) -> tuple[float, list[float], list[float]]:
    clock = time.perf_counter_ns
    steps: list[float] = []
    bare: list[float] = []
    # Alternating, so that whatever else this machine does falls on both alike.
    for _ in range(WARM_UP + count):
        began = clock()
        _, following = model.step(x, state)
        between = clock()
        model.invoke()
        ended = clock()
        steps.append((between - began) / 1000)
        bare.append((ended - between) / 1000)
        if state is not None and following is not None:
            state = following
    return steps[0], steps[WARM_UP:], bare[WARM_UP:]
