"""Modules of benchmarks/, for tests, as a script there imports them."""

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
def imported(*names: str, under: str = "") -> Iterator[Any]:
    """Give modules by name, those that begin with ``under`` without it; sys.path is as it was."""
    before = list(sys.path)
    sys.path.append(str(FOLDER))
    try:
        found = {n.removeprefix(under): importlib.import_module(n) for n in names}
        yield SimpleNamespace(**found)
    finally:
        sys.path[:] = before
