"""The [[station]] tables of gateway.toml: channels, bundle, grid, alarm rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.parse_channels import ChannelConfig, parse_channel
from edge.parse_rain import NO_RAIN, RainConfig, parse_rain
from edge.parse_rules import parse_decision
from edge.rule import NO_RULES, Decision
from edge.site import SiteChannel, parse_site

if TYPE_CHECKING:
    from edge.calibration import ChannelPlan
    from edge.fields import Table

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
"""Names stand in MQTT topics and file names: no slash, no wildcard, no space."""


@dataclass(frozen=True, slots=True)
class AlarmConfig:
    """Alarm rules of a station (ISA-18.2). Set points are ratios to the bundle's thresholds.

    ``ceiling`` is the highest level that each kind of score may raise.
    """

    set_points: tuple[float, float, float, float]
    deadband: float
    on_delay_ms: int
    off_delay_ms: int
    ceiling: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class StationConfig:
    """One watched slope: its channels, bundle, grid and alarm rules.

    ``step_ms`` 0 takes the step of the bundle.
    """

    name: str
    bundle: str
    step_ms: int
    readings_per_step: int
    lateness_ms: int
    no_data_after_ms: int
    channels: tuple[ChannelConfig, ...]
    alarm: AlarmConfig
    decision: Decision = NO_RULES
    site: tuple[SiteChannel, ...] = ()
    rain: RainConfig = NO_RAIN
    fallback: tuple[str, ...] = ()
    """Bundles to be taken, in that order, where ``bundle`` came over MQTT and does not hold."""
    passed_over: tuple[str, ...] = ()
    """Why bundles that came over MQTT are not taken."""

    @property
    def plans(self) -> tuple[ChannelPlan, ...]:
        """The calibration plans, in channel order."""
        return tuple(channel.plan for channel in self.channels)


def checked_name(table: Table, key: str, default: str | None = None) -> str:
    """Read a name that may stand in a topic or file name."""
    name = table.text(key) if default is None else table.text(key, default)
    if name and not _NAME.match(name):
        table.wrong(key, f"{name!r}: letters, digits, '_', '.', '-' only, 64 at most")
    return name


def milliseconds(table: Table, key: str, default: float, *, low: float = 0.0) -> int:
    """Read a number of seconds, as ms."""
    return round(1000 * table.number(key, default, low=low, high=366 * 86400.0))


def parse_station(t: Table, *, site: bool) -> StationConfig:
    """Read one station; ``site``: for training, which needs its step and no bundle."""
    step_ms = milliseconds(t, "step_s", 0.0)
    if site and not step_ms:
        t.wrong("step_s", "needed for training: the grid step in seconds")
    channels = tuple(parse_channel(c) for c in t.tables("channel", at_least=1))
    decision = parse_decision(t.table("decision"), t.tables("rule"))
    alone = site or bool(decision.rules)  # rules watch without a model too
    bundle = t.text("bundle", "") if alone else t.text("bundle")
    if decision.rules and not bundle and not step_ms:
        t.wrong("step_s", "needed without a bundle: the grid step of the rules in seconds")
    station = StationConfig(
        name=checked_name(t, "name"),
        bundle=bundle,
        step_ms=step_ms,
        readings_per_step=t.integer("readings_per_step", 1, low=1, high=100_000),
        lateness_ms=milliseconds(t, "lateness_s", 0.0),
        no_data_after_ms=milliseconds(t, "no_data_after_s", 3600.0, low=0.1),
        channels=channels,
        alarm=_alarm(t.table("alarm")),
        decision=decision,
        site=parse_site(t.table("site"), tuple(channel.name for channel in channels)),
        rain=parse_rain(t.table("rain"), channels),
    )
    t.done()
    return station


def default_ceiling() -> tuple[tuple[str, int], ...]:
    """Return the highest level that each kind of score may raise unless configured."""
    levels = {
        "velocity": 4,
        "forecast": 4,
        "residual": 2,
        "baseline": 2,
        "autoencoder": 2,
        "pca": 2,
    }
    return tuple(levels.items())


def _alarm(t: Table) -> AlarmConfig:
    points = t.numbers("set_points", [1.0, 2.0, 4.0, 8.0], length=4)
    if list(points) != sorted(set(points)) or points[0] <= 0:
        t.wrong("set_points", "four rising values above 0, for levels 1 to 4")
    ceiling = t.table("max_level")
    kinds = default_ceiling()
    alarm = AlarmConfig(
        set_points=(points[0], points[1], points[2], points[3]),
        deadband=t.number("deadband", 0.2, low=0.0, high=0.95),
        on_delay_ms=milliseconds(t, "on_delay_s", 0.0),
        off_delay_ms=milliseconds(t, "off_delay_s", 86400.0),
        ceiling=tuple((k, ceiling.integer(k, level, low=0, high=4)) for k, level in kinds),
    )
    ceiling.done()
    t.done()
    return alarm
