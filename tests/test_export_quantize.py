"""``talus-export quantize`` and ``parity``: on Keras models and bundles, and on bad input."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from edge.bench import demo_bundle
from edge.runtime import installed, load
from export import folder as folder_module
from export.__main__ import main
from export.folder import write_folder
from export.models.artifacts import LIMITS, stream_of
from export.models.gru import GruWeights
from export.models.gru_export import ExportableGru
from export.models.keras_export import ExportableKeras, of_keras
from export.models.rehearsal import packed, read_rehearsal


@pytest.fixture(autouse=True)
def _short_streams(monkeypatch):
    monkeypatch.setattr("export.models.quantize.stream_of", lambda rows: stream_of(rows, 600))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A dense model, a GRU step, a step that is no GRU, and inputs of each."""
    import tensorflow as tf

    layers, where = tf.keras.layers, tmp_path_factory.mktemp("models")
    tf.keras.utils.set_random_seed(3)
    x = tf.keras.Input((12,))
    y = layers.Dense(3)(layers.Dropout(0.5)(layers.Dense(8, activation="relu")(x)))
    tf.keras.Model(x, y).save(where / "dense.keras")
    x, state = tf.keras.Input((6,)), tf.keras.Input((5,))
    out, following = layers.GRUCell(5)(x, [state])
    tf.keras.Model([x, state], [layers.Dense(2)(out), following[0]]).save(where / "step.keras")
    following = layers.Dense(5, activation="tanh")(layers.Concatenate()([x, state]))
    tf.keras.Model([x, state], [layers.Dense(2)(following), following]).save(where / "other.h5")
    tf.keras.Model([x, state], [following, layers.Dense(2)(following)]).save(where / "odd.keras")
    window = tf.keras.Input((None, 4))
    tf.keras.Model(window, layers.GRU(3)(window)).save(where / "open.keras")
    random = np.random.default_rng(0)
    for size in (6, 12):
        np.save(where / f"x{size}.npy", random.normal(0, 1, (400, size)).clip(-3, 3))
    return where


def run(capsys, *words):
    code = main([str(word) for word in words])
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return code, told.out, told.err


def rows_of(out):
    return json.loads((out / "parity.json").read_text(encoding="utf-8"))


def test_a_dense_model_gets_every_form_and_a_choice(models, tmp_path, capsys):
    out = tmp_path / "forms"
    code, said, _ = run(capsys, "quantize", models / "dense.keras", "--out", out, "--quiet",
                        "--calibrate", models / "x12.npy", "--device", "jetson")  # fmt: skip
    assert code == 0
    assert {row["precision"] for row in rows_of(out)} == set(LIMITS)
    offered = {row["file"] for row in rows_of(out) if row["bundled"]}
    beside = {"golden.dense.json", "parity.json", "parity.md"}
    assert {p.name for p in out.iterdir()} == offered | beside
    assert "dense.float32.onnx in onnxruntime: the least time" in said
    assert "passed over dense.float32.tflite in litert: jetson runs onnxruntime" in said
    assert "us on this machine" in said
    golden = json.loads((out / "golden.dense.json").read_text(encoding="utf-8"))
    model = load(out / "dense.float32.onnx", "onnxruntime")
    x = np.array(golden["x"], np.float32)
    assert np.allclose(model.step(x)[0], golden["y"], atol=1e-4)
    assert not list(tmp_path.glob(".*"))


def test_a_step_made_of_a_gru_cell_is_taken_for_what_it_is(models):
    import tensorflow as tf

    model = tf.keras.models.load_model(models / "step.keras", compile=False)
    found = of_keras(model)
    assert isinstance(found, ExportableGru)
    x = np.load(models / "x6.npy")[:20].astype(np.float32)
    general, _ = ExportableKeras(model, (6,), 5).run(x)
    assert np.allclose(found.run(x)[0], general, atol=1e-5)
    # The same layers with another activation are not that GRU: the outputs tell.
    for layer in model.layers:
        if type(layer).__name__ == "Dense":
            layer.activation = tf.keras.activations.relu
    model.predict_function = None
    assert isinstance(of_keras(model), ExportableKeras)


def test_a_step_of_another_kind_goes_the_general_road(models, tmp_path, capsys):
    out = tmp_path / "forms"
    wanted = ("float32", "dynamic", "int8")
    words = ("--precision", ",".join(wanted), "--calibrate", models / "x6.npy")
    assert run(capsys, "quantize", models / "other.h5", "--out", out, "--quiet", *words)[0] == 0
    assert {row["file"] for row in rows_of(out)} == {f"other.{p}.tflite" for p in wanted}
    model, state = load(out / "other.float32.tflite", "litert"), np.zeros((1, 5), np.float32)
    y, state = model.step(np.ones((1, 6), np.float32), state)
    assert (y.shape, state.shape) == ((1, 2), (1, 5))
    assert state.any()


def test_without_real_inputs_nothing_is_made_in_integers(models, tmp_path, capsys):
    dense, out = models / "dense.keras", tmp_path / "forms"
    code, said, _ = run(capsys, "quantize", dense, "--out", out, "--quiet")
    assert code == 0
    assert {row["precision"] for row in rows_of(out)} == {"float32", "float16", "dynamic"}
    assert "left out: int16x8, int8" in said
    code, _, err = run(capsys, "quantize", dense, "--out", out, "--precision", "float16,int8")
    assert code == 1
    assert "--precision int8: integer ranges come from what the model meets" in err


def test_a_bundle_gives_its_gru_over_its_own_history(tmp_path, capsys):
    out = tmp_path / "forms"
    words = ("quantize", demo_bundle(), "--out", out, "--quiet", "--precision")
    code, said, _ = run(capsys, *words, "float16,int16x8", "--device", "npu")
    if "tflite" in installed():  # Python 3.11 alone has a wheel
        assert code == 0
        assert "gru.int16x8.tflite in tflite: the least time" in said
        assert "gru.float16.tflite in tflite: has float operators" in said
    else:
        assert code == 3
        assert "no artifact was measured in tflite here" in said
    assert (out / "gru.int16x8.tflite").exists()
    code, _, _ = run(capsys, *words, "float16")  # an earlier result is replaced as a whole
    assert code == 0
    assert not (out / "gru.int16x8.tflite").exists()
    x = tmp_path / "x.npy"
    np.save(x, np.random.default_rng(1).normal(0, 1, (50, 3)))
    code, _, err = run(capsys, *words, "int8", "--calibrate", x)
    assert code == 1
    assert "is [50, 3], ['n', " in err
    assert (out / "gru.float16.tflite").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.keras"], "there is no such file"),
        (["model.onnx"], "no bundle (a folder) and no .keras or .h5 file"),
        (["broken.keras"], "Keras cannot load it"),
        (["."], "manifest.json"),
        (["MODELS/open.keras"], "fix all its sizes but the batch"),
        (["MODELS/odd.keras"], "both must be the state, [batch, hidden]"),
        (["MODELS/dense.keras", "--precision", "int4"], "int4: not known; some of float32"),
        (["MODELS/dense.keras", "--device", "pi9"], "'pi9': not known; one of pi3"),
        (["MODELS/dense.keras", "--calibrate", "missing.npy"], "not an .npy file"),
        (["MODELS/dense.keras", "--calibrate", "broken.keras"], "not an .npy file"),
        (["MODELS/dense.keras", "--calibrate", "words.npy"], "not an .npy file of numbers"),
        (["MODELS/dense.keras", "--calibrate", "nan.npy"], "values that are not finite"),
        (["MODELS/dense.keras", "--calibrate", "MODELS/x6.npy"], "is [400, 6], ['n', 12]"),
        (["MODELS/dense.keras", "--calibrate", "none.npy"], "is [0, 12], ['n', 12]"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(
    models, tmp_path, capsys, monkeypatch, words, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.keras").write_bytes(b"not a model")
    np.save("words.npy", np.array(["a", "b"]))
    np.save("nan.npy", np.full((20, 12), np.nan))
    np.save("none.npy", np.zeros((0, 12)))
    words = [word.replace("MODELS", str(models)) for word in words]
    code, _, err = run(capsys, "quantize", *words, "--out", "forms", "--quiet")
    assert code == 1
    assert said in err
    assert not (tmp_path / "forms").exists()


def test_a_folder_of_something_else_is_left_alone(models, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    bundle = tmp_path / "bundle"
    shutil.copytree(demo_bundle(), bundle)
    for out in (tmp_path, bundle, tmp_path / "mine.txt"):
        code, _, err = run(capsys, "quantize", models / "dense.keras", "--out", out)
        assert code == 1
        assert "exists and is no earlier result" in err
    assert (bundle / "manifest.json").exists()


def test_a_write_that_fails_leaves_the_earlier_result(tmp_path, monkeypatch):
    write_folder(tmp_path / "out", {"parity.json": b"1"})
    monkeypatch.setattr(folder_module.Path, "chmod", lambda *_: (_ for _ in ()).throw(OSError()))
    with pytest.raises(OSError):
        write_folder(tmp_path / "out", {"parity.json": b"2"})
    assert (tmp_path / "out" / "parity.json").read_bytes() == b"1"
    assert not list(tmp_path.glob(".*"))


def test_parity_of_a_good_bundle(tmp_path, capsys):
    found, page = tmp_path / "parity.json", tmp_path / "parity.md"
    code, said, _ = run(capsys, "parity", demo_bundle(), "--steps", 300,
                        "--json", found, "--markdown", page)  # fmt: skip
    assert code == 0, said
    rows = json.loads(found.read_text(encoding="utf-8"))
    manifest = json.loads((demo_bundle() / "manifest.json").read_text(encoding="utf-8"))
    specs = [manifest["forecaster"], *manifest["detectors"]]
    assert {row["file"] for row in rows} == {a["file"] for s in specs for a in s["artifacts"]}
    assert page.read_text(encoding="utf-8").startswith("# Parity of demo-slope v")
    assert "WRONG" not in said
    assert not list(tmp_path.glob(".*"))


def changed(tmp_path, weights):
    """Return the demo's bundle with other weights in its training file."""
    bundle = tmp_path / "bundle"
    shutil.copytree(demo_bundle(), bundle)
    kept = read_rehearsal(bundle)
    data = packed(weights(kept.weights), kept.x, kept.y)
    (bundle / "training.npz").write_bytes(data)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    manifest["files"]["training.npz"] = entry
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return bundle


def test_parity_finds_artifacts_that_are_not_of_these_weights(tmp_path, capsys):
    bundle = changed(tmp_path, lambda w: replace(w, head=w.head * np.float32(1.1)))
    code, said, _ = run(capsys, "parity", bundle, "--steps", 300)
    assert code == 3
    wrong = [line for line in said.splitlines() if line.startswith("WRONG")]
    assert any("gru.float32.tflite is offered to litert: drift" in line for line in wrong)
    assert all("gru." in line for line in wrong)


def test_parity_of_bad_input_is_told(tmp_path, capsys):
    def narrow(w):
        return GruWeights(w.kernel[:2], w.recurrent, w.bias, w.head, w.head_bias)

    no_weights = tmp_path / "no_weights"
    shutil.copytree(demo_bundle(), no_weights)
    manifest = json.loads((no_weights / "manifest.json").read_text(encoding="utf-8"))
    del manifest["files"]["training.npz"]
    (no_weights / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (no_weights / "training.npz").unlink()
    for words, told in (
        ([tmp_path / "none"], "there is no such bundle"),
        ([no_weights], "training.npz: cannot be read"),
        ([changed(tmp_path, narrow)], "is of other features"),
        ([demo_bundle(), "--steps", 5], "--steps 5: 100 at least"),
        ([demo_bundle(), "--json", tmp_path / "no" / "x.json"], "no such folder"),
    ):
        code, _, err = run(capsys, "parity", *words)
        assert code == 1
        assert told in err


@pytest.mark.parametrize("command", ["quantize", "parity"])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"talus-export {command} bundle/" in said
    assert "exit codes:" in said
