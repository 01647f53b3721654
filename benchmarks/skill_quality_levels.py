"""What faults do to the level: pairs of whole stations, of which one has the faults."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from multiprocessing import Pool
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.config import load_config
from edge.pipeline import Pipeline
from edge.quality import TimeRules
from export.generator.fault_plan import USUAL
from export.generator.faults import inject
from export.generator.site import generate_site

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from export.generator.fault import Fault, Faulted
    from export.generator.site import Site
    from export.generator.spec import SlopeSpec

HOUR_MS = 3_600_000
PROCESSES = 2
TIME = TimeRules(max_skew_ms=80_000_000, max_jump_ms=30 * 86_400_000, lateness_ms=3 * 86_400_000)
_LIMITS = {"rainfall": (0.0, 100.0), "soil_moisture": (0.0, 0.7), "temperature": (-50.0, 60.0)}
_UNLIMITED = (-9000.0, 60_000.0)


def station_toml(site: Site) -> str:
    """Give the configuration of a site as an engineer would write it: rules, no bundle, no numbers.

    Neighbours are named; noise, speeds and temperature coefficients are learned. Nothing latches:
    an alarm that only one run of a pair has must not hide, or look like, what comes after it.
    """
    lines = ["[[port]]", 'name = "logger"', 'device = "none"', "baud = 115200"]
    lines += ['protocol = "tw1"', 'clock = "node"', "[[station]]", 'name = "site"']
    lines += [f"step_s = {site.spec.step_s}", f"no_data_after_s = {6 * site.spec.step_s}"]
    lines += ["[station.decision]", 'profile = "general"', "latch_level = 5"]
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
    """How often faults alone raised or lowered the level of a station, or kept it from rising."""

    station_years: float
    rises: tuple[str, ...]
    drops: tuple[str, ...]
    missed: tuple[str, ...]
    chance: tuple[str, ...]
    """Rises and drops of clean runs whose readings are a hair off: limits nearly met."""


HAIR = 0.1
"""Of a sensor's own noise: by how much readings are moved, to see what that alone changes."""
SETTLED_H = 48
"""Changes of the clean run and of the faulted one may lie so far apart, and still be the same."""


def level_changes_by_faults(
    specs: Iterable[SlopeSpec], rates: Mapping[Fault, float] = USUAL, *, seed: int = 3
) -> LevelChanges:
    """Run pairs, clean and faulted, through the whole station, and compare their levels.

    rise     the faulted run rises to a level that the clean one has not within SETTLED_H of it
    drop     the faulted run falls to a level above which the clean one stays all that time
    missed   the clean run rises to a level that the faulted one has not within SETTLED_H of it:
             the rows that would tell are not there, or wrong

    A level that is held longer, since what raised it is silent, is none of these. Each is named
    with the faults that were last begun. Levels turn on limits, which a run may miss by a hair: so
    the clean run is also compared with itself, every reading moved by HAIR.
    """
    jobs = [(spec, rates, seed + i) for i, spec in enumerate(specs)]
    with Pool(PROCESSES) as pool:
        found = pool.map(_pair, jobs, chunksize=1)
    kinds = (tuple(line for each in found for line in each[k]) for k in range(4))
    return LevelChanges(sum(job[0].days for job in jobs) / 365.0, *kinds)


def _pair(job: tuple[SlopeSpec, Mapping[Fault, float], int]) -> tuple[list[str], ...]:
    spec, rates, seed = job
    site = generate_site(spec)
    faulted = inject(site, rates, seed)
    clean, struck = levels(site, inject(site, (), 1)), levels(site, faulted)
    moved = inject(replace(site, values=_by_a_hair(site, seed)), (), 1)
    calm = _hourly(site, clean)
    return (
        _apart(site, faulted, struck, calm, "rise"),
        _apart(site, faulted, struck, calm, "drop"),
        _apart(site, faulted, clean, _hourly(site, struck), "missed"),
        [
            line
            for kind in ("rise", "drop")
            for line in _apart(site, faulted, levels(site, moved), calm, kind)
        ],
    )


def _by_a_hair(site: Site, seed: int) -> npt.NDArray[np.float64]:
    """Return the readings, moved at random by a tenth of each sensor's noise."""
    random = np.random.default_rng([seed, 11])
    sd = np.array([channel.noise.sd if channel.moves else 0.0 for channel in site.channels])
    return site.values + HAIR * sd * random.standard_normal(site.values.shape)


def _apart(
    site: Site, faulted: Faulted, mine: list[tuple[int, int]], other: list[int], kind: str
) -> list[str]:
    """Name the steps of a run that another, hour by hour, does not have within SETTLED_H."""
    named = []
    for at, was, now in _steps(mine):
        near = _about(other, site, at)
        apart = now < was and min(near) > now if kind == "drop" else now > was and max(near) < now
        if apart:
            named.append(_named(site, faulted, f"{kind} {was} -> {now}", at))
    return named


def _steps(changes: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Give (time_ms, level before, level after)."""
    before = [0, *(level for _, level in changes)]
    return [(at, was, now) for (at, now), was in zip(changes, before, strict=False)]


def _hourly(site: Site, changes: list[tuple[int, int]]) -> list[int]:
    start, end = int(site.time_ms[0]), int(site.time_ms[-1])
    hours = [0] * ((end - start) // HOUR_MS + 1)
    for at, level in sorted(changes):
        place = max(0, (at - start) // HOUR_MS)
        hours[place:] = [level] * len(hours[place:])
    return hours


def _about(hours: list[int], site: Site, at_ms: int) -> list[int]:
    """Give the levels within SETTLED_H of a time."""
    place = (at_ms - int(site.time_ms[0])) // HOUR_MS
    return hours[max(0, place - SETTLED_H) : place + SETTLED_H + 1] or hours[-1:]


def _named(site: Site, faulted: Faulted, what: str, at_ms: int) -> str:
    begun = [s for s in faulted.spans if s.start_ms <= at_ms]
    last = sorted(begun, key=lambda s: s.start_ms)[-3:]
    names = ", ".join(f"{s.kind.text} {s.channel}".strip() for s in reversed(last))
    return f"{what} at {at_ms} in {site.spec.behaviour} seed {site.spec.seed}, after {names}"
