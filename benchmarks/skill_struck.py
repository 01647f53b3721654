"""Events on stations that nobody looks after: everything breaks on them that `USUAL` says.

The same question as in `skill_events`, of whole gateways (times, quality control and all): is level
4 there when the slope fails, though loggers fall silent, rows come in late and sensors drift? And
is it there where nothing fails? An alarm counts from when the row came in that raised it.
"""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing import Pool
from typing import TYPE_CHECKING

import numpy as np
from figures import machine, parse, write  # first: see there
from skill_quality_levels import HOUR_MS, pipeline_of

from export.generator.fault_plan import USUAL
from export.generator.faults import inject
from export.generator.site import generate_site
from export.generator.stations import failures, station_years

if TYPE_CHECKING:
    from export.generator.fault import Fault, Faulted
    from export.generator.site import Site
    from export.generator.spec import SlopeSpec

TUNING = (160, 161, 162, 170)
"""What was seen on these was mended."""
TEST = 171
PROCESSES = 2
YEARS, FAILURES = 100, 80
RED = 4
SOON_H = 120
"""Faults so long before a failure that was missed are named with it."""
_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class Struck:
    """What became of one station."""

    days: float
    failure_ms: int | None
    alarms: tuple[tuple[int, int], ...]
    """(begin, end) of level 4, by the clock of the gateway."""
    said: str
    """The station, and what broke on it before it failed."""

    def lead_h(self) -> float | None:
        """Give how long before the failure the alarm began that stood at it."""
        assert self.failure_ms is not None
        stood = [begin for begin, end in self.alarms if begin < self.failure_ms <= end]
        return (self.failure_ms - stood[0]) / HOUR_MS if stood else None


def alarms_of(site: Site, faulted: Faulted) -> tuple[tuple[int, int], ...]:
    """Run a whole gateway over the rows; give (begin, end) of level 4, ms as they came in."""
    pipeline, made, begun = pipeline_of(site), [], -1
    for reading in faulted.readings("logger"):
        for change in pipeline.receive(reading).changes:
            if change.kind == "level" and change.level >= RED > change.previous_level:
                begun = reading.received_ms
            elif change.kind == "level" and change.level < RED and begun >= 0:
                made.append((begun, reading.received_ms))
                begun = -1
    return tuple(made) if begun < 0 else (*made, (begun, _NEVER))


def _run(job: tuple[SlopeSpec, dict[Fault, float], int]) -> Struck:
    spec, rates, seed = job
    site = generate_site(spec)
    faulted = inject(site, rates, seed)
    said = f"{spec.behaviour} seed {spec.seed}"
    if site.failure_ms is not None:
        near = [
            f"{span.kind.text} {span.channel} {(span.start_ms - site.failure_ms) / HOUR_MS:.0f} to "
            f"{min(0.0, (span.end_ms - site.failure_ms) / HOUR_MS):.0f} h".replace("  ", " ")
            for span in faulted.spans
            if site.failure_ms - SOON_H * HOUR_MS < span.start_ms < site.failure_ms
        ]
        said += ", " + "; ".join(near or ["nothing broke shortly before"])
    return Struck(spec.days, site.failure_ms, alarms_of(site, faulted), said)


def struck(
    years: int, failing: int, *, seed: int = TEST, rate: float = 1.0
) -> tuple[list[Struck], list[Struck]]:
    """Run stations that never fail and stations that do, with ``rate`` times the usual faults."""
    specs = [*station_years(years, seed), *failures(failing, seed)]
    rates = {kind: rate * each for kind, each in USUAL.items()}
    with Pool(PROCESSES) as pool:
        jobs = [(spec, rates, 1000 * seed + i) for i, spec in enumerate(specs)]
        found = pool.map(_run, jobs, chunksize=1)
    return found[:years], found[years:]


def figures_of(calm: list[Struck], failed: list[Struck]) -> dict[str, float]:
    """Give the figures."""
    leads = [lead for each in failed if (lead := each.lead_h()) is not None]
    years = sum(each.days for each in calm) / 365.0
    return {
        "struck_failures": float(len(failed)),
        "struck_failure_recall": len(leads) / max(1, len(failed)),
        "struck_lead_time_median_h": float(np.median(leads)) if leads else float("nan"),
        "struck_station_years": years,
        "struck_false_red_per_station_year": sum(len(e.alarms) for e in calm) / max(years, 1e-9),
    }


def measure(*, quick: bool) -> tuple[dict[str, float], list[str]]:
    """Give the figures, and what a page says of them."""
    calm, failed = struck(2, 4) if quick else struck(YEARS, FAILURES)
    found = figures_of(calm, failed)
    lines = [
        (
            f"Whole gateways, with gaps, heaps of late rows, clocks that jump, spikes, steps, "
            f"drifts and all other faults at their usual rates (seed {TEST}; what was seen on "
            f"{TUNING} was mended). An alarm counts from when the row came in that raised it. "
            f"Of {len(failed)} failures level 4 stood at {found['struck_failure_recall']:.1%}, "
            f"{found['struck_lead_time_median_h']:.1f} h before in the median; in "
            f"{found['struck_station_years']:.0f} station-years that never fail it came "
            f"{found['struck_false_red_per_station_year']:.2f} times a year."
        ),
        *(f"- missed: {each.said}" for each in failed if each.lead_h() is None),
    ]
    return found, lines


def main() -> None:
    """Run this part of skill.py alone."""
    args = parse(__doc__, data=False)
    print(machine())
    found, lines = measure(quick=args.quick)
    print(*lines, sep="\n")
    write(found, args.json)


if __name__ == "__main__":
    main()
