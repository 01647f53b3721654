"""The table [train] of site.toml: what to learn from a history, and how long."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.config import Config, StationConfig, checked_name, load_config
from edge.fields import Mistakes, Table
from edge.manifest import MAX_STEPS, TRANSFORMS, Term

if TYPE_CHECKING:
    from pathlib import Path

_MOVING = ("displacement", "crack_width", "tilt")
_WATER = ("pore_pressure", "water_level")
_SEASONAL = ("temperature", "barometric_pressure", "battery_voltage")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How one station's models are trained. Lengths are in grid steps.

    ``calibration_share`` and ``test_share`` are the held-back ends of the history, in time order.
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
    calibration_share: float
    test_share: float
    terms: tuple[Term, ...]


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
    quantiles = t.numbers("quantiles", [0.1, 0.5, 0.9])
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
        hidden=t.integer("hidden", 32, low=4, high=256),
        bottleneck=t.integer("bottleneck", 8, low=1, high=256),
        window_steps=t.integer("window_steps", 16, low=2, high=512),
        sequence_steps=t.integer("sequence_steps", 96, low=8, high=4096),
        warm_up_steps=t.integer("warm_up_steps", 24, low=1, high=MAX_STEPS),
        epochs=t.integer("epochs", 30, low=1, high=10_000),
        seed=t.integer("seed", 1, high=2**32 - 1),
        calibration_share=t.number("calibration_share", 0.2, low=0.05, high=0.45),
        test_share=t.number("test_share", 0.2, low=0.05, high=0.45),
        terms=_terms(t, site),
    )


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
