"""What importing the gateway loads: nothing of the training stack, and as little as can be."""

from __future__ import annotations

import subprocess
import sys

import pytest

TRAINING = {
    "tensorflow", "keras", "onnx", "matplotlib", "tqdm", "amqtt", "scipy", "pandas", "sklearn",
    "cryptography",
}  # fmt: skip
HEAVY = {"numpy", "ai_edge_litert", "tflite_runtime", "onnxruntime", "paho", "serial", "sqlite3"}


def loaded_by(code: str) -> set[str]:
    """Top-level modules that are there after running code in a fresh interpreter."""
    tail = "import sys; print(*{name.split('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", f"{code}\n{tail}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("package", ["edge", "firmware_bridge"])
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    assert not loaded_by(f"import {package}") & (HEAVY | TRAINING | {"asyncio", "socket"})


def test_reading_a_configuration_needs_no_numpy() -> None:
    assert not loaded_by("import edge.config, edge.parse_manifest") & (HEAVY | TRAINING)


def test_the_gateway_loads_what_it_needs_and_no_runtime_before_a_bundle_asks() -> None:
    loaded = loaded_by("import edge.gateway")
    assert {"numpy", "paho", "serial", "sqlite3"} <= loaded
    assert not loaded & (TRAINING | {"ai_edge_litert", "tflite_runtime", "onnxruntime"})


def test_a_bundle_loads_one_runtime_alone() -> None:
    code = (
        "from edge.bench import demo_bundle\n"
        "from edge.bundle import load_bundle\n"
        "from edge.trust import ANY_SIGNER\n"
        "from edge.config import RuntimeConfig\n"
        "load_bundle(demo_bundle(), RuntimeConfig(('litert',), 'auto'), ANY_SIGNER)"
    )
    loaded = loaded_by(code)
    assert "ai_edge_litert" in loaded
    assert not loaded & (TRAINING | {"tflite_runtime", "onnxruntime"})


def test_the_workstation_side_loads_tensorflow_only_to_train() -> None:
    assert not loaded_by("import export.__main__, export.models.train") & {"tensorflow", "onnx"}
