"""How long each stage takes here, from bytes in to decision, and each runtime beside it.

The parts stand in files of their own (edge/bench_*.py); what benchmarks and tests use of them is
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.bench_models import ModelTime, time_models
from edge.bench_node import ANY_RUNTIME, Stream, bench_config, demo_bundle
from edge.bench_stages import STAGES, StageTime, time_stages, time_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "ANY_RUNTIME",
    "STAGES",
    "ModelTime",
    "StageTime",
    "Stream",
    "bench_config",
    "demo_bundle",
    "report",
    "time_models",
    "time_stages",
    "time_whole",
]


def report(folder: Path, count: int) -> Iterator[str]:
    """Give the lines of ``talus bench`` but for starts and stations: every stage and artifact."""
    from edge.bench_run import Wanted, begin, measure

    wanted = Wanted((folder,), count, stations=(), starts=False)
    yield from measure(wanted, begin(wanted, None, "not pinned"))
