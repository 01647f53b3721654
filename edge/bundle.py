"""A bundle on disk, and the proof that it computes here what it computed at export.

Nothing is armed before the manifest is signed by a trusted key, every file has its sha256 and
every model gives its golden outputs on this CPU in the runtime chosen.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.counters import older
from edge.errors import BundleError, ConfigError
from edge.manifest import (
    MAX_MANIFEST_BYTES,
    Artifact,
    DetectorSpec,
    ForecasterSpec,
    Manifest,
)
from edge.parse_manifest import parse_manifest
from edge.runtime import RUNTIMES, Model, installed, load
from edge.trust import Trust, signer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.config import RuntimeConfig
    from edge.runtime import Singles

MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model proven on this CPU: which artifact, which runtime, how far from golden."""

    model: Model
    artifact: Artifact
    runtime: str
    golden_error: float


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle with its models loaded; ``notes`` tell what was passed over and why.

    ``signer`` is the id of the trusted key that signed it, "" where none was asked for.
    """

    manifest: Manifest
    forecaster: LoadedModel
    detectors: tuple[LoadedModel, ...]
    notes: tuple[str, ...]
    signer: str


def read_manifest(folder: Path, trust: Trust) -> Manifest:
    """Read and check signature, manifest.json, and the sha256 and size of every file it lists."""
    return read_signed(folder, trust)[0]


def read_signed(folder: Path, trust: Trust) -> tuple[Manifest, str]:
    """Return a checked manifest and the id of the key that signed it ("": none was asked for).

    The signature is over the very bytes, and holds before anything in them is read.
    Raises BundleError.
    """
    path = folder / "manifest.json"
    if not folder.is_dir():
        msg = f"{path}: there is no such bundle: copy it here, or make one with talus-export train"
        raise BundleError(msg)
    text = _read(path, MAX_MANIFEST_BYTES)
    signed_by = signer(folder, text, trust)
    try:
        manifest = parse_manifest(text, str(path))
    except ConfigError as error:
        raise BundleError(str(error)) from error
    for name, sha256, size in manifest.files:
        if Path(name).name != name or name.startswith(".") or not name.isprintable():
            msg = f"{path}: files: {name!r} is not a plain file name"
            raise BundleError(msg)
        data = _read(folder / name, min(size, MAX_FILE_BYTES))
        if hashlib.sha256(data).hexdigest() != sha256.lower():
            msg = f"{folder / name}: sha256 is not that of the manifest; copy the bundle again"
            raise BundleError(msg)
    return manifest, signed_by


def load_bundle(
    folder: Path, config: RuntimeConfig, trust: Trust, highest: Mapping[str, int] | None = None
) -> Bundle:
    """Verify a bundle, load each model in the best runtime here, and prove it.

    ``highest`` is the highest counter that ran here by bundle name. Raises BundleError: not
    trusted, older, damaged, no runtime can run it, or it computes something else here.
    """
    manifest, signed_by = read_signed(folder, trust)
    if signed_by and (why := older(manifest, highest or {})):
        raise BundleError(f"{folder}: {why}")
    notes: list[str] = []
    width = len(manifest.features.terms)
    forecaster = _prove(folder, manifest.forecaster, width, config, notes)
    detectors = tuple(_prove(folder, spec, width, config, notes) for spec in manifest.detectors)
    return Bundle(manifest, forecaster, detectors, tuple(notes), signed_by)


def candidates(
    artifacts: tuple[Artifact, ...], config: RuntimeConfig
) -> list[tuple[Artifact, str]]:
    """Return (artifact, runtime) pairs worth trying here, best first."""
    present = installed()
    found = []
    for runtime in config.prefer:
        for artifact in artifacts:
            fits = RUNTIMES[runtime] == artifact.format and runtime in artifact.runtimes
            if runtime in present and fits and config.precision in ("auto", artifact.precision):
                found.append((artifact, runtime))
    return found


def _prove(
    folder: Path,
    spec: ForecasterSpec | DetectorSpec,
    width: int,
    config: RuntimeConfig,
    notes: list[str],
) -> LoadedModel:
    golden = _golden(folder / spec.golden, spec, width)
    tried: list[str] = []
    for artifact, runtime in candidates(spec.artifacts, config):
        try:
            model = load(folder / artifact.file, runtime, config.kernels)
            error = golden_error(model, golden, spec)
        except Exception as found:  # ONNX Runtime's own derive from nothing more special
            tried.append(f"{artifact.file} in {runtime}: {' '.join(str(found).split())[:300]}")
            continue
        if error <= artifact.tolerance:
            notes.extend(tried)
            return LoadedModel(model, artifact, runtime, error)
        tried.append(
            f"{artifact.file} in {runtime}: off its golden outputs by {error:.3g}, "
            f"{artifact.tolerance:.3g} allowed: this CPU or runtime computes something else"
        )
    if not tried:
        tried.append(_why_none(spec.artifacts, config))
    msg = f"{folder}: {spec.golden}: not armed: " + "; ".join(tried)
    raise BundleError(msg)


def _why_none(artifacts: tuple[Artifact, ...], config: RuntimeConfig) -> str:
    present = installed()
    if not present:
        return "no inference runtime is installed: pip install ai-edge-litert"
    offered = sorted({f"{a.precision} in {r}" for a in artifacts for r in a.runtimes})
    return (
        f"runtime.prefer {list(config.prefer)} and precision {config.precision!r} fit none of what "
        f"the bundle offers ({', '.join(offered)}) in what is installed here ({', '.join(present)})"
    )


def golden_error(
    model: Model, golden: dict[str, Singles], spec: ForecasterSpec | DetectorSpec
) -> float:
    """Return the largest |y - golden y|; a model with a state is stepped through, it carried on."""
    worst = 0.0
    state = None
    if spec.hidden:
        state = np.zeros((1, spec.hidden), dtype=np.float32)
    for x, expected in zip(golden["x"], golden["y"], strict=True):
        y, state = model.step(x[None], state)
        if y[0].size != expected.size:
            msg = f"gives {y[0].size} outputs, {expected.size} are golden"
            raise ValueError(msg)
        off = np.abs(y[0].ravel() - expected.ravel())
        if not np.isfinite(off).all():
            return float("inf")
        worst = max(worst, float(off.max()))
    return worst


def _golden(path: Path, spec: ForecasterSpec | DetectorSpec, width: int) -> dict[str, Singles]:
    """Read golden x and y, of the very sizes that the gateway will feed and take."""
    try:
        values = json.loads(_read(path, MAX_FILE_BYTES))
        golden = {key: np.array(values[key], dtype=np.float32) for key in ("x", "y")}
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        msg = f"{path}: not a golden file (lists of numbers x and y)"
        raise BundleError(msg) from error
    one_x: tuple[int, ...] = (width,)
    one_y: tuple[int, ...] = (width,)
    if isinstance(spec, ForecasterSpec):
        one_y = (len(spec.scale) * len(spec.quantiles),)
    elif not spec.hidden:
        one_x, one_y = (spec.window_steps, width), (spec.parts * spec.window_steps, width)
    for key, shape in (("x", one_x), ("y", one_y)):
        count, found = len(golden["x"]) if golden["x"].ndim else 0, golden[key].shape
        if not count or found != (count, *shape):
            msg = f"{path}: {key} is {list(found)}, the manifest makes it {['steps', *shape]}"
            raise BundleError(msg)
    return golden


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise BundleError(f"{path}: is no file: copy the bundle again")
        if path.stat().st_size > limit:
            msg = f"{path}: larger than the {limit} bytes that the manifest allows"
            raise BundleError(msg)
        return path.read_bytes()
    except OSError as error:
        msg = f"{path}: {error.strerror or error}; the bundle is incomplete, copy it again"
        raise BundleError(msg) from error
