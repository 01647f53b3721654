"""History into training arrays, through the very calibration, grid and features of the gateway."""

from __future__ import annotations

import hashlib
from array import array
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
from firmware_bridge.capture import ClockSet, Maintained, Ordered
from firmware_bridge.reading import Dropped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge.config import Config
    from edge.manifest import Term
    from firmware_bridge.reading import Reading

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
_MIN_STEPS = 48
"""Four years of months, or a year and a half of 11-day satellite passes: slopes are measured so."""
_MIN_WHOLE = 24
"""Steps of the training part with every feature known: fewer fit not even mean and spread."""
_MAX_VALUES = 50_000_000
"""Steps times channels, 400 MB: 20 channels every minute for five years."""
_SMALLER = "take less of it (--until, fewer files) or a larger step_s"
_SAME_TIME = "same_time"
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
    same_time: int = 0
    """Rows with other values than a row of the same time and port; both are in their step."""


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
    latest: dict[str, Reading] = {}
    for item in recorded(config, sources):
        if isinstance(item, Dropped):
            rejected[item.reason] += 1
            continue
        if isinstance(item, ClockSet | Maintained | Ordered):
            continue
        same = (item.source, item.time_ms, item.values)
        if same == before:  # files that overlap, or a logger that wrote a row twice
            rejected["duplicate"] += 1
            continue
        before = same
        if _contradicts(latest.get(item.source), item):
            rejected[_SAME_TIME] += 1
        latest[item.source] = item
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


def _contradicts(before: Reading | None, item: Reading) -> bool:
    """Whether a row gives another value of a column at the very time of the row before."""
    if before is None or before.time_ms != item.time_ms or before.channels != item.channels:
        return False
    pairs = zip(before.values, item.values, strict=True)
    return any(a != b and a == a and b == b for a, b in pairs)


def load_history(
    config: Config, station: str, sources: list[str], until_ms: int | None = None
) -> History:
    """Read the history of one station. Raises TalusError when there is too little of it."""
    rejected: Counter[str] = Counter()
    try:
        times, values, reset = _gather(config, station, sources, until_ms, rejected)
    except MemoryError:
        raise TalusError(f"the history of {station!r} is larger than memory: {_SMALLER}") from None
    same_time = rejected.pop(_SAME_TIME, 0)
    if len(times) < _MIN_STEPS:
        lost = "".join(f"; rejected: {r}: {n}{advice(r)}" for r, n in sorted(rejected.items()))
        empty = "" if len(times) or rejected else f"; no row in {', '.join(sources)}"
        raise TalusError(
            f"{len(times)} grid steps of {station!r} in the history; "
            f"{_MIN_STEPS} needed{empty}{lost}"
        )
    channels = tuple(channel.name for channel in config.station(station).channels)
    for i, name in enumerate(channels):
        if np.isnan(values[:, i]).all():
            column = config.station(station).channels[i].plan.column
            raise TalusError(
                f"channel {name!r} has no value in the whole history: is there a column "
                f"{column!r}, and does it lie inside low and high? Else leave the channel out"
            )
    late = rejected["time_backwards"] + int((times < np.maximum.accumulate(times)).sum())
    if late > _MOST_BACKWARDS * (len(times) + late):
        raise TalusError("many rows are of a time before the row above: sort each file by time")
    digest = hashlib.sha256(times.tobytes() + values.tobytes()).hexdigest()
    return History(
        times, values, reset, channels, digest, tuple(sorted(rejected.items())), same_time
    )


def _gather(
    config: Config,
    station: str,
    sources: list[str],
    until_ms: int | None,
    rejected: Counter[str],
) -> tuple[npt.NDArray[np.int64], Floats, Flags]:
    """Read the steps of one station into flat arrays, 8 bytes a value, up to _MAX_VALUES."""
    channels = len(config.station(station).channels)
    times, values, reset = array("q"), array("d"), bytearray()
    for o in observe(config, sources, rejected):
        if o.station != station or (until_ms is not None and o.time_ms >= until_ms):
            continue
        if len(values) >= _MAX_VALUES:
            raise TalusError(
                f"more than {len(times)} steps x {channels} channels of {station!r} in the "
                f"history: {_SMALLER}"
            )
        times.append(o.time_ms)
        values.extend(o.values)
        reset.append(o.reset)
    return (
        np.array(times, dtype=np.int64),
        np.array(values).reshape(-1, channels),
        np.array(reset, dtype=bool),
    )


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
    if len(part) < _MIN_WHOLE:
        raise TalusError(
            f"{len(part)} steps of the training part have every feature known; {_MIN_WHOLE} "
            "needed: see the gaps of each channel, or leave out the one with most"
        )
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
