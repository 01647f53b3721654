"""The bundle shipped for the demo can be made again from its seed, by the command that made it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bench import demo_bundle
from edge.bundle import load_bundle
from edge.config import RuntimeConfig
from edge.trust import ANY_SIGNER

NEAR = {"rtol": 1e-2, "atol": 1e-2}
"""Another CPU sums in another order: bytes differ where the models do not."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train it anew, in a process of its own: tflite-runtime does not load beside TensorFlow."""
    out = tmp_path_factory.mktemp("demo") / "bundle"
    command = [sys.executable, "-P", "-m", "export", "demo-bundle", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"wrote {out}" in done.stdout
    return out


def values(folder: Path, name: str = "manifest.json") -> Any:
    return json.loads((folder / name).read_text())


@pytest.mark.parametrize("name", ["gru", "autoencoder", "pca"])
def test_the_golden_vectors_are_those_shipped(made: Path, name: str) -> None:
    new, old = (values(f, f"golden.{name}.json") for f in (made, demo_bundle()))
    for key in ("x", "y"):
        assert np.array(new[key]).shape == np.array(old[key]).shape
        assert np.allclose(new[key], old[key], **NEAR), key


def test_the_thresholds_and_scales_are_those_shipped(made: Path) -> None:
    new, old = values(made), values(demo_bundle())
    assert np.allclose(new["kinematics"]["reference"], old["kinematics"]["reference"], **NEAR)
    for key in ("rate_reference", "residual_threshold", "scale"):
        assert np.allclose(new["forecaster"][key], old["forecaster"][key], **NEAR), key
    for ours, theirs in zip(new["detectors"], old["detectors"], strict=True):
        assert np.allclose(ours["threshold"], theirs["threshold"], **NEAR), ours["name"]
        assert np.allclose(ours["channel_scale"], theirs["channel_scale"], **NEAR), ours["name"]
    for key in ("mean", "sd"):
        assert np.allclose(new["features"][key], old["features"][key], **NEAR), key


def test_it_learnt_from_the_same_history_and_says_the_same_of_itself(made: Path) -> None:
    new, old = values(made), values(demo_bundle())
    for key in ("format", "name", "version", "step_ms", "channels", "seed", "data_sha256"):
        assert new[key] == old[key], key
    assert new["features"]["terms"] == old["features"]["terms"]
    assert [d["name"] for d in new["detectors"]] == [d["name"] for d in old["detectors"]]
    assert set(new["files"]) == set(old["files"])
    for key in ("targets", "horizons", "quantiles", "hidden", "armed"):
        assert new["forecaster"][key] == old["forecaster"][key], key


def test_the_shipped_forecaster_is_armed_for_its_skill() -> None:
    old = values(demo_bundle())
    forecaster = old["forecaster"]
    skills = [old["metrics"][f"skill.{t}.36"] for t in forecaster["targets"]]
    assert forecaster["armed"] is (min(skills) > 0)
    assert f"{min(skills):+.2f}" in forecaster["reason"]


def test_the_new_bundle_is_armed_as_the_shipped_one(made: Path) -> None:
    any_runtime = RuntimeConfig(("litert", "onnxruntime"), "auto")
    new, old = (load_bundle(folder, any_runtime, ANY_SIGNER) for folder in (made, demo_bundle()))
    assert new.forecaster.artifact.file == old.forecaster.artifact.file
    assert new.notes == ()
