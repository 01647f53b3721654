"""Precisions of a small random GRU: what each form computes, and what is not offered."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bench import demo_bundle
from edge.errors import RuntimeMissingError, TalusError
from edge.runtime import RUNTIMES, installed, load
from export.models import artifacts, parity
from export.models.artifacts import LIMITS, STREAM_STEPS, export_model, stream_of
from export.models.gru import GruWeights, run
from export.models.gru_export import ExportableGru
from export.models.gru_graphs import step_function
from export.models.matrix import markdown, over_limit, table
from export.models.op_versions import tflite_operators, too_new
from export.models.parity import prove, saturated
from export.models.products import product
from export.models.rounding import rounded
from export.models.to_onnx import gru_to_onnx
from export.progress import Bars

FEATURES, HIDDEN, OUTPUTS = 6, 8, 3


class Noted(Bars):
    """Progress that keeps its notes."""

    def __init__(self):
        super().__init__(quiet=True)
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def weights(size=1.0):
    """Random, and calm enough to forget: as a trained one is."""
    random = np.random.default_rng(5)
    shapes = (
        (FEATURES, 3 * HIDDEN), (HIDDEN, 3 * HIDDEN), (2, 3 * HIDDEN), (HIDDEN, OUTPUTS), (OUTPUTS,)
    )  # fmt: skip
    made = [random.normal(0, 0.4 * size, shape).astype(np.float32) for shape in shapes]
    return GruWeights(*made)


def correlated(steps, width=FEATURES, seed=6):
    """Features that move together, as those of a slope do."""
    random = np.random.default_rng(seed)
    shared = np.convolve(random.normal(0, 1, steps + 29), np.ones(30) / 6, "valid")
    mix = random.normal(0, 1, width)
    rows = shared[:, None] * mix + random.normal(0, 0.2, (steps, width))
    return np.clip(rows, -8, 8).astype(np.float32)


def calm(outputs):
    return outputs[:, 0] > 0.5


@pytest.fixture(scope="module")
def exported():
    """All precisions of one network, over a stream short enough for a test."""
    noted = Noted()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "stream_of", lambda rows: stream_of(rows, 2000))
        made = export_model("gru", ExportableGru(weights()), correlated(700), noted, calm)
    noted.close()
    return SimpleNamespace(made=made, notes=noted.notes)


def test_every_precision_is_converted_and_measured_in_every_runtime(exported):
    rows = exported.made.parity
    files = {f"gru.{p}.tflite" for p in LIMITS} | {"gru.float32.onnx", "gru.dynamic.onnx"}
    assert {row.file for row in rows} == files
    fitting = {(f, r) for f in files for r in installed() if RUNTIMES[r] == f.rsplit(".", 1)[1]}
    assert {(row.file, row.runtime) for row in rows} == fitting


def test_rows_hold_what_they_say(exported):
    for row in exported.made.parity:
        assert row.limit == LIMITS[row.precision]
        if not row.bundled:
            assert row.why, row
            continue
        assert row.why == ""
        assert row.size_bytes == len(exported.made.files[row.file])
        assert 0.0 < row.p50_us < 10_000.0
        assert 0.0 <= row.drift <= row.limit
        assert row.max_error < 1.0
    drift = {(r.precision, r.runtime): r.drift for r in exported.made.parity if r.bundled}
    assert drift["float32", "litert"] < drift["float16", "litert"] < drift["int8", "litert"]


def test_the_manifest_says_the_worst_of_the_runtimes_offered(exported):
    for artifact in exported.made.artifacts:
        rows = [r for r in exported.made.parity if r.file == artifact.file and r.bundled]
        assert artifact.runtimes == tuple(r.runtime for r in rows)
        assert artifact.drift == max(r.drift for r in rows)
        assert artifact.tolerance >= artifact.max_error
        assert (artifact.batch == 0) is (artifact.file == "gru.float32.onnx")


def test_what_is_over_its_limit_is_not_offered_and_says_so():
    noted, model = Noted(), ExportableGru(weights())
    strict = LIMITS | {"int8": 1e-6}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "stream_of", lambda rows: stream_of(rows, 500))
        made = export_model(
            "gru", model, correlated(300), noted, calm, ("int8", "float32"), limits=strict
        )
        with pytest.raises(TalusError, match="no artifact agrees"):
            export_model("gru", model, correlated(300), noted, calm, ("int8",), limits=strict)
    noted.close()
    assert "gru.int8.tflite" not in made.files
    assert {a.precision for a in made.artifacts} == {"float32"}
    refused = [row for row in made.parity if row.precision == "int8"]
    assert refused
    assert all(over_limit(row) and "over its limit of" in row.why for row in refused)
    assert any(n.startswith("gru.int8.tflite is not offered to litert: drift") for n in noted.notes)


def test_a_file_that_kills_its_runtime_does_not_kill_the_training():
    w, stream = weights(), correlated(200)
    whole = gru_to_onnx(w)
    files = {
        "good.float32.onnx": whole,
        "half.float32.onnx": whole[: len(whole) // 2],
        "broken.float32.tflite": (demo_bundle() / "gru.float32.tflite").read_bytes()[:2000],
    }
    rows = prove(files, stream, run(w, stream)[0], HIDDEN, calm, LIMITS)
    found = {(row.file, row.runtime): row for row in rows}
    assert {file for file, _ in found} == set(files)
    assert found.pop(("good.float32.onnx", "onnxruntime")).bundled
    assert all(row.why and not row.bundled and not over_limit(row) for row in found.values())


def test_outputs_that_are_not_numbers_are_not_offered(tmp_path):
    row = parity.Row("a.int8.tflite", "int8", "litert", 1, 0, 0, 1, 0, 0, 0, False, "")
    np.savez(tmp_path / "a.int8.tflite.litert.npz", y=np.full((5, 3), np.nan), p50_us=1.0)
    found = parity._measured(row, tmp_path, np.ones((5, 3), np.float32), calm, np.ones(5, bool))
    assert (found.bundled, found.why) == (False, "outputs are not finite")
    assert over_limit(found)


def test_saturation_counts_what_stands_at_the_end_and_not_a_maximum():
    smooth = np.sin(np.linspace(0, 9, 500))[:, None]
    assert saturated(smooth) == 0
    clipped = np.clip(smooth, -1.0, 0.5)
    assert saturated(clipped) == int((smooth >= 0.5).sum())
    assert saturated(np.ones((50, 1))) == 0  # a constant output is not clipped


@pytest.mark.parametrize("count", [1, 199, 19_999, 20_000])
def test_a_short_history_is_streamed_over_and_over(count):
    stream = stream_of(np.arange(count, dtype=np.float32)[:, None])
    assert np.array_equal(stream[:, 0], np.arange(STREAM_STEPS) % count)


@pytest.mark.parametrize("count", [20_001, 20_300, 50_000, 300_000])
def test_a_long_history_is_streamed_in_stretches_of_all_of_it(count):
    rows = np.random.default_rng(1).normal(0, 1, (count, 2)).astype(np.float32)
    rows[:, 0] = np.arange(count)
    rows[count - 50, 1], rows[count // 2, 1] = 3e6, -2e6
    picked = stream_of(rows)[:, 0].astype(int)
    assert len(picked) == STREAM_STEPS
    assert (np.diff(picked) > 0).all()
    assert {count - 50, count // 2} <= set(picked.tolist())
    for part in np.array_split(np.arange(count), 10):
        assert np.isin(part, picked).mean() > 0.5 * STREAM_STEPS / count
    assert (np.diff(picked) == 1).mean() > 0.95


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 40), columns=st.integers(1, 12))
def test_rounded_weights_stand_on_the_grid_of_their_column(seed, rows, columns):
    random = np.random.default_rng(seed)
    w = random.normal(0, 1, (rows, columns)).astype(np.float32)
    found = rounded(w, correlated(200, rows, seed))
    scale = np.abs(w).max(axis=0) / 127
    level = found / scale
    assert np.abs(level - np.round(level)).max() < 1e-3
    assert np.abs(level).max() <= 127.001
    # The largest keeps its place, so that a converter finds the very same grid.
    assert np.allclose(np.abs(found).max(axis=0), np.abs(w).max(axis=0), rtol=1e-6)


def test_rounding_by_what_comes_in_beats_rounding_to_the_nearest():
    random = np.random.default_rng(1)
    w, x = random.normal(0, 1, (24, 16)).astype(np.float32), correlated(4000, 24)
    scale = np.abs(w).max(axis=0) / 127
    nearest = np.round(w / scale) * scale
    off = [float(np.sqrt(((x @ w - x @ q) ** 2).mean())) for q in (rounded(w, x), nearest)]
    assert off[0] < 0.6 * off[1]


def test_rounding_of_columns_of_zeros_gives_zeros():
    assert not rounded(np.zeros((4, 3), np.float32), correlated(50, 4)).any()


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_every_form_is_the_same_sums_where_nothing_is_rounded(precision, monkeypatch):
    monkeypatch.setattr("export.models.gru_graphs.rounded", lambda weights, inputs: weights)
    w, stream = weights(), correlated(60)
    expected, states = run(w, stream)
    step = step_function(w, precision, stream, states)
    state = np.zeros((1, HIDDEN), np.float32)
    for x, y in zip(stream, expected, strict=True):
        found = step(x[None], state)
        state = found["next_state"]
        assert np.allclose(found["y"].numpy()[0], y, atol=2e-6)


def test_operators_of_all_that_is_made_are_old_enough(exported):
    for file, data in exported.made.files.items():
        assert too_new(file, data) == ""
    names = dict(tflite_operators(exported.made.files["gru.float32.tflite"]))
    assert {"FULLY_CONNECTED", "TANH"} <= set(names)
    integers = dict(tflite_operators(exported.made.files["gru.int16x8.tflite"]))
    assert {"FULLY_CONNECTED", "LOGISTIC", "TANH"} <= set(integers)


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8"])
def test_floats_are_summed_in_whole_vectors_and_need_no_sigmoid(exported, precision):
    """Else not even plain kernels give the same last bits on arm64 (benchmarks/flash_arm64.py)."""
    model = Interpreter(model_content=exported.made.files[f"gru.{precision}.tflite"])
    model.allocate_tensors()
    size = {each["index"]: each["shape"] for each in model.get_tensor_details()}
    ops = [(op["op_name"], op["outputs"][0]) for op in model._get_ops_details()]
    widths = [int(size[out][-1]) for name, out in ops if name == "FULLY_CONNECTED"]
    assert len(widths) >= 3
    assert all(width % 8 == 0 for width in widths), widths
    assert "LOGISTIC" not in {name for name, _ in ops}


def test_a_product_that_padding_would_make_large_is_left_as_it_is():
    """Of 1,024 weights on the converter's dynamic range would round it to int8."""
    for rows, columns, width in (32, 18, 24), (48, 18, 18), (60, 18, 24):
        kernel, bias = np.ones((rows, columns), np.float32), np.zeros(columns, np.float32)
        with tf.Graph().as_default() as graph:
            found = product(tf.zeros((1, rows)), kernel, bias)
        assert found.shape[-1] == columns
        made = [op.outputs[0].shape[-1] for op in graph.get_operations() if op.type == "MatMul"]
        assert made == [width]


def test_tflite_runtime_is_refused_beside_tensorflow_which_it_would_end() -> None:
    with pytest.raises(RuntimeMissingError, match="a process that has loaded TensorFlow"):
        load(demo_bundle() / "gru.float32.tflite", "tflite")


def test_operators_that_are_too_new_are_named(monkeypatch, exported):
    monkeypatch.setattr("export.models.op_versions._TFLITE_2_14", {"ADD": 5})
    said = too_new("gru.float32.tflite", exported.made.files["gru.float32.tflite"])
    assert "TANH v1" in said
    assert "LiteRT 1.2" in said
    assert "ADD" not in said
    monkeypatch.setattr("export.models.op_versions._OPSET", 12)
    assert "opset 13" in too_new("a.onnx", gru_to_onnx(weights()))


def test_what_has_no_onnx_goes_without(monkeypatch):
    class Without(ExportableGru):
        def onnx(self):
            return b""

        def onnx_int8(self, states):
            return b""

    model, stream = Without(weights()), correlated(200)
    noted = Noted()
    noted.stage("convert", 3)
    files = artifacts.convert_all(
        "m", model, stream, model.run(stream)[1], noted, ("float32", "dynamic")
    )
    noted.close()
    assert set(files) == {"m.float32.tflite", "m.dynamic.tflite"}


def test_the_matrix_is_told_in_a_table_and_a_page(exported):
    rows = exported.made.parity
    bad = replace(rows[0], bundled=False, why="drift 9.00% is over its limit of 0.20%")
    gone = replace(rows[0], bundled=False, why="runtime x | y cannot run it")
    text, page = table((*rows, bad, gone)), markdown((*rows, bad, gone), "Parity of a")
    assert len(text.splitlines()) == len(rows) + 3
    assert "not run: runtime x | y" in text
    assert page.startswith("# Parity of a\n")
    assert {line.count("|") for line in page.splitlines() if line.startswith("|")} == {11}
