"""One ``step`` over every runtime installed: golden outputs, owned arrays, explicit state."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from edge.bench import demo_bundle
from edge.bundle import read_manifest
from edge.runtime import RUNTIMES, installed
from edge.trust import ANY_SIGNER

_PROBE = """
import json, sys
from pathlib import Path
import numpy as np
from edge.bench import demo_bundle
from edge.bundle import read_manifest
from edge.trust import ANY_SIGNER
from edge.errors import RuntimeMissingError
from edge.runtime import load

runtime, kernels, tmp = sys.argv[1], sys.argv[2], Path(sys.argv[3])
folder = demo_bundle()
manifest = read_manifest(folder, ANY_SIGNER)

def probe(spec, artifact):
    golden = json.loads((folder / spec.golden).read_text())
    xs = np.array(golden["x"], np.float32)[:, None]
    ys = np.array(golden["y"], np.float32)
    hidden = getattr(spec, "hidden", 0)
    start = np.zeros((1, hidden), np.float32) if hidden else None
    model = load(folder / artifact.file, runtime, kernels)
    found = {"file": artifact.file, "tolerance": artifact.tolerance, "hidden": hidden}

    state, alone, states, kept = start, [], [start], []
    for x in xs:
        y, state = model.step(x, state)
        kept.append(y)
        alone.append(y.copy())
        states.append(None if state is None else state.copy())
    found["off"] = float(np.abs(np.stack(alone)[:, 0] - ys).max())
    found["moves"] = len({y.tobytes() for y in alone})
    found["overwritten"] = sum(not np.array_equal(a, b) for a, b in zip(kept, alone))
    kept[0] += 1000.0  # what the caller does with its array is the caller's business
    if hidden:
        state += 1000.0
    again = [model.step(x, s)[0] for x, s in zip(xs, states)]
    found["forgets"] = sum(not np.array_equal(a, b) for a, b in zip(again, alone))
    found["writable"] = bool(kept[0].flags.writeable)
    found["dtype"] = str(kept[0].dtype)
    if hidden:
        found["state_shape"] = list(states[1].shape)
        found["state_moves"] = float(np.abs(states[1] - states[0]).max())
        given = states[3].copy()
        model.step(xs[0], given)
        found["input_kept"] = bool(np.array_equal(given, states[3]))

        def pair(interleaved):
            s = {"a": start, "b": start}
            out = {"a": [], "b": []}
            order = [k for i in range(10) for k in "ab"] if interleaved else "a" * 10 + "b" * 10
            place = {"a": 0, "b": 20}
            for k in order:
                y, s[k] = model.step(xs[place[k]], s[k])
                out[k].append(y)
                place[k] += 1
            return np.stack(out["a"] + out["b"])
        found["mixed"] = not np.array_equal(pair(True), pair(False))
    if runtime == "onnxruntime":
        batch = np.concatenate(xs[:3])
        states3 = np.concatenate([states[4], states[5], states[6]]) if hidden else None
        y3, s3 = model.step(batch, states3)
        singles = [model.step(xs[i], states[4 + i] if hidden else None) for i in range(3)]
        found["batch_off"] = float(np.abs(y3 - np.concatenate([y for y, _ in singles])).max())
        found["batch_shape"] = list(y3.shape)
        if hidden:
            found["batch_off"] += float(np.abs(s3 - np.concatenate([s for _, s in singles])).max())
    return found

def refused(name, content):
    path = tmp / name
    if content is not None:
        path.write_bytes(content)
    try:
        load(path, runtime, kernels)
    except RuntimeMissingError as error:
        return str(error)
    return "loaded"

specs = (manifest.forecaster, *manifest.detectors)
whole = (folder / "gru.float32.tflite").read_bytes()
other = whole if runtime == "onnxruntime" else (folder / "gru.float32.onnx").read_bytes()
print(json.dumps({
    "models": [probe(s, a) for s in specs for a in s.artifacts if runtime in a.runtimes],
    "refused": {
        "garbage": refused("garbage", bytes(range(256)) * 40),
        "zeros": refused("zeros", bytes(4096)),
        "one_byte": refused("one_byte", b"T"),
        "empty": refused("empty", b""),
        "other_format": refused("other_format", other),
        "missing": refused("missing", None),
    },
    "tensorflow": "tensorflow" in sys.modules,
}))
"""


_INTEGERS = ("int8", "int16x8")
WAYS = [*((runtime, "tuned") for runtime in installed()), ("litert", "plain")]


@pytest.fixture(scope="module", params=WAYS, ids=" ".join)
def probed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one runtime did in a process of its own: it does not load beside TensorFlow."""
    folder = tmp_path_factory.mktemp("probe")
    script = folder / "probe.py"
    script.write_text(_PROBE)
    command = [sys.executable, str(script), *request.param, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {"runtime": request.param[0], **json.loads(done.stdout)}


def test_every_runtime_of_the_bundle_is_here_to_be_tested() -> None:
    assert installed() == tuple(RUNTIMES)


def test_every_artifact_that_claims_the_runtime_was_run(probed: Any) -> None:
    manifest = read_manifest(demo_bundle(), ANY_SIGNER)
    models = (manifest.forecaster, *manifest.detectors)
    claims = [a.file for m in models for a in m.artifacts if probed["runtime"] in a.runtimes]
    assert [m["file"] for m in probed["models"]] == claims
    assert len(claims) >= 3
    assert not probed["tensorflow"]


def test_golden_outputs_are_met_within_the_tolerance(probed: Any) -> None:
    for model in probed["models"]:
        assert model["off"] <= model["tolerance"], model
        assert model["moves"] > 1, model  # a constant would meet nothing


def test_float32_meets_its_golden_outputs_almost_exactly(probed: Any) -> None:
    exact = [m for m in probed["models"] if ".float32." in m["file"]]
    assert len(exact) == 3
    assert all(m["off"] < 1e-4 for m in exact)


def test_a_returned_array_belongs_to_the_caller(probed: Any) -> None:
    for model in probed["models"]:
        assert model["overwritten"] == 0, model
        assert model["writable"], model
        assert model["dtype"] == "float32", model


def test_the_same_input_and_state_give_the_same_output(probed: Any) -> None:
    for model in probed["models"]:
        assert model["forgets"] == 0, model


def test_the_state_is_explicit_and_two_of_them_do_not_mix(probed: Any) -> None:
    gru = [m for m in probed["models"] if m["hidden"]]
    assert gru
    for model in gru:
        assert model["state_shape"] == [1, model["hidden"]]
        assert model["state_moves"] > 0
        assert model["input_kept"], model
        assert not model["mixed"], model


@pytest.mark.parametrize("content", ["garbage", "zeros", "one_byte", "empty", "other_format"])
def test_what_is_no_model_is_refused_by_name(probed: Any, content: str) -> None:
    said = probed["refused"][content]
    assert said.startswith(f"runtime {probed['runtime']} cannot run {content}: "), said


def test_a_missing_file_is_refused_by_name(probed: Any) -> None:
    said = probed["refused"]["missing"]
    assert said.startswith(f"runtime {probed['runtime']} cannot run missing: "), said
    assert "No such file" in said


@pytest.mark.parametrize("probed", [("onnxruntime", "tuned")], indirect=True)
def test_a_batch_of_three_equals_three_single_steps(probed: Any) -> None:
    # In int8 the stations of one call share a range: those files are claimed for one at a time.
    exact = [m for m in probed["models"] if ".float32." in m["file"]]
    assert [m["file"].split(".")[0] for m in exact] == ["gru", "autoencoder", "pca"]
    for model in exact:
        assert model["batch_shape"][0] == 3
        assert model["batch_off"] < 1e-5, model


def test_asking_what_is_installed_loads_none_of_it() -> None:
    code = (
        "import sys; from edge.runtime import installed; installed(); "
        "print(sorted({'onnxruntime', 'ai_edge_litert', 'tflite_runtime'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


_PLAIN = """
import json, sys
import numpy as np
from edge.bench import demo_bundle
from edge.bundle import load_bundle, read_manifest
from edge.config import RuntimeConfig
from edge.errors import BundleError, RuntimeMissingError
from edge.runtime import load
from edge.trust import ANY_SIGNER

folder, taken, refused = demo_bundle(), [], {}
manifest = read_manifest(folder, ANY_SIGNER)
for spec in (manifest.forecaster, *manifest.detectors):
    for artifact in spec.artifacts:
        if "tflite" in artifact.runtimes:
            try:
                load(folder / artifact.file, "tflite", "plain")
                taken.append(artifact.file)
            except RuntimeMissingError as error:
                refused[artifact.file] = str(error)
bundle = load_bundle(folder, RuntimeConfig(("tflite",), "auto", "plain"), ANY_SIGNER)
models = [model.artifact.file for model in (bundle.forecaster, *bundle.detectors)]
print(json.dumps([taken, refused, models]))
"""


def test_tflite_runtime_with_plain_kernels_takes_what_is_of_integers_alone() -> None:
    command = [sys.executable, "-c", _PLAIN]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    taken, refused, models = json.loads(done.stdout)
    whole = {"gru.int16x8", *(f"{d}.{p}" for d in ("autoencoder", "pca") for p in _INTEGERS)}
    assert set(taken) == {f"{name}.tflite" for name in whole}
    assert "gru.float32.tflite" in refused
    assert "gru.int8.tflite" in refused  # its gates are floats
    assert all("floats differ between CPUs" in why for why in refused.values()), refused
    assert set(models) <= set(taken)
