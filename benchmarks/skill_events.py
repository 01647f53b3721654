"""Events: false alarms on slopes that never fail, recall and lead time on those that do.

Whole `edge.station.Station`s, rules alone (profile "general", nothing known of the site's history),
fed row by row. Constants of `edge.movement*`, the profile and the limits of the baselines were set
on sites of TUNING seeds; what is reported comes from TEST seeds, on which nothing was set (4001 to
7002 were, once, and are spent: rules were set anew after they were seen).

    false onset   level 4 begins on a station that never fails
    recall        level 4 stood when the slope failed
    lead          t_f less the beginning of the level that stood until then
"""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing import Pool
from typing import TYPE_CHECKING

import numpy as np
from skill_baselines import LIMITS, statistics
from skill_site import Onset, make_config, make_station, readings, run

from export.generator.site import generate_site
from export.generator.stations import failures, station_years

if TYPE_CHECKING:
    import numpy.typing as npt

    from export.generator.spec import SlopeSpec

TUNING = (
    1001, 1002, 2001, 2002, 3001, 3002, 8001, 8002, 9001, 9002, 11001, 11002, 12001, 12002,
)  # fmt: skip
TEST = (13001, 13002, 14001, 14002)
HOUR_MS = 3_600_000
VALID_H = 48
"""A baseline's alarm stands so long after it last held, as a rule of level 4 does."""
PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one station."""

    spec: SlopeSpec
    days: float
    failure_ms: int | None
    onsets: tuple[Onset, ...]
    alarms: dict[str, tuple[tuple[int, int], ...]]
    """Of each baseline: (begin, last) of its alarms, ms."""
    tops: dict[str, float]
    """Of each baseline that is tuned: its highest number (before the failure)."""


@dataclass(frozen=True, slots=True)
class Skill:
    """How one way to alarm did."""

    name: str
    limit: str
    false_per_year: float
    recall: float
    leads_h: tuple[float, ...]
    flips_per_day: float

    def lead(self, quantile: float) -> float:
        """Return a quantile of the lead times of what was found, hours."""
        return float(np.quantile(self.leads_h, quantile)) if self.leads_h else float("nan")


def record(job: tuple[SlopeSpec, dict[str, float], bool]) -> Record:
    """Run one station, and the baselines beside it."""
    spec, limits, rules = job
    site = generate_site(spec)
    found = run(make_station(make_config(site)), readings(site)) if rules else []
    end = len(site.time_ms)
    if site.failure_ms is not None:
        end = int(np.searchsorted(site.time_ms, site.failure_ms))
    numbers = statistics(site)
    alarms = {
        name: _intervals(values[:end] >= limits[name], site.time_ms)
        for name, values in numbers.items()
        if name in limits
    }
    tops = {name: float(values[:end].max()) for name, values in numbers.items()}
    return Record(spec, spec.days, site.failure_ms, tuple(found), alarms, tops)


def _intervals(
    red: npt.NDArray[np.bool_], time_ms: npt.NDArray[np.int64]
) -> tuple[tuple[int, int], ...]:
    """Return when alarms began and ended, each standing for VALID_H after it last held."""
    made: list[list[int]] = []
    for at in time_ms[: len(red)][red].tolist():
        if made and at - made[-1][1] <= VALID_H * HOUR_MS:
            made[-1][1] = at
        else:
            made.append([at, at])
    return tuple((begin, last) for begin, last in made)


def records(
    specs: list[SlopeSpec], limits: dict[str, float], *, rules: bool = True
) -> list[Record]:
    """Run stations on all cores."""
    with Pool(PROCESSES) as pool:
        jobs = [(spec, limits, rules) for spec in specs]
        return pool.map(record, jobs, chunksize=2)


def specs_of(seeds: tuple[int, ...], years: int, failing: int) -> list[SlopeSpec]:
    """Return the sites of seeds: so many station-years and so many failures, shared out."""
    found: list[SlopeSpec] = []
    for seed in seeds:
        found += station_years(years // len(seeds), seed)
        found += failures(failing // len(seeds), seed)
    return found


def tuned_limits(failing: int) -> dict[str, float]:
    """Return the limit of each baseline; the free ones find every failure of the tuning seeds."""
    free = [name for name, limit in LIMITS.items() if limit is None]
    specs = specs_of(TUNING, 0, failing)
    tops = [each.tops for each in records(specs, {}, rules=False)]
    fixed = {name: limit for name, limit in LIMITS.items() if limit is not None}
    return fixed | {name: 0.999 * min(top[name] for top in tops) for name in free}


def skills(found: list[Record], limits: dict[str, float]) -> list[Skill]:
    """Judge the rules, at level 4 and from 3 on, and every baseline."""
    said = "profile general"
    made = [
        _skill("Talus, level 4", said, found, [_standing(each, 4) for each in found]),
        _skill("Talus, level 3 and 4", said, found, [_standing(each, 3) for each in found]),
    ]
    for name, limit in limits.items():
        how = "fixed" if LIMITS[name] is not None else "tuned"
        spans = [list(each.alarms[name]) for each in found]
        made.append(_skill(name, f"{limit:.3g}, {how}", found, spans))
    return made


def _standing(each: Record, level: int) -> list[tuple[int, int]]:
    """Return (begin, end) of the times at or above a level; the end far off where it stood."""
    made: list[tuple[int, int]] = []
    begun = None
    for change in each.onsets:
        if change.level >= level and begun is None:
            begun = change.time_ms
        elif change.level < level and begun is not None:
            made.append((begun, change.time_ms - VALID_H * HOUR_MS))
            begun = None
    return made if begun is None else [*made, (begun, 2**62)]


def _skill(name: str, limit: str, found: list[Record], spans: list[list[tuple[int, int]]]) -> Skill:
    years, false, failed, flips, days = 0.0, 0, 0, 0, 0.0
    leads: list[float] = []
    for each, alarms in zip(found, spans, strict=True):
        days += each.days
        flips += 2 * len(alarms)
        if each.failure_ms is None:
            years += each.days / 365.0
            false += len(alarms)
            continue
        failed += 1
        stood = [
            begin for begin, last in alarms if begin < each.failure_ms <= last + VALID_H * HOUR_MS
        ]
        if stood:
            leads.append((each.failure_ms - stood[0]) / HOUR_MS)
    recall = len(leads) / failed if failed else float("nan")
    return Skill(name, limit, false / max(years, 1e-9), recall, tuple(leads), flips / days)


def level_onsets(found: list[Record]) -> dict[int, float]:
    """Return how often each level is reached, a station-year that never fails."""
    calm = [each for each in found if each.failure_ms is None]
    years = sum(each.days for each in calm) / 365.0
    return {
        level: sum(
            change.previous < level <= change.level for each in calm for change in each.onsets
        )
        / years
        for level in (1, 2, 3, 4)
    }


def changes_per_day(found: list[Record]) -> float:
    """Return changes of level, a station and day."""
    return sum(len(each.onsets) for each in found) / sum(each.days for each in found)
