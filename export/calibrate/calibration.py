"""From a site's history to its numbers, its set points, and how these would have done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge.decide import MOVING
from edge.errors import TalusError
from edge.fields import Mistakes
from edge.movement_plan import BASE_WINDOW_MS, LEAST_STEPS
from edge.parse_rules import PROFILES, profile_rules
from edge.rule import Decision, Rule
from edge.site import SiteChannel
from export.calibrate.channel import Measured, measure
from export.calibrate.digits import shown
from export.calibrate.groups import YEAR_D, Group, make_groups
from export.calibrate.rehearsal import Rehearsed, rehearse
from export.calibrate.track import read_tracks

if TYPE_CHECKING:
    from edge.config import Config, StationConfig
    from export.progress import Bars

LEAST_DAYS = 14.0
"""Noise and steady speed of less are guesses."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `talus-export calibrate` found."""

    station: str
    profile: str
    budgets: tuple[float, ...]
    days: float
    """Of the history, first to last reading."""
    channels: tuple[Measured, ...]
    site: tuple[SiteChannel, ...]
    groups: tuple[Group, ...]
    profile_alone: Rehearsed
    together: Rehearsed
    """With the profile's rules, the station's own and the new ones."""

    @property
    def years(self) -> float:
        """Return for how long a velocity was known."""
        return self.together.days / YEAR_D


def calibrate(
    config: Config,
    name: str,
    sources: list[str],
    *,
    budgets: tuple[float, ...],
    profile: str = "",
    until_ms: int | None = None,
    bars: Bars,
) -> Calibration:
    """Calibrate one station. Raises TalusError where its history does not allow it."""
    station = config.station(name)
    _check(station)
    tracks = read_tracks(config, name, sources, until_ms)
    bars.stage("channels", len(tracks))
    channels = measure(tracks, bars.step)
    _refuse(channels)
    for each in channels:
        for why in each.why:
            bars.note(f"  {each.track.name}: left out: {why}")
    site = tuple(s for m in channels if (s := _settings(m)) is not None)
    readings = max(t.count for t in tracks) * len({c.port for c in station.channels})
    decision = _decision(station, profile)
    window_ms = max(BASE_WINDOW_MS, LEAST_STEPS * station.step_ms)

    def run(title: str, rules: tuple[Rule, ...]) -> Rehearsed:
        bars.stage(title, max(1, readings // 2000))
        taken = replace(station, site=site, decision=Decision(rules, 5, decision.profile))
        return rehearse(
            config, taken, sources, window_ms=window_ms, until_ms=until_ms,
            step=lambda _: bars.step(""),
        )  # fmt: skip

    before = run("replay, profile", decision.rules)
    if before.days <= 0.0:
        raise TalusError("no velocity in the whole history: are there gaps of days all over it?")
    groups = make_groups(before, channels, budgets, station.step_ms)
    new = tuple(rule for group in groups for rule in group.rules)
    names = {rule.name for rule in new}
    after = run("replay, set points", (*(r for r in decision.rules if r.name not in names), *new))
    return Calibration(
        name, decision.profile, budgets, max(t.days for t in tracks), channels, site, groups,
        before, after,
    )  # fmt: skip


def _check(station: StationConfig) -> None:
    if not station.step_ms:
        raise TalusError(f"station {station.name}: step_s is needed, the grid step in seconds")
    if not any(channel.quantity in MOVING for channel in station.channels):
        have = ", ".join(f"{c.name} ({c.quantity})" for c in station.channels)
        raise TalusError(
            f"station {station.name} has no channel of {', '.join(MOVING)}, so no speed to set "
            f"points for; it has: {have}"
        )


def _refuse(channels: tuple[Measured, ...]) -> None:
    moving = [m for m in channels if m.moving]
    days = max(m.track.days for m in moving)
    if days < LEAST_DAYS:
        raise TalusError(
            f"the history is {days:.3g} days long: {LEAST_DAYS:g} are needed for noise and steady "
            "speed, a year for seasons, and 3 / budget years to show that a budget is kept"
        )
    if not any(m.usable for m in moving):
        why = "\n  ".join(f"{m.track.name}: {w}" for m in moving for w in m.why)
        raise TalusError(f"no channel of movement can be calibrated:\n  {why}")


def _decision(station: StationConfig, profile: str) -> Decision:
    if not profile:
        return station.decision
    if profile not in PROFILES:
        raise TalusError(f"there is no profile {profile!r}; there are: {', '.join(PROFILES)}")
    mistakes = Mistakes(f"profile {profile}")
    try:
        rules = {rule.name: rule for rule in profile_rules(profile, mistakes)}
    except FileNotFoundError:
        raise TalusError(f"there is no profile {profile!r}") from None
    mistakes.raise_if_any()
    brought = {r.name for r in profile_rules(station.decision.profile, mistakes)}
    own = {r.name: r for r in station.decision.rules if r.name not in brought}
    return Decision(tuple((rules | own).values()), 5, profile)


def _settings(m: Measured) -> SiteChannel | None:
    """Return what is written for a channel, in the digits in which it is written."""
    if m.why:
        return None
    nan = float("nan")
    warm = m.warmth if m.warmth is not None and m.warmth.told else None
    speed = m.speed
    return SiteChannel(
        name=m.track.name,
        noise_sd=shown(m.noise.sd if m.noise else nan),
        resolution=m.limits.resolution,
        max_rate_per_h=shown(m.limits.max_rate_per_h, 2),
        spike_limit=shown(m.limits.spike_limit, 2),
        gap_after_s=shown(m.limits.gap_after_s),
        v_eq_per_day=shown(abs(speed.v_eq) if speed and speed.moves else nan),
        v_max_seen_per_day=shown(speed.v_max if speed else nan),
        temperature_channel=warm.channel if warm else "",
        temperature_coefficient=shown(warm.coefficient if warm else nan),
        reference_c=shown(warm.reference_c if warm else nan),
        neighbours=tuple(name for name, _ in m.neighbours),
        wet_above=shown(m.wet_above),
    )
