"""What tests of the benchmark against peers import."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FOLDER = Path(__file__).parent.parent / "benchmarks"


@contextmanager
def imported() -> Iterator[Any]:
    """Import the parts as `python benchmarks/peers.py` does, and leave sys.path as it was."""
    before = list(sys.path)
    sys.path.append(str(FOLDER))
    try:
        names = (
            "tally",
            "page",
            "report",
            "env",
            "anomaly",
            "gateways",
            "loss",
            "speed",
            "inference",
        )
        found = {n: importlib.import_module(f"peers_{n}") for n in names}
        yield SimpleNamespace(entry=importlib.import_module("peers"), **found)
    finally:
        sys.path[:] = before
