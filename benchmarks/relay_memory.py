"""Memory, open files and threads of a gateway over as many readings as are asked for.

  python benchmarks/relay.py --readings 10000000       (an hour; the default without --quick)

The demo's station with its models, a TW1 node that sends as fast as it is heard, a broker that
takes all. After a third of it, in which caches fill, nothing may grow.
"""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from itertools import cycle
from typing import TYPE_CHECKING

from relay_parts import Broker, Gateway, await_true, process_use
from relay_room import PATIENCE_S

from export.demo import make_node, write_config
from export.slope import generate
from firmware_bridge.simulator import PtyNode

if TYPE_CHECKING:
    from pathlib import Path

DAYS = 100
STEP_S = 200
"""Of the node's clock: with ten minutes a row 10^7 rows would lead beyond the year 2100."""
WARM_SHARE = 1 / 3
_EVERY_S = 0.25
_SOME = 8
"""Samples of which the median counts, at either end."""


def endless_node() -> PtyNode:
    """Return the demo's node with a slope that is played to and fro, so that it never jumps."""
    pattern = make_node(1.0, days=1.0)
    pattern.stop()
    rows = generate(DAYS, seed=7, failure_day=None).values.tolist()
    return PtyNode(
        pattern.node, cycle([*rows, *rows[::-1]]), interval_s=0.0, step_us=STEP_S * 1_000_000
    )


def growth(samples: list[tuple[float, int, int]]) -> tuple[float, int, int]:
    """Return how much memory, files and threads grew after the warm-up."""
    warm = samples[int(len(samples) * WARM_SHARE) :]
    if len(warm) < 2 * _SOME:
        raise ValueError(f"{len(samples)} samples are too few")
    first, last = warm[:_SOME], warm[-_SOME:]
    rss, files, threads = (
        statistics.median(each[i] for each in last) - statistics.median(each[i] for each in first)
        for i in range(3)
    )
    return rss, round(files), round(threads)


def run(folder: Path, readings: int) -> dict[str, float]:
    """Measure over so many readings; the figures by name."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder / "broker"))
        node = endless_node()
        gateway = stack.enter_context(Gateway(write_config(folder, node.device, broker.port)))
        stack.enter_context(node)
        if not await_true(lambda: node.rows_sent > 100, PATIENCE_S):
            raise RuntimeError("the gateway does not read")
        assert gateway.process is not None
        samples = []
        began_s, rows = time.monotonic(), node.rows_sent
        while node.rows_sent < rows + readings:
            time.sleep(_EVERY_S)
            samples.append(process_use(gateway.process.pid))
            if gateway.process.poll() is not None:
                raise RuntimeError("the gateway has ended")
        rows, took_s = node.rows_sent - rows, time.monotonic() - began_s
        totals = gateway.stop()
    rss, files, threads = growth(samples)
    rejected = sum(totals["rejected"].values())
    print(f"{rows} readings in {took_s:.0f} s with the models at work, {rejected} rejected; "
          f"resident {samples[-1][0]:.1f} MB, grown {rss:+.2f} MB, files {files:+d}, threads "
          f"{threads:+d} after the first third")  # fmt: skip
    return {
        "rss_growth_mb": max(0.0, rss),
        "fds_growth": files,
        "threads_growth": threads,
        "memory_readings": rows,
        "readings_per_s_with_models": rows / took_s,
    }
