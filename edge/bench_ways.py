"""The ways in which a bundle can run here: each runtime in each precision, or why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.bench_node import warm_up
from edge.bench_result import Missing, Shape, Way
from edge.bundle import Bundle, candidates, load_bundle, read_manifest
from edge.config import RuntimeConfig
from edge.errors import BundleError, TalusError
from edge.manifest import PRECISIONS
from edge.runtime import RUNTIMES, installed
from edge.trust import ANY_SIGNER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edge.manifest import Manifest

_EXTRAS = {"litert": "litert", "onnxruntime": "onnx", "tflite": "tflite"}


@dataclass(frozen=True, slots=True)
class Subject:
    """A bundle under test, loaded in every way that was asked for and that works."""

    folder: Path
    manifest: Manifest
    ways: tuple[tuple[Way, Bundle], ...]
    missing: tuple[Missing, ...]

    @property
    def shape(self) -> Shape:
        """What makes it cost what it costs."""
        m = self.manifest
        return Shape(
            m.label, str(self.folder), len(m.channels), len(m.features.terms),
            m.forecaster.hidden, m.step_ms, tuple(d.name for d in m.detectors), warm_up(m),
        )  # fmt: skip

    def best(self) -> list[tuple[Way, Bundle]]:
        """Return the way that a gateway would take in each runtime."""
        found: dict[str, tuple[Way, Bundle]] = {}
        preferred = [a.file for a in self.manifest.forecaster.artifacts]
        for way, bundle in sorted(self.ways, key=lambda pair: preferred.index(pair[0].file)):
            found.setdefault(way.runtime, (way, bundle))
        return [found[runtime] for runtime in RUNTIMES if runtime in found]


def check_runtimes(asked: Sequence[str]) -> None:
    """Raise TalusError for a runtime that is not known, or not here."""
    present = installed()
    for runtime in asked:
        if runtime not in RUNTIMES:
            raise TalusError(f"--runtime {runtime}: there are {', '.join(RUNTIMES)}")
        if runtime not in present:
            raise TalusError(f"--runtime {runtime}: {_absent(runtime)}; "
                             f"installed: {', '.join(present) or 'none'}")  # fmt: skip
    if not present:
        raise TalusError("no inference runtime is installed: pip install ai-edge-litert")


def subject(
    folder: Path, runtimes: Sequence[str], precisions: Sequence[str], kernels: str = "tuned"
) -> Subject:
    """Load a bundle in every way. Raises TalusError where there is none."""
    manifest = read_manifest(folder, ANY_SIGNER)
    _check_precisions(folder, manifest, runtimes, precisions)
    ways: list[tuple[Way, Bundle]] = []
    missing: list[Missing] = []
    asked = runtimes or tuple(RUNTIMES), precisions or PRECISIONS
    for found in _tried(folder, manifest, *asked, kernels):
        if isinstance(found, Missing):
            missing.append(found)
        else:
            ways.append(found)
    if not ways:
        whys = "; ".join(dict.fromkeys(each.why for each in missing))
        raise TalusError(f"{folder}: runs in no way that was asked for: {whys}")
    return Subject(folder, manifest, tuple(ways), tuple(missing))


def _tried(
    folder: Path, manifest: Manifest, runtimes: Sequence[str], precisions: Sequence[str],
    kernels: str,
) -> Iterator[tuple[Way, Bundle] | Missing]:  # fmt: skip
    present, label, f = installed(), manifest.label, manifest.forecaster
    for runtime in runtimes:
        if runtime not in present:
            yield Missing(label, runtime, "", _absent(runtime))
            continue
        for precision in precisions:
            config = RuntimeConfig((runtime,), precision, kernels)
            offered = candidates(f.artifacts, config)
            if not offered:
                yield Missing(label, runtime, precision, "the bundle has none for this runtime")
                continue
            try:
                bundle = load_bundle(folder, config, ANY_SIGNER)
            except BundleError as error:
                yield Missing(label, runtime, precision, str(error))
                continue
            file = bundle.forecaster.artifact.file
            yield Way(label, f.hidden, runtime, precision, file), bundle


def _absent(runtime: str) -> str:
    return f"not installed (pip install 'talus-edge[{_EXTRAS[runtime]}]')"


def _check_precisions(
    folder: Path, manifest: Manifest, runtimes: Sequence[str], asked: Sequence[str]
) -> None:
    """Raise TalusError for a precision that no artifact has for the runtimes asked for."""
    artifacts = manifest.forecaster.artifacts
    wanted = runtimes or tuple(RUNTIMES)
    offered = {a.precision for a in artifacts if any(r in a.runtimes for r in wanted)}
    for precision in asked:
        if precision not in PRECISIONS:
            raise TalusError(f"--precision {precision}: there are {', '.join(PRECISIONS)}")
        if precision not in offered:
            of = f" for {', '.join(runtimes)}" if runtimes else ""
            every = sorted({f"{a.precision} for {r}" for a in artifacts for r in a.runtimes})
            raise TalusError(
                f"{folder / 'manifest.json'}: has no artifact of precision {precision}{of}; it has "
                f"{', '.join(every)}: choose among these, or export the bundle with it"
            )
