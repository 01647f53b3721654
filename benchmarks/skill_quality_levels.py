"""What faults do to the level: pairs of whole stations, of which one has the faults."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.config import load_config
from edge.pipeline import Pipeline
from edge.quality import TimeRules
from export.generator.fault_plan import USUAL
from export.generator.faults import inject
from export.generator.site import generate_site

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from export.generator.fault import Fault, Faulted
    from export.generator.site import Site
    from export.generator.spec import SlopeSpec

TIME = TimeRules(max_skew_ms=80_000_000, max_jump_ms=30 * 86_400_000, lateness_ms=3 * 86_400_000)
_LIMITS = {"rainfall": (0.0, 100.0), "soil_moisture": (0.0, 0.7), "temperature": (-50.0, 60.0)}
_UNLIMITED = (-9000.0, 60_000.0)


def station_toml(site: Site) -> str:
    """Give the configuration of a site as an engineer would write it: rules, no bundle, no numbers.

    Neighbours are named; noise, speeds and temperature coefficients are learned.
    """
    lines = ["[[port]]", 'name = "logger"', 'device = "none"', "baud = 115200"]
    lines += ['protocol = "tw1"', 'clock = "node"', "[[station]]", 'name = "site"']
    lines += [f"step_s = {site.spec.step_s}", f"no_data_after_s = {6 * site.spec.step_s}"]
    lines += ["[station.decision]", 'profile = "general"']
    for c in site.channels:
        low, high = _LIMITS.get(c.quantity.text, _UNLIMITED)
        lines += ["[[station.channel]]", f'name = "{c.name}"', 'port = "logger"']
        lines += [f'quantity = "{c.quantity.text}"', f'unit = "{c.unit.text}"']
        lines += [f"low = {low}", f"high = {high}"]
    for c in site.channels:
        if c.neighbours:
            lines += [f"[station.site.{c.name}]", f"neighbours = {json.dumps(c.neighbours)}"]
    return "\n".join(lines)


def pipeline_of(site: Site) -> Pipeline:
    """Give a gateway that watches a site by the rules of the profile "general"."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.toml"
        path.write_text(station_toml(site), encoding="utf-8")
        config = load_config(path)
    ports = tuple(replace(port, time=TIME) for port in config.ports)
    return Pipeline(replace(config, ports=ports), {"site": "none"})


def levels(site: Site, faulted: Faulted) -> list[tuple[int, int]]:
    """Give (time_ms, level) of each change of the level."""
    pipeline = pipeline_of(site)
    return [
        (change.time_ms, change.level)
        for reading in faulted.readings("logger")
        for change in pipeline.receive(reading).changes
        if change.kind == "level"
    ]


@dataclass(frozen=True, slots=True)
class LevelChanges:
    """How often a fault alone raised or lowered the level of a station, and by how much at most."""

    station_years: float
    rises: tuple[str, ...]
    drops: tuple[str, ...]


SETTLED_H = 48
"""Changes of the clean run and of the faulted one may lie so far apart, and still be the same."""


def level_changes_by_faults(
    specs: Iterable[SlopeSpec], rates: Mapping[Fault, float] = USUAL, *, seed: int = 3
) -> LevelChanges:
    """Run pairs, clean and faulted, through the whole station, and compare their levels by hour.

    A rise is an onset of a level that the clean run has not within SETTLED_H before or after; a
    drop is a time at which the clean run has a level that the faulted one has not within SETTLED_H
    before or after. Each is named with the fault that was last begun.
    """
    rises: list[str] = []
    drops: list[str] = []
    days = 0.0
    for i, spec in enumerate(specs):
        site = generate_site(spec)
        days += spec.days
        faulted = inject(site, rates, seed + i)
        clean = _hourly(site, levels(site, inject(site, (), 1)))
        struck = _hourly(site, levels(site, faulted))
        rises += _beyond(site, faulted, struck, clean, "rise")
        drops += _beyond(site, faulted, clean, struck, "drop")
    return LevelChanges(days / 365.0, tuple(rises), tuple(drops))


def _hourly(site: Site, changes: list[tuple[int, int]]) -> list[int]:
    start, end = int(site.time_ms[0]), int(site.time_ms[-1])
    hours = [0] * ((end - start) // 3_600_000 + 1)
    for at, level in sorted(changes):
        place = max(0, (at - start) // 3_600_000)
        hours[place:] = [level] * len(hours[place:])
    return hours


def _beyond(site: Site, faulted: Faulted, a: list[int], b: list[int], what: str) -> list[str]:
    """Name the stretches in which one run is above what the other has about that time."""
    found, above = [], False
    for h, level in enumerate(a):
        most = max(b[max(0, h - SETTLED_H) : h + SETTLED_H + 1])
        if level > most and not above:
            at = int(site.time_ms[0]) + 3_600_000 * h
            begun = [s for s in faulted.spans if s.start_ms <= at + 86_400_000]
            last = sorted(begun, key=lambda s: s.start_ms)[-3:]
            names = ", ".join(f"{s.kind.text} {s.channel}".strip() for s in reversed(last))
            found.append(
                f"{what} {most} -> {level} at {at} in {site.spec.behaviour} "
                f"seed {site.spec.seed}, after {names}"
            )
        above = level > most
    return found
