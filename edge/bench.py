"""How long each stage takes here, from bytes in to decision, and each runtime beside it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.bundle import load_bundle
from edge.calibration import ChannelPlan, Linear
from edge.config import (
    AlarmConfig,
    Config,
    RuntimeConfig,
    StationConfig,
    default_ceiling,
)
from edge.errors import BundleError, RuntimeMissingError
from edge.parse_channels import ChannelConfig
from edge.parse_mqtt import MqttConfig
from edge.parse_ports import PortConfig
from edge.pipeline import Pipeline
from edge.quality import TimeRules
from edge.runtime import RUNTIMES, Singles, installed, load
from edge.trust import ANY_SIGNER
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.reading import Channel, Quantity, Reading, Unit
from firmware_bridge.sim_node import SimulatedNode, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.bundle import Bundle
    from edge.manifest import Artifact, DetectorSpec, ForecasterSpec, Manifest

ANY_RUNTIME = RuntimeConfig(tuple(RUNTIMES), "auto")
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
_EPOCH_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class StageTime:
    """Time of one stage, us a reading."""

    name: str
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class ModelTime:
    """Time of one artifact in one runtime, us a step: ``Model.step``, and ``invoke`` alone."""

    model: str
    file: str
    runtime: str
    step_p50_us: float
    step_p99_us: float
    invoke_p50_us: float
    refused: str = ""


def demo_bundle() -> Path:
    """Return the folder of the bundle shipped with this package."""
    return Path(__file__).parent / "demo" / "bundle"


def bench_config(manifest: Manifest) -> Config:
    """Return the configuration of one TW1 node that sends every channel of a bundle."""
    ceiling = default_ceiling()
    alarm = AlarmConfig((1.0, 2.0, 4.0, 8.0), 0.2, 0, 86_400_000, ceiling)
    channels = tuple(
        ChannelConfig(
            spec.name, "bench", spec.quantity, spec.unit, spec.aggregate,
            ChannelPlan(spec.name, spec.name, (Linear(1.0, 0.0),), -1e9, 1e9),
        )
        for spec in manifest.channels
    )  # fmt: skip
    station = StationConfig("bench", "", 0, 1, 0, 366 * 86_400_000, channels, alarm)
    rules = TimeRules(0, 366 * 86_400_000, 0)
    port = PortConfig("bench", "none", 115_200, "tw1", "node", None, rules)
    mqtt = MqttConfig("localhost", 1883, "talus", 15, "", "", "", "", "")
    return Config(
        name="bench", folder=Path(), data_dir=Path(), capture="", telemetry_every_ms=1000,
        health_every_ms=60_000, snapshot_every_ms=60_000, reference_max_age_ms=3_600_000,
        outbox_max_bytes=1 << 20, outbox_max_days=30, mqtt=mqtt, runtime=ANY_RUNTIME,
        trust=ANY_SIGNER, ports=(port,), stations=(station,),
    )  # fmt: skip


class Stream:
    """TW1 frames of a node with the channels of a bundle, and the driver that reads them."""

    def __init__(self, manifest: Manifest, seed: int = 0) -> None:
        self._step_us = manifest.step_ms * 1000
        self._random = np.random.default_rng(seed)
        f = manifest.features
        names = [spec.name for spec in manifest.channels]
        self._mean, self._sd = np.zeros(len(names)), np.ones(len(names))
        for term, mean, sd in zip(f.terms, f.mean, f.sd, strict=True):
            place = names.index(term.channel)
            if term.transform == "level":
                self._mean[place] = mean
            self._sd[place] = min(self._sd[place], sd)
        spread = math.inf
        channels = [
            Channel(name, Quantity.OTHER, Unit.RAW, -spread, spread, 1000) for name in names
        ]
        self._node = SimulatedNode(describe(channels))
        self.driver = Tw1Driver("bench", clock="node", epoch_ms=_EPOCH_MS)
        self.driver.opened(_EPOCH_MS)
        self._interview()
        self._t_us = 0

    def _interview(self) -> None:
        now_ms = _EPOCH_MS
        while self.driver.layout is None:
            now_ms += 1000
            answer = self._node.receive(self.driver.write_next(now_ms))
            self.driver.receive(answer, now_ms)

    def frames(self, count: int) -> Iterator[bytes]:
        """Give the next frames."""
        for _ in range(count):
            row = self._mean + 0.2 * self._sd * self._random.standard_normal(len(self._mean))
            yield self._node.sample([float(v) for v in row], self._t_us)[0]
            self._t_us += self._step_us


def time_whole(bundle: Bundle, count: int, *, seed: int = 0) -> list[float]:
    """Return us a reading from frame bytes to decision, un-instrumented, ``count`` of them."""
    stream = Stream(bundle.manifest, seed)
    pipeline = Pipeline(bench_config(bundle.manifest), {"bench": bundle})
    receive, take, clock = stream.driver.receive, pipeline.receive, time.perf_counter_ns
    times = []
    for i, frame in enumerate(list(stream.frames(count))):
        began = clock()
        for reading in receive(frame, _EPOCH_MS + i):
            assert isinstance(reading, Reading)
            take(reading)
        times.append((clock() - began) / 1000)
    return times


def time_stages(bundle: Bundle, count: int) -> list[StageTime]:
    """Return the time of each stage, by wrapping the methods of a live pipeline."""
    stream = Stream(bundle.manifest)
    pipeline = Pipeline(bench_config(bundle.manifest), {"bench": bundle})
    station = pipeline.stations["bench"]
    watch = station.watch
    assert watch is not None
    now: dict[str, float] = {}

    def timed(owner: Any, method: str, stage: str) -> None:
        inner: Callable[..., Any] = getattr(owner, method)

        def outer(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter_ns()
            try:
                return inner(*args, **kwargs)
            finally:
                now[stage] = now.get(stage, 0.0) + (time.perf_counter_ns() - began) / 1000

        setattr(owner, method, outer)

    timed(stream.driver, "receive", "decode")
    timed(watch, "observe", "grid")
    timed(watch.features, "push", "features")
    timed(watch.kinematics, "score_one", "kinematics")
    timed(watch.forecaster, "score_one", "gru")
    timed(watch.forecaster, "forecasts", "gru")
    for detector in watch.detectors:
        timed(detector, "score_one", "detectors")
    timed(station.alarm, "update", "alarm")
    timed(station.quality, "apply", "quality")
    rows: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for i, frame in enumerate(list(stream.frames(count))):
        now.clear()
        for reading in stream.driver.receive(frame, _EPOCH_MS + i):
            assert isinstance(reading, Reading)
            if not i:  # it is made with the first reading of a layout
                timed(station.calibrator(reading), "apply", "calibrate")
            pipeline.receive(reading)
        for stage in STAGES:
            rows[stage].append(now.get(stage, 0.0))
    return [StageTime(name, *_percentiles(times)) for name, times in rows.items()]


def time_models(folder: Path, manifest: Manifest, count: int) -> list[ModelTime]:
    """Return the time of every artifact in every runtime installed that reads its format."""
    found: list[ModelTime] = []
    models: tuple[tuple[str, ForecasterSpec | DetectorSpec], ...] = (
        ("gru", manifest.forecaster),
        *((spec.name, spec) for spec in manifest.detectors),
    )
    for name, spec in models:
        for artifact in spec.artifacts:
            fitting = [r for r in installed() if RUNTIMES[r] == artifact.format]
            found += [_time_model(name, folder, artifact, r, manifest, count) for r in fitting]
    return found


def _time_model(
    name: str, folder: Path, artifact: Artifact, runtime: str, manifest: Manifest, count: int
) -> ModelTime:
    try:
        model = load(folder / artifact.file, runtime)
    except RuntimeMissingError as error:
        return ModelTime(name, artifact.file, runtime, 0.0, 0.0, 0.0, str(error))
    size = len(manifest.features.terms)
    shape: tuple[int, ...] = (1, size)
    state: Singles | None = np.zeros((1, manifest.forecaster.hidden), np.float32)
    if name != "gru":
        window = next(d.window_steps for d in manifest.detectors if d.name == name)
        shape, state = (1, window, size), None
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    clock = time.perf_counter_ns
    steps, bare = [], []
    # Alternating, so that whatever else this machine does falls on both alike.
    for _ in range(count):
        began = clock()
        _, following = model.step(x, state)
        between = clock()
        model.invoke()
        ended = clock()
        steps.append((between - began) / 1000)
        bare.append((ended - between) / 1000)
        if state is not None and following is not None:
            state = following
    return ModelTime(name, artifact.file, runtime, *_percentiles(steps), _percentiles(bare)[0])


def _percentiles(times: list[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


def report(folder: Path, count: int) -> Iterator[str]:
    """Give the lines that ``talus bench`` prints: every stage in every runtime, every artifact."""
    import os

    node = os.uname()
    m = load_bundle(folder, ANY_RUNTIME, ANY_SIGNER).manifest
    yield f"{node.nodename} {node.machine} {node.sysname} {node.release}, {os.cpu_count()} CPUs"
    yield f"{m.label}: {len(m.channels)} channels, {len(m.features.terms)} features"
    for runtime in installed():
        yield ""
        try:
            bundle = load_bundle(folder, RuntimeConfig((runtime,), "auto"), ANY_SIGNER)
            yield from _stage_lines(bundle, count)
        except BundleError as error:
            yield f"{runtime}: {error}"
    yield ""
    head = f"{'model':<12} {'artifact':<28} {'runtime':<12}"
    yield head + "".join(f" {title:>8}" for title in ("p50 us", "p99 us", "invoke"))
    for row in time_models(folder, m, count):
        what = f"{row.model:<12} {row.file:<28} {row.runtime:<12}"
        if row.refused:
            yield f"{what} cannot run it: {_first_sentence(row.refused)}"
        else:
            numbers = (row.step_p50_us, row.step_p99_us, row.invoke_p50_us)
            yield what + "".join(f" {n:>8.1f}" for n in numbers)


def _first_sentence(refused: str) -> str:
    return refused.partition(": ")[2].partition(". ")[0][:100] or refused


def _stage_lines(bundle: Bundle, count: int) -> Iterator[str]:
    loaded = bundle.forecaster
    p50, p99 = _percentiles(time_whole(bundle, count))
    yield f"{loaded.runtime:<18} {'p50 us':>9} {'p99 us':>9} {'share':>6}   {loaded.artifact.file}"
    stages = time_stages(bundle, count)
    total = sum(stage.p50_us for stage in stages)
    for stage in stages:
        share = f"{stage.p50_us / total:.0%}"
        yield f"{stage.name:<18} {stage.p50_us:>9.1f} {stage.p99_us:>9.1f} {share:>6}"
    yield f"{'bytes to decision':<18} {p50:>9.1f} {p99:>9.1f}          as a whole, stages not timed"
