"""An existing bundle over a history it has not seen: the very classes of the gateway, judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.grid import Observation
from edge.watch import Watch
from export.models import gate, windows
from export.models.folds import folds
from export.models.naives import drifts, naive_forecasts
from export.quality.interpolated import interpolated

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.config import StationConfig
    from export.history import Floats, History

_FOLDS = 3


@dataclass(frozen=True, slots=True)
class Replayed:
    """``over`` are (kind, armed, share of its scores that reached the threshold)."""

    skills: tuple[gate.Skill, ...]
    verdict: gate.Verdict
    over: tuple[tuple[str, bool, float], ...]
    steps: int


def replay_bundle(
    bundle: Bundle, station: StationConfig, history: History, since_ms: int
) -> Replayed:
    """Stream a history through a bundle and judge it on the steps from ``since_ms`` on.

    What comes before only warms it up. The rivals' drift is the one in the bundle.
    """
    spec = bundle.manifest.forecaster
    median, over = _stream(bundle, station, history, since_ms)
    labels = windows.increments(history, spec.targets, spec.horizons)
    first = int(np.searchsorted(history.time_ms, since_ms))
    steps = len(history.time_ms) - first
    drift = spec.baseline.drift if first == 0 else drifts(labels, slice(0, first))
    naive = naive_forecasts(history, spec.targets, spec.horizons, drift, spec.baseline.season_steps)
    blocks = folds(len(history.time_ms), steps / len(history.time_ms), _FOLDS, 0)
    skills = gate.forecast_skill(median, labels, naive, blocks, spec.targets, spec.horizons)
    verdict = gate.judge_forecaster(skills, spec.targets, spec.horizons[-1], interpolated(history))
    return Replayed(skills, verdict, over, steps)


def _stream(
    bundle: Bundle, station: StationConfig, history: History, since_ms: int
) -> tuple[Floats, tuple[tuple[str, bool, float], ...]]:
    """Return the medians float64[1, steps, targets, horizons], and how often scores were over."""
    m = bundle.manifest
    watch = Watch(station, bundle)
    take = [history.channels.index(name) for name in watch.channels]
    shape = (len(m.forecaster.targets), len(m.forecaster.horizons))
    median = np.full((1, len(history.time_ms), *shape), np.nan)
    seen: Counter[tuple[str, bool]] = Counter()
    over: Counter[tuple[str, bool]] = Counter()
    for i, values in enumerate(history.values[:, take].tolist()):
        time_ms = int(history.time_ms[i])
        row = Observation(station.name, time_ms, tuple(values), bool(history.reset[i]))
        scored = watch.score(row)
        if time_ms < since_ms:
            continue
        found = [f.values[len(f.values) // 2] for f in watch.forecaster.forecasts()]
        if found:
            median[0, i] = np.array(found).reshape(shape)
        for score in scored.scores:
            key = score.kind, score.armed
            seen[key] += 1
            over[key] += score.ratio >= 1.0
    shares = tuple((kind, armed, over[kind, armed] / n) for (kind, armed), n in seen.items())
    return median, shares
