"""The demo's slope and bundle, and bundles that are not as good, for trials without a gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import Bundle, load_bundle
from edge.config import Config, load_config
from edge.pipeline import Pipeline
from edge.trial import Trial
from edge.trust import ANY_SIGNER
from export.slope import CHANNELS, generate
from firmware_bridge.reading import Reading

BUNDLE = load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)
HOUR_MS = 3_600_000
START = 300
"""The reading at which a trial begins: the other bundle is warm by then."""


class Bent:
    """The GRU of the demo, with something done to what it gives."""

    runtime = "bent"

    def __init__(self, bend: Callable[[Any], Any]) -> None:
        self._model, self._bend = BUNDLE.forecaster.model, bend

    def step(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        y, following = self._model.step(x, state)
        return self._bend(y), following


def bent(bend: Callable[[Any], Any]) -> Bundle:
    return replace(BUNDLE, forecaster=replace(BUNDLE.forecaster, model=Bent(bend)))


def jumpy() -> Bundle:
    """Sound models whose thresholds are far too low."""
    spec = BUNDLE.manifest.forecaster
    low = replace(spec, rate_reference=(0.001,) * len(spec.rate_reference))
    return replace(BUNDLE, manifest=replace(BUNDLE.manifest, forecaster=low))


def frozen() -> Bundle:
    """A model that gives for ever what it gave first, with nothing added to it."""
    first: list[Any] = []

    def freeze(y: Any) -> Any:
        first.append(y)
        return first[0].copy()

    spec = replace(BUNDLE.manifest.forecaster, anchors=("persistence",) * 6)
    return replace(bent(freeze), manifest=replace(BUNDLE.manifest, forecaster=spec))


@cache
def config() -> Config:
    return load_config(demo_bundle().parent / "gateway.toml")


@cache
def readings(failure_day: float = 30.0, days: float = 6.0) -> tuple[Reading, ...]:
    slope = generate(days, seed=7, failure_day=failure_day)
    rows = zip(slope.time_ms.tolist(), slope.values.tolist(), strict=True)
    return tuple(
        Reading("node", t, i, CHANNELS, tuple(row), 1_704_067_200_000 + i * 600_000)
        for i, (t, row) in enumerate(rows)
    )


def saved(pipeline: Pipeline) -> dict[str, Any]:
    return dict(json.loads(json.dumps(pipeline.snapshot(), allow_nan=False)))


def begin(pipeline: Pipeline, bundle: Bundle, hours: float) -> Trial:
    station = pipeline.stations["slope"]
    station.trial = Trial(station.config, bundle, round(hours * HOUR_MS), station.watch)
    return station.trial


def tried(
    bundle: Bundle, hours: float = 24.0, rows: tuple[Reading, ...] = (), start: int = START,
    settings: Config | None = None, watched: Bundle | str = BUNDLE,
) -> Trial:  # fmt: skip
    """Give a trial at its end, or when there are no more readings."""
    pipeline = Pipeline(settings or config(), {"slope": watched})
    for reading in (rows or readings())[:start]:
        pipeline.receive(reading)
    trial = begin(pipeline, bundle, hours)
    for reading in (rows or readings())[start:]:
        pipeline.receive(reading)
        if trial.verdict is not None:
            break
    return trial
