"""A bundle of a few hundred bytes that a gateway arms: two channels, two models of one MatMul."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edge.manifest import (
    Artifact,
    BaselineSpec,
    ChannelSpec,
    DetectorSpec,
    FeatureSpec,
    ForecasterSpec,
    KinematicsSpec,
    Manifest,
    Term,
)
from export.models.bundle import manifest_json

WINDOW, HIDDEN = 3, 2

TOML = """
[gateway]
name = "bluff"
[trust]
TRUST
[mqtt]
host = "127.0.0.1"
port = 1
[[port]]
name = "node"
device = "/dev/null"
protocol = "tw1"
[[station]]
name = "slope"
bundle = "bundle"
step_s = 600
[[station.channel]]
name = "crack"
port = "node"
quantity = "crack_width"
unit = "mm"
[[station.channel]]
name = "rain"
port = "node"
quantity = "rainfall"
unit = "mm"
"""


def manifest(name: str = "bluff", version: int = 1, counter: int = 0) -> Manifest:
    """A whole manifest, but for ``files``."""
    baseline = BaselineSpec(("drift", "persistence"), (0.1,), 4, 0, (-1.0, 0.0, 1.0) * 2, (0.0,))
    gru = ForecasterSpec(
        armed=True,
        reason="skill 0.2 against drift over 5 folds",
        targets=("crack",),
        horizons=(1, 6),
        quantiles=(0.1, 0.5, 0.9),
        hidden=HIDDEN,
        scale=(1.0, 1.0),
        anchors=("drift", "drift"),
        margin=(0.0, 0.0),
        adapt_rate=0.0,
        baseline=baseline,
        warm_up_steps=2,
        rate_reference=(2.5,),
        residual_threshold=(3.5,),
        residual_time_constant_steps=6.0,
        artifacts=(_artifact("gru.onnx"),),
        golden="golden.gru.json",
    )
    pca = DetectorSpec(
        name="pca",
        variant="dense",
        armed=False,
        reason="finds no more than the baseline",
        window_steps=WINDOW,
        hidden=0,
        parts=1,
        pooling="max",
        channel_scale=(1.0, 1.0),
        threshold=4.25,
        false_alarm_share=0.01,
        artifacts=(_artifact("pca.onnx"),),
        golden="golden.pca.json",
    )
    return Manifest(
        name=name,
        version=version,
        counter=counter,
        step_ms=600_000,
        channels=(
            ChannelSpec("crack", "crack_width", "mm", "mean"),
            ChannelSpec("rain", "rainfall", "mm", "sum"),
        ),
        features=FeatureSpec(
            (Term("crack", "difference", 1.0), Term("rain", "decayed_sum", 36.0)),
            (0.0, 1.0),
            (1.0, 2.0),
            8.0,
            3,
        ),
        kinematics=KinematicsSpec(("crack",), 36, (1.0,)),
        forecaster=gru,
        detectors=(pca,),
        files=(),
        data_sha256="d" * 64,
        seed=7,
        metrics=(("skill", 0.2),),
    )


def make(folder: Path, name: str = "bluff", version: int = 1, counter: int = 0) -> Path:
    """Write the bundle into a new folder."""
    folder.mkdir(parents=True)
    files = dict(_files())
    for file, data in files.items():
        (folder / file).write_bytes(data)
    text = manifest_json(manifest(name, version, counter), files)
    (folder / "manifest.json").write_bytes(text)
    return folder


def gateway_toml(folder: Path, trust: str) -> Path:
    """Write a gateway.toml whose station runs ``bundle`` in the same folder."""
    path = folder / "gateway.toml"
    path.write_text(TOML.replace("TRUST", trust))
    return path


def _artifact(file: str) -> Artifact:
    return Artifact(file, "onnx", "float32", 1e-4, ("onnxruntime",), 0, 0.00125, 0.01, 3.5e-6, 0)


@cache
def _files() -> tuple[tuple[str, bytes], ...]:
    x = np.arange(8.0).reshape(4, 2)
    weights = np.arange(12.0).reshape(2, 6) / 10
    windows = np.arange(12.0).reshape(2, WINDOW, 2)
    return (
        ("gru.onnx", _onnx(["n", 2], ["n", 6], weights, HIDDEN)),
        ("pca.onnx", _onnx(["n", WINDOW, 2], ["n", WINDOW, 2], np.eye(2), 0)),
        ("golden.gru.json", _golden(x, x @ weights)),
        ("golden.pca.json", _golden(windows, windows)),
    )


def _golden(x: Any, y: Any) -> bytes:
    return json.dumps({"x": x.tolist(), "y": y.tolist()}).encode()


def _onnx(x: list[Any], y: list[Any], weights: Any, hidden: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    def value(name: str, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    inputs, outputs = [value("x", x)], [value("y", y)]
    if hidden:
        nodes.append(helper.make_node("Identity", ["state"], ["next_state"]))
        inputs.append(value("state", ["n", hidden]))
        outputs.append(value("next_state", ["n", hidden]))
    w = numpy_helper.from_array(weights.astype(np.float32), "w")
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [w])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return bytes(model.SerializeToString())
