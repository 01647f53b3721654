"""A bundle is armed only whole, fitting and computing here what it computed at export."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.bench import demo_bundle
from edge.bundle import Bundle, load_bundle
from edge.bundles import open_bundles
from edge.config import RuntimeConfig, load_config
from edge.errors import BundleError
from edge.trust import ANY_SIGNER

ANY = RuntimeConfig(("litert", "onnxruntime", "tflite"), "auto")
LITERT = RuntimeConfig(("litert",), "auto")
ONNX = RuntimeConfig(("onnxruntime",), "auto")
GRU = "gru.float16.tflite"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_bundle(), tmp_path / "bundle"))


def values_of(folder: Path, name: str = "manifest.json") -> Any:
    return json.loads((folder / name).read_text())


def write(folder: Path, values: Any, name: str = "manifest.json") -> None:
    (folder / name).write_text(json.dumps(values))


def rehash(folder: Path, manifest: Any) -> None:
    """Make the manifest agree with the files, as one who damages with care would."""
    for name in manifest["files"]:
        data = (folder / name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        manifest["files"][name] = {"sha256": digest, "size_bytes": len(data)}
    write(folder, manifest)


def refusal(folder: Path, config: RuntimeConfig = ANY) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder, config, ANY_SIGNER)
    return str(caught.value)


def test_the_shipped_bundle_is_armed_as_it_is(bundle: Path) -> None:
    loaded = load_bundle(bundle, ANY, ANY_SIGNER)
    assert (loaded.forecaster.artifact.file, loaded.forecaster.runtime) == (GRU, "litert")
    assert loaded.notes == ()
    models = (loaded.forecaster, *loaded.detectors)
    assert len(models) == 3
    assert all(m.golden_error <= m.artifact.tolerance for m in models)


@pytest.mark.parametrize("at", [0, 1000, -1])
def test_one_flipped_byte_is_found_by_its_hash(bundle: Path, at: int) -> None:
    data = bytearray((bundle / GRU).read_bytes())
    data[at] ^= 1
    (bundle / GRU).write_bytes(data)
    assert refusal(bundle).startswith(f"{bundle / GRU}: sha256 is not that of the manifest")


def test_every_listed_file_is_needed(bundle: Path) -> None:
    for name in values_of(bundle)["files"]:
        kept = (bundle / name).read_bytes()
        (bundle / name).unlink()
        said = refusal(bundle)
        assert str(bundle / name) in said
        assert "the bundle is incomplete" in said
        (bundle / name).write_bytes(kept)
    load_bundle(bundle, ANY, ANY_SIGNER)


def test_a_truncated_file_is_refused(bundle: Path) -> None:
    data = (bundle / GRU).read_bytes()
    (bundle / GRU).write_bytes(data[: len(data) // 2])
    assert "sha256" in refusal(bundle)


def test_a_file_larger_than_the_manifest_says_is_refused_before_it_is_read(bundle: Path) -> None:
    size = (bundle / GRU).stat().st_size
    with (bundle / GRU).open("ab") as file:
        file.truncate(1 << 40)  # sparse: reading it whole would take all memory
    assert f"{GRU}: larger than the {size} bytes" in refusal(bundle)


def test_another_cpu_that_computes_something_else_is_not_armed(bundle: Path) -> None:
    golden = values_of(bundle, "golden.gru.json")
    offered = values_of(bundle)["forecaster"]["artifacts"]
    allowed = next(a["tolerance"] for a in offered if a["file"] == GRU)
    golden["y"][40][0] += 50.0
    write(bundle, golden, "golden.gru.json")
    rehash(bundle, values_of(bundle))
    said = refusal(bundle, LITERT)
    assert f"{bundle}: golden.gru.json: not armed" in said
    assert f"{GRU} in litert: off its golden outputs by 50, {allowed:.3g} allowed" in said


def test_an_output_that_is_not_finite_is_never_golden(bundle: Path) -> None:
    golden = values_of(bundle, "golden.pca.json")
    golden["y"][0][0][0] = float("nan")
    write(bundle, golden, "golden.pca.json")
    rehash(bundle, values_of(bundle))
    assert "pca.float16.tflite in litert: off its golden outputs by inf" in refusal(bundle, LITERT)


@pytest.mark.parametrize(
    "golden",
    [
        [],
        {"x": [[0.0] * 16]},
        {"x": [], "y": []},
        {"x": 1, "y": 2},
        {"x": [[{}] * 16], "y": [[0.0] * 18]},
        {"x": [[10**400] * 16], "y": [[0.0] * 18]},
        {"x": [[0.0] * 16], "y": [[0.0] * 18] * 2},
        {"x": [[0.0] * 15], "y": [[0.0] * 18]},
        {"x": [[0.0] * 16], "y": [[0.0]]},
        {"x": [[0.0] * 16, [0.0]], "y": [[0.0] * 18] * 2},
    ],
)
@pytest.mark.parametrize("config", [LITERT, ONNX], ids=["litert", "onnxruntime"])
def test_a_golden_file_of_another_form_is_refused(
    bundle: Path, golden: Any, config: RuntimeConfig
) -> None:
    write(bundle, golden, "golden.gru.json")
    rehash(bundle, values_of(bundle))
    assert f"{bundle / 'golden.gru.json'}: " in refusal(bundle, config)


@pytest.mark.parametrize("config", [LITERT, ONNX], ids=["litert", "onnxruntime"])
def test_the_file_of_another_model_is_refused(bundle: Path, config: RuntimeConfig) -> None:
    manifest = values_of(bundle)
    manifest["forecaster"]["artifacts"] = manifest["detectors"][0]["artifacts"]
    write(bundle, manifest)
    assert f"autoencoder.float{16 if config is LITERT else 32}" in refusal(bundle, config)


def test_a_manifest_with_fewer_features_than_its_models_is_refused(bundle: Path) -> None:
    manifest = values_of(bundle)
    for key in ("terms", "mean", "sd"):
        manifest["features"][key].pop()
    write(bundle, manifest)
    assert "x is [64, 16], the manifest makes it ['steps', 15]" in refusal(bundle)


def test_no_runtime_wanted_or_no_such_precision_is_said_plainly(bundle: Path) -> None:
    said = refusal(bundle, RuntimeConfig(("onnxruntime",), "int16x8"))
    assert "fit none of what the bundle offers" in said
    assert "precision 'int16x8'" in said
    said = refusal(bundle, RuntimeConfig((), "auto"))
    assert "runtime.prefer [] and precision 'auto' fit none" in said


def test_what_garbage_leaves_of_a_bundle_is_run_by_the_next_artifact(bundle: Path) -> None:
    (bundle / GRU).write_bytes(b"\x00\xff" * 500)
    rehash(bundle, values_of(bundle))
    loaded = load_bundle(bundle, LITERT, ANY_SIGNER)
    assert loaded.forecaster.artifact.file == "gru.dynamic.tflite"
    assert [note.split(": ")[0] for note in loaded.notes] == [f"{GRU} in litert"]


_OLD_RUNTIME = """
import sys
from pathlib import Path
from edge.bundle import load_bundle
from edge.trust import ANY_SIGNER
from edge.config import RuntimeConfig
from edge.errors import BundleError
try:
    found = load_bundle(Path(sys.argv[1]), RuntimeConfig(("tflite",), "auto"), ANY_SIGNER)
    print(found.forecaster.artifact.file, *found.notes)
except BundleError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("only", [True, False])
def test_an_operator_that_the_runtime_lacks_is_passed_over_or_refused(
    bundle: Path, only: bool
) -> None:
    manifest = values_of(bundle)
    offered = {a["file"]: a for a in manifest["forecaster"]["artifacts"]}
    dynamic = {**offered["gru.dynamic.tflite"], "runtimes": ["tflite"]}
    rest = [] if only else [offered["gru.float32.tflite"]]
    manifest["forecaster"]["artifacts"] = [dynamic, *rest]
    rehash(bundle, manifest)
    # A process of its own: tflite-runtime does not load beside TensorFlow.
    command = [sys.executable, "-P", "-c", _OLD_RUNTIME, str(bundle)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("refused: " if only else "gru.float32.tflite ")
    assert "gru.dynamic.tflite in tflite: runtime tflite cannot run" in said
    assert "FULLY_CONNECTED" in said


GATEWAY = (demo_bundle().parent / "gateway.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "crack_2"', 'name = "crack_9"', "'crack_2' (mm) is not configured"),
        ('unit = "kPa"', 'unit = "mm"', "'pore_pressure' is in mm, trained in kPa"),
        ('quantity = "rainfall"', 'aggregate = "last"', "'rain' aggregates by last, trained with"),
        ("step_s = 600", "step_s = 300", "step_s is 300, trained at 600"),
        ('bundle = "bundle"', 'bundle = "gone"', "there is no such bundle"),
        ('bundle = "bundle"', 'bundle = ""', "no bundle configured"),
    ],
)
def test_a_station_that_does_not_fit_its_bundle_leaves_the_others_armed(
    bundle: Path, old: str, new: str, said: str
) -> None:
    head, _, station = GATEWAY.partition("[[station]]")
    assert old in station
    other = station.replace('name = "slope"', 'name = "other"').replace(old, new, 1)
    path = bundle.parent / "gateway.toml"
    path.write_text(head + "[[station]]" + other + "\n[[station]]" + station)
    opened = open_bundles(load_config(path))
    assert list(opened) == ["other", "slope"]
    assert isinstance(opened["slope"], Bundle)
    why = opened["other"]
    assert isinstance(why, str)
    assert said in why
