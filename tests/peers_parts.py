"""What tests of the benchmark against peers import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bench_modules

NAMES = (
    "tally", "page", "report", "env", "anomaly", "gateways", "loss", "speed", "inference",
)  # fmt: skip


@contextmanager
def imported() -> Iterator[Any]:
    """Give the parts without their prefix, and ``entry``, the script itself."""
    names = (f"peers_{each}" for each in NAMES)
    with (
        bench_modules.imported(*names, under="peers_") as found,
        bench_modules.imported("peers") as script,
    ):
        found.entry = script.peers
        yield found
