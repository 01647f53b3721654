"""Many stations on one gateway: what one more costs, in time and in memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.bench_method import frozen, resident_mb
from edge.bench_spread import Spread, spread
from edge.bench_stages import Feed, make_streams

if TYPE_CHECKING:
    from edge.bundle import Bundle

MAX_STATIONS = 10_000
MIN_SWEEPS = 3


@dataclass(frozen=True, slots=True)
class Stations:
    """So many stations that are all due at once; ``sweep`` is us from the first to the last.

    ``core_share_1hz``: of one core, at one reading a second and station. ``mb_a_station`` is what
    the pipeline has made the process grow by, about; the simulated nodes were there before.
    """

    stations: int
    sweeps: int
    us_a_reading: float
    sweep: Spread
    core_share_1hz: float
    mb_a_station: float | None


def time_stations(bundle: Bundle, stations: int, count: int) -> Stations:
    """Time sweeps over so many stations, about ``count`` readings in all."""
    streams = make_streams(bundle, 0, stations)
    before_mb = resident_mb()
    feed = Feed(bundle, stations=stations, streams=streams)
    times: list[float] = []
    with frozen():
        for _ in range(max(MIN_SWEEPS, count // stations)):
            frames = feed.frames()
            began = time.perf_counter_ns()
            feed.sweep(frames)
            times.append((time.perf_counter_ns() - began) / 1000)
    feed.check()
    after_mb = resident_mb()
    grown = None if before_mb is None or after_mb is None else (after_mb - before_mb) / stations
    found = spread(times)
    return Stations(stations, len(times), found.p50_us / stations, found, found.p50_us / 1e6, grown)
