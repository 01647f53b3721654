"""The table [train] of site.toml: what to learn from a history, and how long."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.config import Config, StationConfig, checked_name, load_config
from edge.fields import Mistakes, Table
from edge.manifest import MAX_SEASON_STEPS, MAX_STEPS, TRANSFORMS, Term

if TYPE_CHECKING:
    from pathlib import Path

_MOVING = ("displacement", "crack_width", "tilt")
_WATER = ("pore_pressure", "water_level")
_SEASONAL = ("temperature", "barometric_pressure", "battery_voltage")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How one station's models are trained. Lengths are in grid steps.

    ``calibration_share`` and ``test_share`` are the held-back ends of the history, in time order.
    ``folds`` and ``seeds`` are how often the gate judges; ``members`` is how many small GRUs
    vote in the one that ships. ``season_steps`` 0 means that no season is looked for;
    ``dropout`` is the share of inputs hidden in training. 0 in hidden, members, epochs, warm-up
    and sequence steps, and -1 in dropout, leave it to the length of the history. ``adapt_rate``
    is the learning rate of the intervals in the field, ``false_alarm_share`` the budget of the
    detectors' thresholds; ``detector_variants`` are the kinds of autoencoder to try.
    """

    name: str
    version: int
    station: str
    targets: tuple[str, ...]
    horizons: tuple[int, ...]
    quantiles: tuple[float, ...]
    hidden: int
    bottleneck: int
    window_steps: int
    sequence_steps: int
    warm_up_steps: int
    epochs: int
    seed: int
    folds: int
    seeds: int
    members: int
    season_steps: int
    dropout: float
    adapt_rate: float
    false_alarm_share: float
    detector_variants: tuple[str, ...]
    calibration_share: float
    test_share: float
    terms: tuple[Term, ...]
    features_given: bool


def load_site(path: Path, station: str = "") -> tuple[Config, TrainConfig]:
    """Read site.toml: a gateway.toml with [train]. Raises ConfigError naming every mistake."""
    config = load_config(path, site=True)
    mistakes = Mistakes(str(path))
    data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    table = Table(data.get("train", {}), "train", mistakes)
    found = _train(table, config, station)
    table.done()
    mistakes.raise_if_any()
    return config, found


def _train(t: Table, config: Config, station: str) -> TrainConfig:
    known = tuple(s.name for s in config.stations)
    chosen = t.text("station", known[0], choices=known)
    if station:
        chosen = config.station(station).name
    site = config.station(chosen if chosen in known else known[0])
    names = [channel.name for channel in site.channels]
    by_kind = [
        [channel.name for channel in site.channels if channel.quantity in kinds]
        for kinds in (_MOVING, _WATER)
    ]
    targets = t.texts("targets", by_kind[0] or by_kind[1])
    if not targets:
        t.wrong("targets", "name the channels to forecast (no displacement, tilt or water found)")
    if len(set(targets)) != len(targets):
        t.wrong("targets", "each channel once")
    for target in targets:
        if target not in names:
            t.wrong("targets", f"{target!r} is no channel of station {chosen}")
    steps = t.numbers("horizons", [1, 6, 36])
    horizons = tuple(int(h) for h in steps)
    rising = list(steps) == sorted(set(horizons))
    if not rising or horizons[:1] != (1,) or horizons[-1] > MAX_STEPS:
        t.wrong("horizons", f"rising whole steps, the first of them 1, {MAX_STEPS} at most")
    quantiles = t.numbers("quantiles", [0.05, 0.5, 0.95])
    if len(quantiles) % 2 == 0 or list(quantiles) != sorted(set(quantiles)):
        t.wrong("quantiles", "an odd number of rising values, the median between")
    if any(not 0 < q < 1 for q in quantiles):
        t.wrong("quantiles", "each between 0 and 1")
    return TrainConfig(
        name=checked_name(t, "name", chosen),
        version=t.integer("version", 1, low=1),
        station=chosen,
        targets=targets,
        horizons=horizons,
        quantiles=quantiles,
        hidden=t.integer("hidden", 0, low=0, high=256),
        bottleneck=t.integer("bottleneck", 8, low=1, high=256),
        window_steps=t.integer("window_steps", 16, low=2, high=512),
        sequence_steps=t.integer("sequence_steps", 0, low=0, high=4096),
        warm_up_steps=t.integer("warm_up_steps", 0, low=0, high=MAX_STEPS),
        epochs=t.integer("epochs", 0, low=0, high=10_000),
        seed=t.integer("seed", 1, high=2**31 - 1),
        folds=t.integer("folds", 3, low=1, high=20),
        seeds=t.integer("seeds", 3, low=1, high=20),
        members=t.integer("members", 0, low=0, high=16),
        season_steps=_season(t, site.step_ms),
        dropout=t.number("dropout", -1.0, low=-1.0, high=0.9),
        adapt_rate=t.number("adapt_rate", 0.02, low=0.0, high=0.5),
        false_alarm_share=t.number("false_alarm_share", 0.0005, low=1e-7, high=0.2),
        detector_variants=_variants(t),
        calibration_share=t.number("calibration_share", 0.2, low=0.05, high=0.45),
        test_share=t.number("test_share", 0.2, low=0.05, high=0.45),
        terms=_terms(t, site),
        features_given=t.has("feature"),
    )


def _variants(t: Table) -> tuple[str, ...]:
    """Return the kinds of autoencoder to try; PCA is always there."""
    known = ("dense", "conv", "gru")
    found = t.texts("detector_variants", list(known))
    if not found or any(v not in known for v in found) or len(set(found)) != len(found):
        t.wrong("detector_variants", f"one or more of {', '.join(known)}, each once")
    return found


def _season(t: Table, step_ms: int) -> int:
    """Return the season in steps: as given, else a year, else a day, where it can be kept."""
    days = t.number("season_days", -1.0, low=-1.0, high=3660.0)
    candidates = [days] if days >= 0 else [365.25, 1.0]
    for day in candidates:
        steps = round(day * 86_400_000 / max(step_ms, 1))
        if 2 <= steps <= MAX_SEASON_STEPS:
            return steps
    if days > 0:
        t.wrong("season_days", f"is not 2 to {MAX_SEASON_STEPS} steps of the station's step_s")
    return 0


def _terms(t: Table, site: StationConfig) -> tuple[Term, ...]:
    given = t.tables("feature")
    if not given:
        return default_terms(site)
    found = []
    names = [channel.name for channel in site.channels]
    for row in given:
        channel = row.text("channel")
        if channel not in names:
            row.wrong("channel", f"{channel!r} is no channel of station {site.name}")
        transform = row.text("transform", choices=TRANSFORMS)
        constant = row.number("time_constant_steps", 36.0, low=1.0, high=MAX_STEPS)
        found.append(Term(channel, transform, constant))
        row.done()
    return tuple(found)


def default_terms(site: StationConfig) -> tuple[Term, ...]:
    """Return the features that suit each quantity when the site names none."""
    found = []
    for channel in site.channels:
        name = channel.name
        if channel.quantity in _MOVING:
            found += [Term(name, "deviation", 6.0), Term(name, "deviation", 72.0)]
        elif channel.quantity == "rainfall":
            found += [Term(name, "level", 1.0), Term(name, "decayed_sum", 144.0)]
        elif channel.quantity in _SEASONAL:
            # Its level in training is a season: a level never seen must not steer the forecast.
            found += [Term(name, "deviation", 12.0), Term(name, "deviation", 144.0)]
        else:
            found += [Term(name, "level", 1.0), Term(name, "deviation", 72.0)]
    return tuple(found)
