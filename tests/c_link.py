"""benchmarks/link_c.py for tests: the vectors through Python and C, and how the C is built."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

_BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def loaded() -> Any:
    sys.path.insert(0, str(_BENCHMARKS))
    try:
        import link_c
    finally:
        sys.path.remove(str(_BENCHMARKS))
    return link_c


def compilers() -> list[Any]:
    """Give the host compilers, those that are missing as skipped parameters."""
    return [
        pytest.param(cc, marks=pytest.mark.skipif(
            shutil.which(cc) is None, reason=f"NOT TESTED: the C side with {cc}, which is missing"))
        for cc in ("gcc", "clang")
    ]  # fmt: skip


NEEDS_CC = pytest.mark.skipif(
    shutil.which("cc") is None, reason="NOT TESTED: the C side, for want of a host compiler cc"
)
