"""How well quality control finds faults, and what faults do to the level: made-up and real data.

Scoring (what may answer a SPIKE was settled while it was developed: RANGE may too). A fault (a
`Span` of the generator) is found where one of the flags that say so (`SAYS`) is set on its channel,
or on its row for faults of whole rows, within the span and TOLERANCE_ROWS rows around it; slow
faults (DRIFT, TEMPERATURE) until AFTER_DAYS after the span.
recall = faults found / faults, of those that can be told from ground and weather at all: what is
hidden, by the rules of skill_quality_hidden, is counted beside them, and how much of it was found.
Flags of one kind and channel with less than MERGE_HOURS of rows between them are one alarm; it is
right where a fault that may cause it is there, with the same tolerances. precision = alarms that
are right / alarms; an alarm that no fault explains counts against the first class that it is said
of. HELD is no alarm: it is a value that waits for the next. A row whose time the gate refused
counts as CLOCK (or LATE, where it was only too old).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from figures import machine, parse  # first: see there
from skill_quality_hidden import Hidden
from skill_quality_levels import TIME, level_changes_by_faults
from skill_quality_real import dynaslope, marirong
from skill_quality_tally import Tally, table

from edge.flags import Flag
from edge.qc import QualityControl
from edge.qc_plan import MOVING, QcChannel
from edge.quality import TimeGate
from export.generator.fault import ROW_FAULTS, Fault
from export.generator.fault_plan import USUAL
from export.generator.faults import inject
from export.generator.site import generate_site
from export.generator.stations import failures, station_years

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy.typing as npt

    from export.generator.fault import Faulted, Span
    from export.generator.site import Site
    from export.generator.spec import SlopeSpec

DAY_MS = 86_400_000
TOLERANCE_ROWS = 3
AFTER_DAYS = 45.0
MERGE_HOURS = 36.0
SAYS: dict[Fault, Flag] = {
    Fault.GAP: Flag.GAP,
    Fault.FREEZE: Flag.FROZEN,
    Fault.SPIKE: Flag.SPIKE | Flag.RANGE,  # it may be beyond what the sensor can give
    Fault.STEP: Flag.STEP,
    Fault.DRIFT: Flag.DRIFT,
    Fault.DUPLICATE: Flag.DUPLICATE,
    Fault.CLOCK: Flag.CLOCK,
    Fault.TEMPERATURE: Flag.TEMPERATURE,
    Fault.SWAP: Flag.SWAPPED,
    Fault.OFFSET: Flag.SPIKE | Flag.STEP,
    Fault.NOISE: Flag.NOISE,
    Fault.LATE: Flag.LATE,
    Fault.OUT_OF_ORDER: Flag.LATE,
    Fault.DOUBLED: Flag.DUPLICATE,
    Fault.MISSING: Flag.MISSING,
    Fault.RANGE: Flag.RANGE,
}
_MORE: dict[Flag, Fault] = {
    Flag.GAP: Fault.LATE | Fault.CLOCK | Fault.OUT_OF_ORDER,  # rows were not there yet
    Flag.LATE: Fault.CLOCK,
    Flag.CLOCK: Fault.LATE,
    Flag.SPIKE: Fault.NOISE | Fault.OFFSET | Fault.SWAP | Fault.DUPLICATE,
    Flag.STEP: Fault.OFFSET,
    Flag.DRIFT: Fault.TEMPERATURE | Fault.STEP | Fault.OFFSET,
    Flag.TEMPERATURE: Fault.DRIFT | Fault.NOISE,
    Flag.NOISE: Fault.SPIKE | Fault.SWAP,
}
"""Further faults that rightly set a flag."""
_SLOW = Fault.DRIFT | Fault.TEMPERATURE
_LIMITS = {"rainfall": (0.0, 100.0), "soil_moisture": (0.0, 0.7), "temperature": (-50.0, 60.0)}
_UNLIMITED = (-9000.0, 60_000.0)


def channels_of(site: Site) -> list[QcChannel]:
    """Give the channels as an engineer would configure them: with their neighbours, no numbers."""
    names = site.names
    warm = names.index("air_temperature") if "air_temperature" in names else -1
    return [
        QcChannel(
            c.name,
            c.quantity.text,
            c.unit.text,
            frozen_after_ms=DAY_MS if c.moves else 0,
            neighbours=tuple(names.index(n) for n in c.neighbours),
            temperature=warm if c.quantity.text in MOVING else -1,
        )
        for c in site.channels
    ]


@dataclass(slots=True)
class Found:
    """Flags by (flag, channel): times of the rows, as they truly were."""

    at: dict[tuple[Flag, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)


def judge(site: Site, faulted: Faulted) -> Found:
    """Run the rows of a site, in the order of their arrival, through gate and quality control."""
    control, gate = QualityControl(channels_of(site), {}), TimeGate(TIME)
    limits = [_LIMITS.get(c.quantity.text, _UNLIMITED) for c in site.channels]
    true_ms, found = site.time_ms[faulted.row].tolist(), Found()
    gone = set() if site.failure_ms is None else {c.name for c in site.channels if c.moves}
    for at_ms, (time_ms, received_ms, row) in zip(true_ms, faulted.rows(), strict=True):
        verdict = gate.check(time_ms, received_ms)
        if verdict.reason:
            old = verdict.reason == "time_backwards" or (
                verdict.reason == "time_skew" and -TIME.lateness_ms < time_ms - received_ms < 0
            )
            found.at[Flag.LATE if old else Flag.CLOCK, ""].append(at_ms)
            control.refuse_time()
            continue
        if verdict.rebased:
            control.reset()
        values, flags = list(row), []
        for i, (low, high) in enumerate(limits):
            v = values[i]
            if v != v:
                if not (site.channels[i].name in gone and at_ms >= (site.failure_ms or 0)):
                    flags.append((i, Flag.MISSING))
            elif not low <= v <= high:
                values[i] = math.nan
                flags.append((i, Flag.RANGE))
        for each in control.apply(time_ms, values, "logger", flags)[1]:
            own_ms = at_ms if each.time_ms == time_ms else each.time_ms
            for flag in Flag:
                if flag in each.flags and flag is not Flag.HELD:
                    found.at[flag, each.channel].append(own_ms)
    found.notes += control.notes
    return found


def score(site: Site, faulted: Faulted, found: Found, tally: Tally) -> None:
    """Count what was found of the faults of one site, and which alarms had a cause."""
    step_ms = 1000 * site.spec.step_s
    slack = TOLERANCE_ROWS * step_ms
    spans = [s for s in faulted.spans if not _torn(site, s)]
    hidden = Hidden(site, faulted)
    rows = np.unique(site.time_ms[faulted.row]), MERGE_HOURS * 3600.0 / site.spec.step_s
    for span in spans:
        after = AFTER_DAYS * DAY_MS if span.kind & _SLOW else slack
        name = "" if span.kind & ROW_FAULTS else span.channel
        hit = any(
            flag in SAYS[span.kind]
            and channel in ("", name)
            and any(span.start_ms - slack <= t <= span.end_ms + after for t in times)
            for (flag, channel), times in found.at.items()
        )
        why = hidden.why(span)
        if why:
            (tally.hidden_found if hit else tally.hidden_missed)[span.kind] += 1
            tally.reasons[f"{span.kind.text}: {why}"] += 1
            continue
        (tally.found if hit else tally.missed)[span.kind] += 1
        if not hit:
            tally.misses.append(f"{span} in {site.spec.behaviour} seed {site.spec.seed}")
    for (flag, channel), times in found.at.items():
        kinds = sorted(
            (k for k, says in SAYS.items() if flag in says), key=lambda k: SAYS[k] != flag
        )
        if not kinds:
            continue
        causes = [s for s in spans if s.kind in kinds or s.kind & _MORE.get(flag, Fault(0))]
        if channel:
            causes = [s for s in causes if not s.channel or s.channel == channel]
        for first, last in episodes(times, *rows):
            cause = next((s for s in causes if _near(s, first, last, slack)), None)
            if cause is not None:
                own = cause.kind if cause.kind in kinds else kinds[0]
                tally.right[own] += 1
            else:
                tally.wrong[kinds[0]] += 1
                tally.false.append(
                    f"{flag!r} {channel} {first} {last} in {site.spec.behaviour} "
                    f"seed {site.spec.seed}"
                )


def _torn(site: Site, span: Span) -> bool:
    return site.failure_ms is not None and span.start_ms >= site.failure_ms


def _near(span: Span, first: int, last: int, slack: float) -> bool:
    after = AFTER_DAYS * DAY_MS if span.kind & _SLOW else slack
    if span.kind & (Fault.STEP | Fault.OFFSET) and span.last_row - span.first_row > 10:
        after = AFTER_DAYS * DAY_MS
    return first <= span.end_ms + after and last >= span.start_ms - slack


def episodes(
    times: Iterable[int], came_ms: npt.NDArray[np.int64], apart: float
) -> Iterator[tuple[int, int]]:
    """Give first and last time of flags that belong together: at most ``apart`` rows lie between.

    What lasts through a gap, in which no row came, is one alarm.
    """
    ordered = np.unique(np.fromiter(times, dtype=np.int64))
    breaks = np.flatnonzero(np.diff(np.searchsorted(came_ms, ordered)) > apart)
    firsts, lasts = np.append(0, breaks + 1), np.append(breaks, len(ordered) - 1)
    yield from zip(ordered[firsts].tolist(), ordered[lasts].tolist(), strict=True)


def fault_figures(
    specs: Iterable[SlopeSpec], rates: Mapping[Fault, float] = USUAL, *, seed: int = 3
) -> Tally:
    """Give precision and recall over sites with faults."""
    tally = Tally()
    for i, spec in enumerate(specs):
        site = generate_site(spec)
        faulted = inject(site, rates, seed + i)
        score(site, faulted, judge(site, faulted), tally)
    return tally


def clean_flags(specs: Iterable[SlopeSpec]) -> Counter[str]:
    """Count flags on sites without any fault: each is false."""
    count: Counter[str] = Counter()
    for spec in specs:
        site = generate_site(spec)
        found, apart = judge(site, inject(site, (), 1)), MERGE_HOURS * 3600.0 / spec.step_s
        for (flag, channel), times in found.at.items():
            count[f"{flag.texts[0]} of {channel.rstrip('_0123456789') or 'rows'}"] += len(
                list(episodes(times, site.time_ms, apart))
            )
    return count


def main() -> None:
    """Print all of it."""
    args = parse(__doc__, data=True, needed=False)
    n = 6 if args.quick else 40
    print(machine())
    tally = fault_figures(station_years(n, seed=20))
    print(table(tally))
    for line in tally.misses + tally.false:
        print("  ", line)
    clean = clean_flags([*station_years(n, seed=21), *failures(n, seed=21)])
    print("flags on sites without faults:", dict(clean))
    changes = level_changes_by_faults([*station_years(n // 2, seed=23), *failures(n // 4, seed=23)])
    print(f"levels, {changes.station_years:.1f} station-years with faults:")
    for line in changes.rises + changes.drops:
        print("  ", line)
    print(f"{len(changes.rises)} rises, {len(changes.drops)} drops")
    if args.data:
        print(marirong(args.data))
        for name, (share, hit) in dynaslope(args.data).items():
            print(f"{name}: {share:.0%} of nodes never change, {hit:.0%} of them found frozen")


if __name__ == "__main__":
    main()
