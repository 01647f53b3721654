"""A reading from bytes in to decision: as a whole, and stage by stage."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.bench_method import frozen, timed_call
from edge.bench_node import EPOCH_MS, Stream, bench_config, station_names, warm_up
from edge.bench_spread import Spread, spread
from edge.errors import TalusError
from edge.pipeline import Pipeline
from firmware_bridge.reading import Reading

if TYPE_CHECKING:
    from edge.bundle import Bundle

STAGES = (
    "decode",
    "calibrate",
    "quality",
    "grid",
    "features",
    "kinematics",
    "gru",
    "detectors",
    "alarm",
)


@dataclass(frozen=True, slots=True)
class StageTime:
    """Time of one stage a reading; ``seen`` is False where nothing was called by its name."""

    name: str
    spread: Spread
    seen: bool = True

    @property
    def p50_us(self) -> float:
        """The median, us a reading."""
        return self.spread.p50_us


Streams = list[Stream]


def make_streams(bundle: Bundle, seed: int, stations: int) -> Streams:
    """Make the nodes, and their drivers, of so many stations."""
    names = station_names(stations)
    return [Stream(bundle.manifest, seed + i, name) for i, name in enumerate(names)]


class Feed:
    """A warmed-up pipeline, and the nodes that feed it: ``take`` is what one times.

    ``idle`` counts readings, after the warm-up, that led to no scores: their times say nothing.
    """

    def __init__(
        self, bundle: Bundle, seed: int = 0, stations: int = 1, streams: Streams | None = None
    ) -> None:
        names = station_names(stations)
        self._streams = make_streams(bundle, seed, stations) if streams is None else streams
        config = bench_config(bundle.manifest, stations)
        self._pipeline = Pipeline(config, dict.fromkeys(names, bundle))
        self._now_ms = EPOCH_MS
        self.idle = 0
        for _ in range(warm_up(bundle.manifest)):
            self.sweep(self.frames())
        self.idle = 0

    def frames(self) -> list[bytes]:
        """Make the next frame of each station, outside of what is timed."""
        return [stream.frame() for stream in self._streams]

    def sweep(self, frames: list[bytes]) -> None:
        """Take a frame of each station from bytes to decision."""
        for stream, frame in zip(self._streams, frames, strict=True):
            self._take(stream, frame)

    def take(self, frame: bytes) -> None:
        """Take one frame of the first station."""
        self._take(self._streams[0], frame)

    def _take(self, stream: Stream, frame: bytes) -> None:
        self._now_ms += 1
        for reading in stream.driver.receive(frame, self._now_ms):
            assert isinstance(reading, Reading)
            if not self._pipeline.receive(reading).scored:
                self.idle += 1

    def check(self) -> None:
        """Raise TalusError if readings led to nothing: their times would flatter."""
        if self.idle:
            raise TalusError(f"{self.idle} readings of the bench led to no scores: a fault of it")


def time_whole(bundle: Bundle, count: int, *, seed: int = 0) -> list[float]:
    """Return us a reading from frame bytes to decision, un-instrumented, ``count`` of them."""
    feed = Feed(bundle, seed)
    take, clock = feed.take, time.perf_counter_ns
    frames = [feed.frames()[0] for _ in range(count)]
    times = []
    with frozen():
        for frame in frames:
            began = clock()
            take(frame)
            times.append((clock() - began) / 1000)
    feed.check()
    return times


def time_stages(bundle: Bundle, count: int) -> list[StageTime]:
    """Return the time of each stage, by wrapping the methods of a live pipeline."""
    found, _ = time_parts(bundle, count)
    return found


def time_parts(bundle: Bundle, count: int) -> tuple[list[StageTime], Spread]:
    """Return the time of each stage, and what a reading costs between them."""
    stream = Stream(bundle.manifest)
    pipeline = Pipeline(bench_config(bundle.manifest), {"bench": bundle})
    now: dict[str, float] = {}
    _wrap(pipeline, stream, now)
    rows: dict[str, list[float]] = {stage: [] for stage in STAGES}
    seen: set[str] = set()
    between: list[float] = []
    skip = warm_up(bundle.manifest)
    frames = [stream.frame() for _ in range(skip + count)]
    with frozen():
        for i, frame in enumerate(frames):
            now.clear()
            began = time.perf_counter_ns()
            for reading in stream.driver.receive(frame, EPOCH_MS + i):
                assert isinstance(reading, Reading)
                if not i:  # it is made with the first reading of a layout
                    _put(pipeline.stations["bench"].calibrator(reading), "apply", "calibrate", now)
                pipeline.receive(reading)
            whole_us = (time.perf_counter_ns() - began) / 1000
            if i < skip:
                continue
            seen.update(now)
            between.append(max(0.0, whole_us - sum(now.values())))
            for stage in STAGES:
                rows[stage].append(now.get(stage, 0.0))
    found = [StageTime(name, spread(times), name in seen) for name, times in rows.items()]
    return found, spread(between)


def _wrap(pipeline: Pipeline, stream: Stream, now: dict[str, float]) -> None:
    station = pipeline.stations["bench"]
    watch = station.watch
    assert watch is not None
    _put(stream.driver, "receive", "decode", now)
    _put(watch, "observe", "grid", now)
    _put(watch.features, "push", "features", now)
    _put(watch.kinematics, "push", "kinematics", now)
    _put(watch.forecaster, "push", "gru", now)
    _put(watch.forecaster, "forecasts", "gru", now)
    for detector in watch.detectors:
        _put(detector, "push", "detectors", now)
    _put(station.alarm, "update", "alarm", now)
    _put(station.quality, "apply", "quality", now)


def _put(owner: Any, method: str, stage: str, now: dict[str, float]) -> None:
    setattr(owner, method, timed_call(getattr(owner, method), stage, now))
