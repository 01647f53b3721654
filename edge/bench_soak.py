"""Hours of readings: a histogram an interval, and whether the board slows down on the way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.bench_energy import Counters, Energy
from edge.bench_histogram import Histogram
from edge.bench_machine import Conditions, Kernel
from edge.bench_method import frozen, resident_mb
from edge.bench_node import longest, warm_up
from edge.bench_stages import Feed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.bundle import Bundle

MAX_INTERVALS = 5_000
SLOWER, FEWER_HZ = 1.2, 0.9
"""A median so many times the best one, or a clock at so much of its highest: it has slowed down."""
_PI_NOW, _PI_SINCE = 0xE, 16
"""Of get_throttled: capped, slowed, too hot; the same bits since the start of the board."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of a soak. Percentiles are upper ends of buckets, see the histogram.

    ``slowed``: what says that the board was slowed down, in words; ``partial``: cut short.
    """

    began_s: float
    took_s: float
    readings: int
    readings_per_s: float
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None
    p99_9_us: float | None
    max_us: float
    mean_us: float
    conditions: Conditions
    energy: Energy
    resident_mb: float | None
    slowed: tuple[str, ...]
    partial: bool
    histogram: list[list[float]]


@dataclass(frozen=True, slots=True)
class Soak:
    """A whole soak, or what there is of it."""

    seconds: float
    interval_s: float
    rate_hz: float | None
    began_ms: int
    behind_s: float
    """How long the oldest reading had waited at the end that had no turn any more."""
    begun_anew: int
    """How often the pipeline was made anew, uncounted, as the times of the node had run out."""
    intervals: tuple[Interval, ...]


class Soaking:
    """One soak: ``run`` gives its intervals, ``result`` what there is so far."""

    def __init__(
        self, bundle: Bundle, seconds: float, interval_s: float, rate_hz: float | None, root: Path,
        core: int | None = None,
    ) -> None:  # fmt: skip
        self._bundle, self._seconds, self._interval_s = bundle, seconds, interval_s
        self._rate_hz, self._core = rate_hz, core
        self._kernel, self._counters = Kernel(root), Counters(root)
        self._most = longest(bundle.manifest) - warm_up(bundle.manifest)
        self._feed, self._left = Feed(bundle), self._most
        self._frames: list[bytes] = []
        self._due_ns = self._paused_ns = 0.0
        self._began_ms = time.time_ns() // 1_000_000
        self._intervals: list[Interval] = []
        self._anew = 0
        self._best_us = self._highest_mhz = 0.0
        self._throttled = self._kernel.conditions(core).throttled

    def result(self) -> Soak:
        """Return what there is so far."""
        behind_s = 0.0
        if self._rate_hz is not None:
            behind_s = max(0.0, (self._paused_ns - self._due_ns) / 1e9)
        return Soak(self._seconds, self._interval_s, self._rate_hz, self._began_ms, behind_s,
                    self._anew, tuple(self._intervals))  # fmt: skip

    def run(self) -> Iterator[Interval]:
        """Give each interval when it is over; one that is cut short is kept as partial."""
        began = time.monotonic()
        self._counters.read()
        self._due_ns = self._paused_ns = float(time.perf_counter_ns())
        while (at_s := time.monotonic() - began) < self._seconds:
            length_ns = int(min(self._interval_s, self._seconds - at_s) * 1e9)
            histogram, whole = Histogram(), False
            try:
                with frozen():
                    since = time.perf_counter_ns()
                    self._fill(histogram, since, since + length_ns)
                whole = True
            finally:
                self._paused_ns = time.perf_counter_ns()
                if histogram.count:
                    took_s = (self._paused_ns - since) / 1e9
                    self._intervals.append(self._closed(histogram, at_s, took_s, partial=not whole))
            self._feed.check()
            if histogram.count:
                yield self._intervals[-1]

    def _fill(self, histogram: Histogram, since: int, end: int) -> None:
        """Feed until the end; what is due and has no turn by then is late in the next interval."""
        clock, add, rate_hz = time.perf_counter_ns, histogram.add, self._rate_hz
        self._due_ns += since - self._paused_ns  # what the bench did between is no one's delay
        while True:
            frame = self._frame()
            due = clock() if rate_hz is None else int(self._due_ns)
            if due >= end or clock() >= end:
                self._frames.append(frame)
                time.sleep(max(0.0, (end - clock()) / 1e9))
                return
            if (ahead := due - clock()) > 0:
                time.sleep(ahead / 1e9)
            self._feed.take(frame)
            add(clock() - due)
            if rate_hz is not None:
                self._due_ns += 1e9 / rate_hz

    def _frame(self) -> bytes:
        if self._frames:
            return self._frames.pop()
        if not self._left:
            self._feed, self._left = Feed(self._bundle), self._most
            self._anew += 1
        self._left -= 1
        return self._feed.frames()[0]

    def _closed(
        self, histogram: Histogram, at_s: float, took_s: float, *, partial: bool
    ) -> Interval:
        now = self._kernel.conditions(self._core)
        median = histogram.percentile_us(2)
        return Interval(
            began_s=at_s, took_s=took_s, readings=histogram.count,
            readings_per_s=histogram.count / took_s, p50_us=median,
            p90_us=histogram.percentile_us(10), p99_us=histogram.percentile_us(100),
            p99_9_us=histogram.percentile_us(1000), max_us=histogram.max_ns / 1000,
            mean_us=histogram.sum_ns / histogram.count / 1000, conditions=now,
            energy=self._counters.read(), resident_mb=resident_mb(),
            slowed=tuple(self._slowed(now, median)), partial=partial,
            histogram=histogram.buckets(),
        )  # fmt: skip

    def _slowed(self, now: Conditions, median: float | None) -> Iterator[str]:
        if now.throttled is not None:
            yield from self._told(now.throttled)
        if now.frequency_mhz is not None:
            self._highest_mhz = max(self._highest_mhz, now.frequency_mhz)
            # At a fixed rate a core may well clock down: it has little to do.
            if self._rate_hz is None and now.frequency_mhz < FEWER_HZ * self._highest_mhz:
                yield f"{now.frequency_mhz:.0f} MHz, it was {self._highest_mhz:.0f}"
        if median is not None:
            self._best_us = min(self._best_us or median, median)
            if median > SLOWER * self._best_us:
                yield f"the median is {median / self._best_us:.1f} times the best interval's"

    def _told(self, bits: int) -> Iterator[str]:
        before, self._throttled = self._throttled, bits
        if self._kernel.root.joinpath("sys/devices/platform/soc/soc:firmware").exists():
            if bits & _PI_NOW or (bits & ~(before or 0)) >> _PI_SINCE & _PI_NOW:
                yield f"the firmware slows it down (get_throttled 0x{bits:x})"
        elif before is not None and bits > before:
            yield f"the cores were slowed down {bits - before} times by heat"
