"""Scoring one sample: our autoencoder and PCA, river's half-space trees, isolation forest.

All see the same features of one generated slope: the peers learn from the calm part, ours come as
the demo ships them, trained on another one. Then every tenth stretch of the rest has a fault put
in, and beside the time stands how well faulty steps are told from calm ones (ROC AUC).
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from peers_env import NotInstalledError, python_of, python_version
from peers_tally import percentile

from edge.autoencoder import Detector
from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import load_bundle
from edge.features import Features
from edge.trust import ANY_SIGNER
from export.slope import generate

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge.manifest import Manifest
    from edge.runtime import Singles

OTHER = Path(__file__).with_name("peers_anomaly_other.py")
SEED, DAYS, TRAIN_SHARE = 31, 60, 0.6
STRETCH, EVERY = 12, 10
"""Steps of a fault, and one stretch in so many has one."""


@dataclass(frozen=True, slots=True)
class Data:
    """Features float32[n, features] to learn from and to score, and which of those are faulty."""

    train: Singles
    test: Singles
    faulty: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """What one detector came to, us a sample."""

    name: str
    p50_us: float
    p99_us: float
    auc: float


def make(manifest: Manifest, days: float) -> Data:
    """Make a calm slope, and put faults into the last part of it."""
    values = generate(days, seed=SEED).values
    begin = round(len(values) * TRAIN_SHARE)
    random = np.random.default_rng(SEED)
    faulty = np.zeros(len(values), np.bool_)
    channels = [0, 1, 2, 3, 4]  # cracks, tilts, pore pressure: what a slope fails by
    for start in range(begin + STRETCH, len(values) - STRETCH, STRETCH * EVERY):
        channel = int(random.choice(channels))
        noise = float(np.diff(values[:begin, channel]).std())
        size = float(random.uniform(2.0, 8.0) * random.choice([-1.0, 1.0]))
        values[start : start + STRETCH, channel] += size * noise
        faulty[start : start + STRETCH] = True
    features = Features(manifest.features, tuple(c.name for c in manifest.channels))
    rows = [features.push([float(v) for v in row]) for row in values]
    x = np.array([np.zeros(features.size) if r is None else r for r in rows], np.float32)
    return Data(x[:begin], x[begin:], faulty[begin:])


def measure(days: float) -> tuple[list[Scored], str]:
    """Score the same rows with every detector; and the versions, or why the peers are absent."""
    bundle = load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)
    manifest = bundle.manifest
    data = make(manifest, days)
    found = []
    names = tuple(c.name for c in manifest.channels)
    for spec, loaded in zip(manifest.detectors, bundle.detectors, strict=True):
        detector = Detector(spec, manifest.features, names, loaded.model)
        title = f"Talus {spec.name}, {loaded.artifact.precision} {loaded.runtime}"
        found.append(_ours(title, detector, data))
    try:
        python = python_of("anomaly")
    except NotInstalledError as error:
        return found, f"river, scikit-learn: skipped: {error}"
    versions = [f"{name} {python_version(python, name)}" for name in ("river", "scikit-learn")]
    return found + _others(python, data), ", ".join(versions)


def _ours(name: str, detector: Detector, data: Data) -> Scored:
    for row in data.train:
        detector.score_one(row)
    scores, took = [], []
    for row in data.test:
        began = time.perf_counter_ns()
        score = detector.score_one(row)
        took.append((time.perf_counter_ns() - began) / 1000)
        scores.append(0.0 if score is None else score.value)
    return _scored(name, took, scores, data)


def _others(python: Path, data: Data) -> list[Scored]:
    with tempfile.TemporaryDirectory(prefix="anomaly-") as folder:
        path = Path(folder) / "data.npz"
        np.savez(path, train=data.train, test=data.test)
        done = subprocess.run(
            [python, str(OTHER), str(path)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(f"{OTHER.name} failed:\n{done.stderr[-1500:]}")
    told = json.loads(done.stdout)
    return [_scored(name, each["us"], each["scores"], data) for name, each in told.items()]


def _scored(name: str, took: list[float], scores: list[float], data: Data) -> Scored:
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    return Scored(name, p50, p99, auc(np.array(scores), data.faulty))


def auc(scores: npt.NDArray[np.float64], faulty: npt.NDArray[np.bool_]) -> float:
    """Return the share of pairs, a faulty step and a calm one, in which the faulty scores higher.

    >>> auc(np.array([0.1, 0.2, 0.9]), np.array([False, False, True]))
    1.0
    """
    bad, calm = scores[faulty], np.sort(scores[~faulty])
    if not len(bad) or not len(calm):
        return float("nan")
    below = np.searchsorted(calm, bad, "left") + np.searchsorted(calm, bad, "right")
    return float(below.mean() / 2 / len(calm))


def figures(found: list[Scored]) -> dict[str, float]:
    """Return the figures by name."""
    out: dict[str, float] = {}
    for each in found:
        name = each.name.lower().split(",")[0].replace(" ", "_").replace("-", "_")
        out |= {f"anomaly_us_{name}": each.p50_us, f"anomaly_auc_{name}": each.auc}
    ours = max(e.p50_us for e in found if e.name.startswith("Talus"))
    others = [e.p50_us for e in found if not e.name.startswith("Talus")]
    return out | ({"anomaly_over_best_peer": ours / min(others)} if others else {})
