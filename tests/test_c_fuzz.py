"""scripts/fuzz finds nothing in a few seconds (in minutes: soak), and finds what is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from c_link import loaded

link_c = loaded()
SCRIPT = Path(__file__).parent.parent / "scripts" / "fuzz"
SECONDS = 6
LONG = pytest.param(120, marks=pytest.mark.soak)


def fuzzable(directory: Path) -> bool:
    """Say whether clang is here with its libFuzzer, which is a package of its own."""
    if shutil.which("clang") is None:
        return False
    source = directory / "probe.c"
    source.write_text(
        "int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n ? 0 : 0; }"
    )
    tried = subprocess.run(
        ["clang", "-fsanitize=fuzzer,address,undefined", source, "-o", directory / "probe"],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


@pytest.fixture
def fuzz(tmp_path: Path):
    if not fuzzable(tmp_path):
        pytest.skip("NOT TESTED: no fuzzing without clang and its libFuzzer "
                    "(apt install clang libclang-rt-14-dev)")  # fmt: skip

    def run(sources: Path, seconds: int) -> subprocess.CompletedProcess:
        return subprocess.run(
            [SCRIPT, str(seconds)], check=False, capture_output=True, text=True,
            env=os.environ | {"TALUS_FUZZ_OUT": str(tmp_path / "out"), "TALUS_C": str(sources)},
        )  # fmt: skip

    return run


@pytest.mark.parametrize("seconds", [SECONDS, LONG])
def test_nothing_is_found(fuzz, seconds: int) -> None:
    made = fuzz(link_c.C_DIR, seconds)
    assert made.returncode == 0, made.stderr
    assert "nothing found" in made.stdout


def test_a_planted_mistake_is_found(fuzz, tmp_path: Path) -> None:
    copy = tmp_path / "c"
    shutil.copytree(link_c.C_DIR, copy)
    text = (copy / "tw1.c").read_text()
    right, wrong = "if (size < TW1_MAX_CHUNK) {", "if (size <= TW1_MAX_CHUNK) {"
    assert text.count(right) == 1
    (copy / "tw1.c").write_text(text.replace(right, wrong))
    made = fuzz(copy, 60)  # ends when it is found
    assert made.returncode == 1, made.stdout
    assert "FOUND" in made.stderr
