"""What the bench feeds to the pipeline: a node with the channels of a bundle, and its gateway."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.calibration import ChannelPlan, Linear
from edge.config import (
    AlarmConfig,
    Config,
    RuntimeConfig,
    StationConfig,
    default_ceiling,
)
from edge.parse_channels import ChannelConfig
from edge.parse_mqtt import MqttConfig
from edge.parse_ports import PortConfig
from edge.quality import LATEST_MS, TimeRules
from edge.runtime import RUNTIMES
from edge.trust import ANY_SIGNER
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.framing import VERSION, Frame, encode
from firmware_bridge.messages import DATA
from firmware_bridge.reading import Channel, Quantity, Unit
from firmware_bridge.sim_node import SimulatedNode, describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.manifest import Manifest
    from firmware_bridge.layout import Layout

ANY_RUNTIME = RuntimeConfig(tuple(RUNTIMES), "auto")
EPOCH_MS = 1_700_000_000_000
MIN_WARM_UP = 100
"""Readings before any is timed, at least: caches, branch predictor and allocator settle."""


def demo_bundle() -> Path:
    """Return the folder of the bundle shipped with this package."""
    return Path(__file__).parent / "demo" / "bundle"


def warm_up(manifest: Manifest) -> int:
    """Return after how many readings every model of a bundle runs with each, and some more."""
    windows = [spec.window_steps for spec in manifest.detectors]
    return max(MIN_WARM_UP, 2 * max(manifest.forecaster.warm_up_steps, *windows, 0))


def longest(manifest: Manifest) -> int:
    """Return how many readings a stream has before its times leave what is believed."""
    return max(1, (LATEST_MS - EPOCH_MS) // manifest.step_ms - 1)


def bench_config(manifest: Manifest, stations: int = 1) -> Config:
    """Return the configuration of TW1 nodes that send every channel of a bundle, a station each."""
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
    names = station_names(stations)
    return Config(
        name="bench", folder=Path(), data_dir=Path(), capture="", telemetry_every_ms=1000,
        health_every_ms=60_000, snapshot_every_ms=60_000, reference_max_age_ms=3_600_000,
        outbox_max_bytes=1 << 20, outbox_max_days=30, mqtt=mqtt, runtime=ANY_RUNTIME,
        trust=ANY_SIGNER, ports=tuple(replace(port, name=name) for name in names),
        stations=tuple(
            replace(station, name=name, channels=tuple(replace(c, port=name) for c in channels))
            for name in names
        ),
    )  # fmt: skip


def station_names(stations: int) -> tuple[str, ...]:
    """Name stations; each has a port of the same name."""
    return ("bench",) if stations == 1 else tuple(f"bench{i}" for i in range(stations))


class Stream:
    """TW1 frames of a node with the channels of a bundle, and the driver that reads them."""

    def __init__(self, manifest: Manifest, seed: int = 0, port: str = "bench") -> None:
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
        self.driver = Tw1Driver(port, clock="node", epoch_ms=EPOCH_MS)
        self.driver.opened(EPOCH_MS)
        # The node itself, with the samples that it keeps, is none of the gateway's memory.
        self._layout, self._boot = self._interview(SimulatedNode(describe(channels)))
        self._index = 0

    def _interview(self, node: SimulatedNode) -> tuple[Layout, int]:
        now_ms = EPOCH_MS
        while self.driver.layout is None:
            now_ms += 1000
            answer = node.receive(self.driver.write_next(now_ms))
            self.driver.receive(answer, now_ms)
        return node.layout, node.boot

    def frame(self) -> bytes:
        """Give the next frame: a grid step further, so that every reading runs every model."""
        row = self._mean + 0.2 * self._sd * self._random.standard_normal(len(self._mean))
        t_us = self._index * self._step_us
        payload = self._layout.pack(self._index, t_us, [float(v) for v in row])
        self._index += 1
        return encode(Frame(VERSION, 0, DATA, self._index % 65_536, self._boot, payload))

    def frames(self, count: int) -> Iterator[bytes]:
        """Give the next frames."""
        for _ in range(count):
            yield self.frame()
