"""What a reading is made of: bytecodes, calls of Python and calls of C, by function.

  python benchmarks/latency_ops.py          the functions with the most bytecodes

The same on every machine with the same Python, however busy it is: what time says only roughly.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import figures  # noqa: F401 - sets the path, before anything of export or edge

from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bench_stages import Feed
from edge.bundle import load_bundle
from edge.trust import ANY_SIGNER

if TYPE_CHECKING:
    from types import FrameType

READINGS = 200
SHOWN = 30


@dataclass(slots=True)
class Counted:
    """Of so many readings, by function."""

    bytecodes: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    c_calls: Counter[str] = field(default_factory=Counter)

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """Count, for `sys.settrace`."""
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        name = frame.f_code.co_qualname
        if event == "call":
            self.calls[name] += 1
        elif event == "opcode":
            self.bytecodes[name] += 1
        return self.trace

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """Count, for `sys.setprofile`."""
        if event == "c_call":
            self.c_calls[frame.f_code.co_qualname] += 1


def count() -> Counted:
    """Count what some readings of the demo bundle take, from frame bytes to decision."""
    feed, found = Feed(load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)), Counted()
    for put, hook in ((sys.settrace, found.trace), (sys.setprofile, found.profile)):
        frames = [feed.frames()[0] for _ in range(READINGS)]
        put(hook)
        for frame in frames:
            feed.take(frame)
        put(None)
    return found


def operations() -> dict[str, float]:
    """Return the figures, a reading."""
    found = count()
    return {
        "bytecodes_per_reading": sum(found.bytecodes.values()) / READINGS,
        "python_calls_per_reading": sum(found.calls.values()) / READINGS,
        "c_calls_per_reading": sum(found.c_calls.values()) / READINGS,
    }


def main() -> None:
    """Print the functions with the most bytecodes."""
    found = count()
    print(f"{'of one reading':<46} {'bytecodes':>9} {'calls':>6} {'calls of C':>10}")
    for name, ops in found.bytecodes.most_common(SHOWN):
        print(f"{name:<46} {ops / READINGS:>9.1f} {found.calls[name] / READINGS:>6.2f} "
              f"{found.c_calls[name] / READINGS:>10.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
