"""Modules that others import at their top and a gateway does not use: loaded once looked into.

`paho` imports urllib.request (with http.client and email) for proxies, numpy before 2 all its
branches: a tenth of a start, and 6 MB. With the loader of importlib that is made for it each is
there as before, and whoever looks into it waits for it then.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

UNUSED = frozenset(
    {
        "numpy.ctypeslib", "numpy.fft", "numpy.ma", "numpy.polynomial", "numpy.random",
        "urllib.request",
    }
)  # fmt: skip


def load_late() -> None:
    """Let what is UNUSED be loaded late; for what is imported from now on."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


class _Finder:
    """Finds these modules where the usual finder does."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in UNUSED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec
