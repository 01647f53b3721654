"""Readings at a fixed rate, timed from when each was due: no coordinated omission.

A bench that waits for the answer before it asks again leaves out just those who had to wait. Here
a reading that came while the one before it was still at work has waited, and its time says so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.bench_method import frozen
from edge.bench_node import longest, warm_up
from edge.bench_spread import Spread, spread
from edge.bench_stages import Feed
from edge.errors import TalusError

if TYPE_CHECKING:
    from edge.bundle import Bundle

MAX_READINGS = 500_000
GIVE_UP = 2.0
"""So many times as long as was asked for, and what has not had its turn is given up."""
MAY_LAG_S = 0.1
"""The last turn may come so late: one pause of a busy system, and no sign of a queue that grows."""


@dataclass(frozen=True, slots=True)
class Paced:
    """What a fixed rate led to. ``latency`` is from when a reading was due, ``work`` from its turn.

    ``never``: readings that were due and never had their turn; they are in ``latency``, with the
    time for which they had waited. ``woken`` is how late the system woke this process that slept;
    ``behind_ms`` how late the last had its turn.
    """

    rate_hz: float
    seconds: float
    due: int
    done: int
    never: int
    done_hz: float
    keeps_up: bool
    behind_ms: float
    core_share: float
    latency: Spread
    work: Spread
    woken: Spread | None


class Pace:
    """One such run: ``run`` it, and ``result`` says what came of it, also of one that was cut."""

    def __init__(self, bundle: Bundle, rate_hz: float, seconds: float) -> None:
        self._rate_hz, self._seconds = rate_hz, seconds
        count = max(1, round(rate_hz * seconds))
        most = min(MAX_READINGS, longest(bundle.manifest) - warm_up(bundle.manifest))
        if count > most:
            raise TalusError(
                f"--rate {rate_hz:g} for --seconds {seconds:g} is {count} readings, at most "
                f"{most}: make it shorter, or use --soak"
            )
        self._feed = Feed(bundle)
        self._frames = [self._feed.frames()[0] for _ in range(count)]
        self._latency: list[float] = []
        self._work: list[float] = []
        self._woken: list[float] = []
        self._began_ns = self._ended_ns = 0
        self._cpu_s = 0.0

    def run(self) -> None:
        """Feed the frames, each when it is due."""
        with frozen():
            cpu_s = time.process_time()
            self._began_ns = time.perf_counter_ns()
            try:
                self._run()
            finally:
                self._ended_ns = time.perf_counter_ns()
                self._cpu_s = time.process_time() - cpu_s
        self._feed.check()

    def _run(self) -> None:
        clock, take = time.perf_counter_ns, self._feed.take
        began, gap_ns = self._began_ns, 1e9 / self._rate_hz
        end = began + self._seconds * 1e9 * GIVE_UP + 1e9
        for i, frame in enumerate(self._frames):
            due = began + int(i * gap_ns)
            now = clock()
            if now > end:
                break
            if now < due:
                time.sleep((due - now) / 1e9)
                now = clock()
                self._woken.append((now - due) / 1000)
            take(frame)
            done = clock()
            self._work.append((done - now) / 1000)
            self._latency.append((done - due) / 1000)

    def result(self) -> Paced | None:
        """Say what came of it; None where not one reading was done."""
        done = len(self._latency)
        if not done:
            return None
        took_s = (self._ended_ns - self._began_ns) / 1e9
        due = min(len(self._frames), int(took_s * self._rate_hz) + 1)
        waited = [took_s * 1e6 - i * 1e6 / self._rate_hz for i in range(done, due)]
        done_hz = done / max(took_s, (done - 1) / self._rate_hz, 1e-9)
        behind_ms = (self._latency[-1] - self._work[-1]) / 1000
        keeps_up = not waited and behind_ms < MAY_LAG_S * 1000
        return Paced(
            rate_hz=self._rate_hz, seconds=self._seconds, due=max(due, done), done=done,
            never=len(waited), done_hz=done_hz, keeps_up=keeps_up,
            behind_ms=behind_ms, core_share=self._cpu_s / max(took_s, 1e-9),
            latency=spread([*self._latency, *waited]), work=spread(self._work),
            woken=spread(self._woken) if self._woken else None,
        )  # fmt: skip
