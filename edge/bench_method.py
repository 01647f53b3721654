"""How it is measured: what the clock costs, which core, which threads. Stated with each result."""

from __future__ import annotations

import gc
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.bench_spread import spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANY_CORE = -1
_TRIES = 2000


@dataclass(frozen=True, slots=True)
class Method:
    """What a reader must know to trust the figures. Nothing of it is subtracted from them.

    ``clock_overhead_ns`` is in every time once; ``wrapper_overhead_ns`` in every stage, for each
    of its calls.
    """

    clock: str
    clock_overhead_ns: float
    clock_resolution_ns: float
    wrapper_overhead_ns: float
    pinned_core: int | None
    pinned: str
    threads: int | None
    runtime_threads: int
    collector: str


def method(pinned_core: int | None, pinned: str) -> Method:
    """Measure what measuring costs, here and now."""
    info = time.get_clock_info("perf_counter")
    return Method(
        clock=f"time.perf_counter_ns ({info.implementation})",
        clock_overhead_ns=_clock_ns(),
        clock_resolution_ns=info.resolution * 1e9,
        wrapper_overhead_ns=_wrapper_ns(),
        pinned_core=pinned_core,
        pinned=pinned,
        threads=threads(),
        runtime_threads=1,
        collector="on; what stands before the first reading is frozen, as in talus run",
    )


def _clock_ns() -> float:
    clock = time.perf_counter_ns
    times = []
    for _ in range(_TRIES):
        began = clock()
        times.append(float(clock() - began))
    return spread(times).p50_us


def _wrapper_ns() -> float:
    """Return what timing a call costs the call, by one that does nothing."""
    clock = time.perf_counter_ns
    now: dict[str, float] = {}

    def inner(*_: object) -> None:
        return None

    outer = timed_call(inner, "x", now)
    bare, wrapped = [], []
    for _ in range(_TRIES):
        began = clock()
        inner(1, 2)
        between = clock()
        outer(1, 2)
        wrapped.append(float(clock() - between))
        bare.append(float(between - began))
    return max(0.0, spread(wrapped).p50_us - spread(bare).p50_us)


def timed_call(inner: Callable[..., Any], stage: str, now: dict[str, float]) -> Callable[..., Any]:
    """Wrap a function: the time of each call, in us, is added to ``now`` under a stage."""

    def outer(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter_ns()
        try:
            return inner(*args, **kwargs)
        finally:
            now[stage] = now.get(stage, 0.0) + (time.perf_counter_ns() - began) / 1000

    return outer


def threads() -> int | None:
    """Return how many threads this process has, None where the kernel does not tell."""
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return None


def resident_mb() -> float | None:
    """Return the resident memory of this process, None where the kernel does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, IndexError):
        return None


@contextmanager
def pinned(core: int | None) -> Iterator[tuple[int | None, str]]:
    """Keep this process on one core; gives (core or None, in words). None: the last it may use."""
    if core == ANY_CORE:
        yield None, "not pinned, as asked"
        return
    try:
        allowed = os.sched_getaffinity(0)
        chosen = max(allowed) if core is None else core
        os.sched_setaffinity(0, {chosen})
    except (AttributeError, OSError) as error:
        yield None, f"not pinned: {getattr(error, 'strerror', None) or 'not on this system'}"
        return
    try:
        yield chosen, f"to core {chosen} of {len(allowed)}"
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def frozen() -> Iterator[None]:
    """Keep the collector from what stands now, as the gateway does when it begins to serve."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
