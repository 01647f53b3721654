"""From history to bundle: every artifact agrees with its weights, and a seed makes it again.

TensorFlow stays in this process; each inference runtime is proven in one of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bench import demo_bundle
from edge.bundle import load_bundle, read_manifest
from edge.config import RuntimeConfig
from edge.manifest import Manifest
from edge.runtime import RUNTIMES, installed, load
from export.__main__ import main
from export.history import load_history
from export.models.artifacts import LIMITS, STREAM_STEPS, export_gru, stream_of
from export.models.gru import GruWeights, run
from export.models.parity import prove
from export.models.to_onnx import gru_to_onnx
from export.models.train import Trained, train
from export.progress import Bars
from export.slope import generate, write_csv
from export.train_config import load_site

GOLDEN = ("golden.gru.json", "golden.autoencoder.json", "golden.pca.json")


@dataclass(frozen=True)
class Workshop:
    """A site, its history, the bundle trained from it, and what the command printed."""

    site: Path
    history: Path
    bundle: Path
    said: str

    def train(self, out: str) -> str:
        words = ["--site", self.site, "--data", self.history, "--out", self.site.parent / out]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert main(["train", *map(str, words)]) == 0
        return said.getvalue()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("shop")
    text = (demo_bundle().parent / "site.toml").read_text()
    text = text.replace("hidden = 32", "hidden = 8").replace("epochs = 30", "epochs = 2")
    (folder / "site.toml").write_text(text)
    write_csv(generate(20, 1), folder / "history.csv")
    made = Workshop(folder / "site.toml", folder / "history.csv", folder / "bundle", "")
    return replace(made, said=made.train("bundle"))


@pytest.fixture(scope="module")
def manifest(shop: Workshop) -> Manifest:
    return read_manifest(shop.bundle)


def trained(shop: Workshop, *, seed: int = 1, spoil_test: bool = False) -> Trained:
    config, wanted = load_site(shop.site)
    history = load_history(config, wanted.station, [str(shop.history)])
    if spoil_test:
        start = round(len(history.values) * (1.0 - wanted.test_share))
        history.values[start:] = 3.0 * history.values[start:] + 11.0
    return train(config, replace(wanted, seed=seed), history, Bars(quiet=True))


def vectors(folder: Path, name: str) -> dict[str, Any]:
    return {k: np.array(v) for k, v in json.loads((folder / name).read_text()).items()}


def test_the_bundle_holds_every_form_of_the_forecaster(manifest: Manifest) -> None:
    forms = {(a.format, a.precision) for a in manifest.forecaster.artifacts}
    assert forms == {("onnx", "float32"), *(("tflite", p) for p in LIMITS)}
    assert manifest.forecaster.hidden == 8
    assert [d.name for d in manifest.detectors] == ["autoencoder", "pca"]
    for artifact in manifest.forecaster.artifacts:
        assert artifact.runtimes, artifact
        assert all(RUNTIMES[r] == artifact.format for r in artifact.runtimes), artifact


@pytest.mark.parametrize(
    ("runtime", "precision"), [("onnxruntime", "float32"), *(("litert", p) for p in LIMITS)]
)
def test_a_gateway_accepts_it_in_every_precision(
    shop: Workshop, runtime: str, precision: str
) -> None:
    loaded = load_bundle(shop.bundle, RuntimeConfig((runtime,), precision))
    for model in (loaded.forecaster, *loaded.detectors):
        assert (model.runtime, model.artifact.precision) == (runtime, precision)
        assert model.golden_error <= model.artifact.tolerance <= 4 * LIMITS[precision]
    assert loaded.notes == ()


def test_the_manifest_lists_every_file_with_its_own_hash(
    shop: Workshop, manifest: Manifest
) -> None:
    there = {p.name for p in shop.bundle.iterdir()} - {"manifest.json"}
    assert {name for name, _, _ in manifest.files} == there
    for name, sha256, size in manifest.files:
        data = (shop.bundle / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (sha256, size), name


def test_one_seed_makes_the_same_models_again(shop: Workshop) -> None:
    shop.train("again")
    for name in GOLDEN:
        one, two = vectors(shop.bundle, name), vectors(shop.site.parent / "again", name)
        assert np.allclose(one["x"], two["x"], atol=1e-6), name
        assert np.allclose(one["y"], two["y"], atol=1e-5), name


def test_another_seed_makes_others_of_what_is_random(shop: Workshop) -> None:
    other = trained(shop, seed=2)
    for name in GOLDEN:
        one, two = vectors(shop.bundle, name), other.golden[name]
        same = np.allclose(one["y"], np.array(two["y"]), atol=1e-5)
        assert same is (name == "golden.pca.json"), name  # PCA has nothing random in it
    assert other.manifest.seed == 2


def test_thresholds_do_not_know_the_part_that_judges(shop: Workshop, manifest: Manifest) -> None:
    other = trained(shop, spoil_test=True).manifest
    assert other.data_sha256 == manifest.data_sha256  # taken before: the same file was read
    assert dict(other.metrics) != dict(manifest.metrics)
    assert other.features == manifest.features
    assert other.kinematics == manifest.kinematics
    for key in ("scale", "rate_reference", "residual_threshold"):
        ours, theirs = getattr(other.forecaster, key), getattr(manifest.forecaster, key)
        assert ours == pytest.approx(theirs, rel=1e-6), key
    for one, two in zip(other.detectors, manifest.detectors, strict=True):
        assert one.channel_scale == pytest.approx(two.channel_scale, rel=1e-6)
        assert one.threshold == pytest.approx(two.threshold, rel=1e-6)


def test_thresholds_are_set_and_above_zero(manifest: Manifest) -> None:
    forecaster = manifest.forecaster
    assert all(v >= 0.5 for v in forecaster.residual_threshold)
    assert forecaster.residual_threshold != (1.0,) * len(forecaster.targets)
    assert all(v > 0 for v in (*forecaster.rate_reference, *manifest.kinematics.reference))
    for detector in manifest.detectors:
        assert detector.threshold > 1.0
        assert detector.channel_scale != (1.0,) * len(manifest.channels)


def test_what_is_armed_is_what_the_skill_says(shop: Workshop, manifest: Manifest) -> None:
    metrics = dict(manifest.metrics)
    spec = manifest.forecaster
    worst = min(metrics[f"skill.{t}.{spec.horizons[-1]}"] for t in spec.targets)
    assert spec.armed is (worst > 0)
    assert f"(skill {worst:+.2f})" in spec.reason
    assert sum(d.armed for d in manifest.detectors) <= 1
    for name, armed, reason in [
        ("gru", spec.armed, spec.reason),
        *((d.name, d.armed, d.reason) for d in manifest.detectors),
    ]:
        assert f"{name}: {'ARMED' if armed else 'shadow'}: {reason}" in shop.said


def test_parity_is_reported_for_every_runtime_and_within_its_limit(
    shop: Workshop, manifest: Manifest
) -> None:
    metrics = dict(manifest.metrics)
    models = (manifest.forecaster, *manifest.detectors)
    reported = 0
    for artifact in (a for m in models for a in m.artifacts):
        for runtime in artifact.runtimes:
            worst = metrics[f"parity.{artifact.file}.{runtime}"]
            assert worst <= LIMITS[artifact.precision], (artifact.file, runtime)
            reported += 1
        rows = [line.split() for line in shop.said.splitlines() if line.startswith(artifact.file)]
        told = [row[1] for row in rows if row[1] in RUNTIMES]
        fitting = [r for r in installed() if RUNTIMES[r] == artifact.format]
        assert sorted(told) == sorted(fitting), artifact.file
    assert reported >= 3 * 5
    assert {r for m in models for a in m.artifacts for r in a.runtimes} == set(installed())


@pytest.mark.parametrize("count", [1, 199, 4999, 5000, 7000, 50_000])
def test_a_stream_is_never_shorter_than_five_thousand_steps(count: int) -> None:
    rows = np.arange(count, dtype=np.float32)[:, None]
    stream = stream_of(rows)
    assert len(stream) >= STREAM_STEPS >= 5000
    assert np.array_equal(stream[:, 0], np.arange(len(stream)) % count)


def test_five_thousand_steps_in_hand_do_not_drift_apart(shop: Workshop) -> None:
    x = stream_of(vectors(shop.bundle, "golden.gru.json")["x"].astype(np.float32))
    outputs = {}
    for file, runtime in (
        ("gru.float32.onnx", "onnxruntime"),
        *((f"gru.{precision}.tflite", "litert") for precision in LIMITS),
    ):
        model, state = load(shop.bundle / file, runtime), np.zeros((1, 8), np.float32)
        steps = []
        for row in x:
            y, state = model.step(row[None], state)
            steps.append(y[0])
        outputs[file] = np.stack(steps)
    exact = outputs.pop("gru.float32.onnx")
    assert exact.std() > 0.05
    for file, found in outputs.items():
        assert np.abs(found - exact).max() <= LIMITS[file.split(".")[1]], file


def some_weights(size: float) -> GruWeights:
    random = np.random.default_rng(5)
    shapes = ((6, 24), (8, 24), (2, 24), (8, 3), (3,))
    made = [random.normal(0, 0.5, shape).astype(np.float32) for shape in shapes]
    return GruWeights(*made[:3], made[3] * np.float32(size), made[4])


def test_a_model_that_kills_its_runtime_does_not_kill_the_training() -> None:
    weights = some_weights(1.0)
    stream = np.random.default_rng(6).normal(0, 1, (200, 6)).astype(np.float32)
    whole = gru_to_onnx(weights)
    files = {
        "good.float32.onnx": whole,
        "half.float32.onnx": whole[: len(whole) // 2],
        "broken.float32.tflite": (demo_bundle() / "gru.float32.tflite").read_bytes()[:2000],
    }
    found = {(p.file, p.runtime): p for p in prove(files, stream, run(weights, stream)[0], 8)}
    assert set(found) == {
        ("good.float32.onnx", "onnxruntime"),
        ("half.float32.onnx", "onnxruntime"),
        ("broken.float32.tflite", "litert"),
        ("broken.float32.tflite", "tflite"),
    }
    good = found.pop(("good.float32.onnx", "onnxruntime"))
    assert (good.refused, good.worst < LIMITS["float32"]) == ("", True)
    assert all(p.refused for p in found.values())


class Noted(Bars):
    """Progress that keeps its notes."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_form_that_leaves_its_limit_is_not_offered() -> None:
    noted = Noted()
    rows = np.random.default_rng(6).normal(0, 1, (300, 6)).astype(np.float32)
    noted.stage("export", 5)
    exported = export_gru(some_weights(40.0), rows, noted)
    noted.close()
    offered = {a.precision for a in exported.artifacts}
    assert "int8" not in offered
    assert "float32" in offered
    assert "gru.int8.tflite" not in exported.files
    off = {p.file: p.worst for p in exported.parity if not p.refused}
    assert off["gru.int8.tflite"] > LIMITS["int8"]
    told = [n for n in noted.notes if n.startswith("gru.int8.tflite is not offered to litert")]
    assert len(told) == 1
    assert f"{LIMITS['int8']:g} allowed" in told[0]
