"""History into training arrays, through the very calibration, grid and features of the gateway."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge.calibration import Board, full_name, referenced
from edge.errors import TalusError
from edge.features import Features
from edge.grid import Grid, Observation
from edge.manifest import FeatureSpec
from edge.quality import TimeGate
from edge.replay import recorded
from edge.station import Station
from firmware_bridge.capture import ClockSet
from firmware_bridge.reading import Dropped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge.config import Config
    from edge.manifest import Term

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
_MIN_STEPS = 200
_MAX_HOLD_STEPS = 12
_CLIP = 8.0
_MOST_BACKWARDS = 0.02
"""A history of which more is out of order is not sorted, and what is left of it is no history."""


@dataclass(frozen=True, slots=True)
class History:
    """One station on its grid: values float64[steps, channels] (NaN missing), breaks marked."""

    time_ms: npt.NDArray[np.int64]
    values: Floats
    reset: Flags
    channels: tuple[str, ...]
    sha256: str
    rejected: tuple[tuple[str, int], ...]


def observe(
    config: Config, sources: Iterable[str], rejected: Counter[str]
) -> Iterator[Observation]:
    """Give the grid steps of every station that the sources hold, as the gateway would."""
    board = Board(config.reference_max_age_ms)
    shared = frozenset(
        full_name(s.name, name)
        for s in config.stations
        for channel in s.channels
        for name in referenced(channel.plan.stages)
    )
    stations = [Station(s, "history", board, shared) for s in config.stations]
    grids = {
        s.name: Grid(
            s.name,
            s.step_ms,
            tuple(channel.aggregate for channel in s.channels),
            readings_per_step=s.readings_per_step,
            lateness_ms=s.lateness_ms,
        )
        for s in config.stations
    }
    gates = {p.name: TimeGate(replace(p.time, max_skew_ms=0)) for p in config.ports}
    before: object = None
    for item in recorded(config, sources):
        if isinstance(item, Dropped):
            rejected[item.reason] += 1
            continue
        if isinstance(item, ClockSet):
            continue
        same = (item.source, item.time_ms, item.values)
        if same == before:  # files that overlap, or a logger that wrote a row twice
            rejected["duplicate"] += 1
            continue
        before = same
        verdict = gates[item.source].check(item.time_ms, item.received_ms)
        if verdict.reason:
            rejected[verdict.reason] += 1
            continue
        for station in stations:
            if item.source in station.ports:
                if verdict.rebased:
                    yield from grids[station.name].rebase()
                yield from grids[station.name].push(item.time_ms, station.calibrate(item))
    for station in stations:
        for (channel, reason), count in station.rejected.items():
            rejected[f"{station.name}/{channel} {reason}"] += count
        yield from grids[station.name].rebase()


def load_history(
    config: Config, station: str, sources: list[str], until_ms: int | None = None
) -> History:
    """Read the history of one station. Raises TalusError when there is too little of it."""
    rejected: Counter[str] = Counter()
    steps = [o for o in observe(config, sources, rejected) if o.station == station]
    if until_ms is not None:
        steps = [o for o in steps if o.time_ms < until_ms]
    if len(steps) < _MIN_STEPS:
        lost = "".join(f"; rejected: {r}: {n}{advice(r)}" for r, n in sorted(rejected.items()))
        raise TalusError(
            f"{len(steps)} grid steps of {station!r} in the history; {_MIN_STEPS} needed{lost}"
        )
    values = np.array([o.values for o in steps])
    channels = tuple(channel.name for channel in config.station(station).channels)
    for i, name in enumerate(channels):
        if np.isnan(values[:, i]).all():
            column = config.station(station).channels[i].plan.column
            raise TalusError(
                f"channel {name!r} has no value in the whole history: is there a column "
                f"{column!r}, and does it lie inside low and high? Else leave the channel out"
            )
    times = np.array([o.time_ms for o in steps], dtype=np.int64)
    late = rejected["time_backwards"] + int((times < np.maximum.accumulate(times)).sum())
    if late > _MOST_BACKWARDS * (len(times) + late):
        raise TalusError("many rows are of a time before the row above: sort each file by time")
    reset = np.array([o.reset for o in steps])
    digest = hashlib.sha256(times.tobytes() + values.tobytes()).hexdigest()
    return History(times, values, reset, channels, digest, tuple(sorted(rejected.items())))


def known_share(history: History) -> list[tuple[str, float]]:
    """Return (channel, share of steps with a value) of each channel that has gaps."""
    shares = 1.0 - np.isnan(history.values).mean(axis=0)
    return [(n, float(s)) for n, s in zip(history.channels, shares, strict=True) if s < 1.0]


def advice(reason: str) -> str:
    """Return what a person can do about readings rejected for a reason, "" for nothing known."""
    known = {
        "time_backwards": "rows out of order: sort each file by time",
        "time_range": "no year of ours: times are ISO 8601 or milliseconds since 1970",
        "time_jump": "a jump in time beyond max_jump_s of the port",
    }
    return f" ({known[reason]})" if reason in known else ""


def fit_features(terms: tuple[Term, ...], history: History, train_end: int) -> FeatureSpec:
    """Return the feature set, standardised on the training part alone."""
    n = len(terms)
    raw = FeatureSpec(terms, (0.0,) * n, (1.0,) * n, 1e6, _MAX_HOLD_STEPS)
    x, known = feature_rows(raw, history)
    part = x[:train_end][known[:train_end]].astype(np.float64)
    if len(part) < _MIN_STEPS // 2:
        raise TalusError("too few whole steps in the training part: see the gaps of each channel")
    mean, sd = part.mean(axis=0), part.std(axis=0)
    # A feature that never moved in training must not explode in the field: its sd is floored.
    floor = np.maximum(1e-3 * np.abs(mean), 1e-6)
    sd = np.maximum(sd, floor)
    return FeatureSpec(terms, tuple(mean.tolist()), tuple(sd.tolist()), _CLIP, _MAX_HOLD_STEPS)


def feature_rows(spec: FeatureSpec, history: History) -> tuple[Singles, Flags]:
    """Return float32[steps, features] and which rows are known (others are zeros)."""
    features = Features(spec, history.channels)
    rows = np.zeros((len(history.values), len(spec.terms)), dtype=np.float32)
    known = np.zeros(len(rows), dtype=bool)
    for i, values in enumerate(history.values):
        if history.reset[i]:
            features.reset()
        x = features.push(values.tolist())
        if x is not None:
            rows[i] = x
            known[i] = True
    return rows, known
