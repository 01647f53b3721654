"""From history to bundle: every form is one a gateway accepts, and a seed makes it again.

TensorFlow stays in this process; each inference runtime is proven in one of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bench import demo_bundle
from edge.bundle import load_bundle, read_manifest
from edge.config import RuntimeConfig
from edge.manifest import Manifest
from edge.runtime import RUNTIMES
from edge.trust import ANY_SIGNER
from export.__main__ import main
from export.history import load_history
from export.models.artifacts import LIMITS, convert_all
from export.models.to_tflite import PRECISIONS
from export.models.train import Trained, train
from export.progress import Bars
from export.slope import generate, write_csv
from export.train_config import load_site

GOLDEN = ("golden.gru.json", "golden.autoencoder.json", "golden.pca.json")
ONE_FORM = ("float32",)
"""Where the model itself is asked about: converting it into all takes longer than training it."""
SMALL = {
    "hidden = 32": "hidden = 8\nmembers = 1",
    "epochs = 20": "epochs = 2",
    "\nfolds = 2": "\nfolds = 1",
    "\nseeds = 2": "\nseeds = 1",
}


@dataclass(frozen=True)
class Workshop:
    """A site, its history, and the bundle trained from it."""

    site: Path
    history: Path
    bundle: Path


@pytest.fixture(scope="module", autouse=True)
def _short_streams() -> Iterator[None]:
    """Drift over 20,000 steps is the benchmark's to measure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.models.artifacts.MOST_VALUES", 20_000)
        yield


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("shop")
    text = (demo_bundle().parent / "site.toml").read_text(encoding="utf-8")
    for old, new in SMALL.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "site.toml").write_text(text, encoding="utf-8")
    write_csv(generate(12, 1), folder / "history.csv")
    made = Workshop(folder / "site.toml", folder / "history.csv", folder / "bundle")
    words = ["--site", made.site, "--data", made.history, "--out", made.bundle, "--quiet"]
    assert main(["train", *map(str, words)]) == 0
    return made


@pytest.fixture(scope="module")
def manifest(shop: Workshop) -> Manifest:
    return read_manifest(shop.bundle, ANY_SIGNER)


def trained(
    shop: Workshop, *, seed: int = 1, spoil_test: bool = False, forms: tuple[str, ...] = PRECISIONS
) -> Trained:
    config, wanted = load_site(shop.site)
    history = load_history(config, wanted.station, [str(shop.history)])
    if spoil_test:
        start = round(len(history.values) * (1.0 - wanted.test_share))
        history.values[start:] = 3.0 * history.values[start:] + 11.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "export.models.artifacts.convert_all", lambda *of: convert_all(*of[:5], forms)
        )
        return train(config, replace(wanted, seed=seed), history, Bars(quiet=True))


def vectors(folder: Path, name: str) -> dict[str, Any]:
    values = json.loads((folder / name).read_text(encoding="utf-8"))
    return {k: np.array(v) for k, v in values.items()}


def test_the_bundle_holds_every_form_of_the_forecaster(manifest: Manifest) -> None:
    forms = {(a.format, a.precision) for a in manifest.forecaster.artifacts}
    assert forms == {("onnx", "float32"), ("onnx", "dynamic"), *(("tflite", p) for p in LIMITS)}
    assert manifest.forecaster.hidden == 8
    assert [d.name for d in manifest.detectors] == ["autoencoder", "pca"]
    for artifact in manifest.forecaster.artifacts:
        assert artifact.runtimes, artifact
        assert all(RUNTIMES[r] == artifact.format for r in artifact.runtimes), artifact


@pytest.mark.parametrize(
    ("runtime", "precision"),
    [("onnxruntime", "float32"), ("onnxruntime", "dynamic"), *(("litert", p) for p in LIMITS)],
)
def test_a_gateway_accepts_it_in_every_precision(
    shop: Workshop, runtime: str, precision: str
) -> None:
    loaded = load_bundle(shop.bundle, RuntimeConfig((runtime,), precision), ANY_SIGNER)
    for model in (loaded.forecaster, *loaded.detectors):
        assert (model.runtime, model.artifact.precision) == (runtime, precision)
        assert model.golden_error <= model.artifact.tolerance
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
    again = trained(shop, forms=ONE_FORM)
    for name in GOLDEN:
        one, two = vectors(shop.bundle, name), again.golden[name]
        assert np.allclose(one["x"], np.array(two["x"]), atol=1e-6), name
        assert np.allclose(one["y"], np.array(two["y"]), atol=1e-5), name


def test_another_seed_makes_others_of_what_is_random(shop: Workshop) -> None:
    other = trained(shop, seed=2, forms=ONE_FORM)
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
    for one, two in zip(other.detectors, manifest.detectors, strict=True):
        assert one.channel_scale == pytest.approx(two.channel_scale, rel=1e-6)
        assert one.threshold == pytest.approx(two.threshold, rel=1e-6)


def test_thresholds_are_set_and_above_zero(manifest: Manifest) -> None:
    forecaster = manifest.forecaster
    assert all(v > 0 for v in forecaster.residual_threshold)
    assert all(v > 0 for v in (*forecaster.rate_reference, *manifest.kinematics.reference))
    for detector in manifest.detectors:
        assert detector.threshold > 0.0
        assert detector.channel_scale != (1.0,) * len(manifest.channels)
