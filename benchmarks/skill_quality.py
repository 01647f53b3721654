"""How well quality control finds faults, and what faults do to the level: made-up and real data.

Scoring, fixed before the runs. A fault (a `Span` of the generator) is found where one of the flags
that say so (`SAYS`) is set on its channel, or on its row for faults of whole rows, within the span
and TOLERANCE_ROWS rows around it; slow faults (DRIFT, TEMPERATURE) until AFTER_DAYS after the span.
recall = faults found / faults. Flags of one kind and channel at most MERGE_HOURS apart are one
alarm of quality control; it is right where a fault that may cause it (`CAUSES`) is there, with the
same tolerances. precision = alarms that are right / alarms; an alarm that no fault explains counts
against the first class that it is said of. HELD is no alarm: it is a value that waits for the next.
A row whose time the gate refused counts as CLOCK (or LATE, where it was only too old).
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from figures import machine, parse  # first: see there

from edge.config import load_config
from edge.flags import Flag
from edge.pipeline import Pipeline
from edge.qc import QualityControl
from edge.qc_plan import MOVING, QcChannel
from edge.quality import TimeGate, TimeRules
from export.generator.fault import ROW_FAULTS, Fault
from export.generator.fault_plan import USUAL
from export.generator.faults import inject
from export.generator.site import generate_site
from export.generator.stations import failures, station_years

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
    Flag.SPIKE: Fault.NOISE | Fault.OFFSET | Fault.SWAP,
    Flag.STEP: Fault.OFFSET,
    Flag.DRIFT: Fault.TEMPERATURE | Fault.STEP | Fault.OFFSET,
    Flag.TEMPERATURE: Fault.DRIFT | Fault.NOISE,
    Flag.NOISE: Fault.SPIKE | Fault.SWAP,
}
"""Further faults that rightly set a flag."""
_SLOW = Fault.DRIFT | Fault.TEMPERATURE
TIME = TimeRules(max_skew_ms=80_000_000, max_jump_ms=30 * DAY_MS, lateness_ms=3 * DAY_MS)
"""A logger with a clock of its own, read by a gateway that knows the time."""
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


@dataclass(slots=True)
class Tally:
    """Counts by class of fault."""

    found: Counter[Fault] = field(default_factory=Counter)
    missed: Counter[Fault] = field(default_factory=Counter)
    right: Counter[Fault] = field(default_factory=Counter)
    wrong: Counter[Fault] = field(default_factory=Counter)
    misses: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)

    def recall(self, kind: Fault | None = None) -> float:
        """Give the share of faults found, of one class or of all."""
        return _share(self.found, self.missed, kind)

    def precision(self, kind: Fault | None = None) -> float:
        """Give the share of alarms that are right, of one class or of all."""
        return _share(self.right, self.wrong, kind)

    def figures(self) -> dict[str, float]:
        """Give all of it by name."""
        found = {"fault_precision": self.precision(), "fault_recall": self.recall()}
        for kind in Fault:
            found[f"fault_precision_{kind.text}"] = self.precision(kind)
            found[f"fault_recall_{kind.text}"] = self.recall(kind)
        return found


def _share(good: Counter[Fault], bad: Counter[Fault], kind: Fault | None) -> float:
    a = good[kind] if kind is not None else sum(good.values())
    b = bad[kind] if kind is not None else sum(bad.values())
    return a / (a + b) if a + b else math.nan


def score(site: Site, faulted: Faulted, found: Found, tally: Tally) -> None:
    """Count what was found of the faults of one site, and which alarms had a cause."""
    step_ms = 1000 * site.spec.step_s
    slack = TOLERANCE_ROWS * step_ms
    spans = [s for s in faulted.spans if not _torn(site, s)]
    for span in spans:
        after = AFTER_DAYS * DAY_MS if span.kind & _SLOW else slack
        name = "" if span.kind & ROW_FAULTS else span.channel
        hit = any(
            flag in SAYS[span.kind]
            and channel in ("", name)
            and any(span.start_ms - slack <= t <= span.end_ms + after for t in times)
            for (flag, channel), times in found.at.items()
        )
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
        for first, last in episodes(times):
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


def episodes(times: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Give first and last time of flags that belong together."""
    ordered = sorted(times)
    first = last = ordered[0]
    for at in ordered[1:]:
        if at - last > MERGE_HOURS * 3_600_000:
            yield first, last
            first = at
        last = at
    yield first, last


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
        found = judge(site, inject(site, (), 1))
        for (flag, channel), times in found.at.items():
            count[f"{flag.texts[0]} of {channel.rstrip('_0123456789') or 'rows'}"] += len(
                list(episodes(times))
            )
    return count


def table(tally: Tally) -> str:
    """Give the figures as Markdown."""
    lines = ["| fault | faults | recall | alarms | precision |", "|---|---|---|---|---|"]
    for kind in Fault:
        n = tally.found[kind] + tally.missed[kind]
        m = tally.right[kind] + tally.wrong[kind]
        lines.append(
            f"| {kind.text} | {n} | {tally.recall(kind):.3f} | {m} | {tally.precision(kind):.3f} |"
        )
    lines.append(f"| all | | {tally.recall():.3f} | | {tally.precision():.3f} |")
    return "\n".join(lines)


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


def marirong(data: Path) -> dict[str, float]:
    """Judge the markers of Marirong: typing errors found, real accelerations kept.

    Typing errors: a reading of A or C more than 4 cm off both the reading before and one of the
    next two days of readings of the same marker, or B's level under A; a step: B at 2016-11-06.
    Kept: no reading of B from 2015-09-14 to 09-17, or on 2016-09-25 and the day after, is taken
    out or refused, but for one that waits for the next.
    """
    rows: dict[str, dict[str, float]] = defaultdict(dict)
    with (data / "marirong_markers" / "markers_abc.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[row["ts"]][row["marker"]] = float(row["length_cm"])
    others = {"A": (1, 2), "B": (0, 2), "C": (0, 1)}
    channels = [
        QcChannel(name, "crack_width", "cm", resolution=0.1, neighbours=near)
        for name, near in others.items()
    ]
    control = QualityControl(channels, {})
    said: dict[tuple[str, str], Flag] = defaultdict(lambda: Flag(0))
    stamps: dict[int, str] = {}
    for ts in sorted(rows):
        at = dt.datetime.strptime(ts, "%Y-%m-%d %H:%M:%S").replace(tzinfo=dt.timezone.utc)
        at_ms = round(at.timestamp() * 1000)
        stamps[at_ms] = ts
        values = [rows[ts].get(name, math.nan) for name in "ABC"]
        for each in control.apply(at_ms, values, "hand")[1]:
            if each.time_ms in stamps and each.channel:
                said[stamps[each.time_ms], each.channel] |= each.flags
    wrong = Flag.SPIKE | Flag.STEP | Flag.SWAPPED | Flag.NOISE
    typed = [(ts, name) for ts, name in MARIRONG_WRONG]
    kept = [(ts, "B") for ts in rows if ts[:10] in MARIRONG_REAL and "B" in rows[ts]]
    offset = control.learned()["B"]["offset"]
    return {
        "marirong_wrong": len(typed),
        "marirong_wrong_flagged": sum(bool(said[key] & wrong) for key in typed),
        "marirong_wrong_withheld": sum(bool(said[key] & (wrong | Flag.HELD)) for key in typed),
        "marirong_real": len(kept),
        "marirong_real_kept": sum(not said[key] & wrong for key in kept),
        "marirong_b_offset_cm": float(offset),
        "marirong_flags_elsewhere": sum(
            bool(flags & wrong)
            for key, flags in said.items()
            if key not in typed and key not in kept
        ),
    }


MARIRONG_WRONG = (
    ("2015-08-28 08:52:00", "A"),  # 195.0: +100 cm
    ("2016-03-23 07:30:00", "A"),  # 308.2: what B shows
    ("2016-08-05 06:47:00", "C"),  # 144.7
    ("2016-07-29 06:33:00", "B"),  # 310.1: -20 cm, a row of four weeks before
    ("2016-11-06 15:30:00", "B"),  # 139.2: -232 cm, measured from another zero
)
MARIRONG_REAL = ("2015-09-14", "2015-09-15", "2015-09-16", "2016-09-25", "2016-09-26")


def dynaslope(data: Path) -> dict[str, tuple[float, float]]:
    """Give, for each file, the share of nodes that never change and the share found frozen.

    A node that never changes from the first row on has nothing to learn its noise from: it is found
    by ``frozen_after_s``, here the default of a day. The files were filled forward, which makes
    nodes that were merely silent look frozen as well.
    """
    found = {}
    for path in sorted((data / "dynaslope_tilt").glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            table = list(csv.reader(file))
        names = table[0][1:]
        channels = [
            QcChannel(n, "tilt", "m", frozen_after_ms=DAY_MS, neighbours=_near_nodes(i, len(names)))
            for i, n in enumerate(names)
        ]
        control, last = QualityControl(channels, {}), set()
        first = table[1][1:]
        moved: set[int] = set()
        for row in table[1:]:
            at = dt.datetime.strptime(row[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=dt.timezone.utc)
            values = [float(v) if v else math.nan for v in row[1:]]
            moved |= {i for i, v in enumerate(row[1:]) if v != first[i]}
            flagged = control.apply(round(at.timestamp() * 1000), values, "column")[1]
            last = {each.channel for each in flagged if each.flags & Flag.FROZEN}
        still = {names[i] for i in range(len(names)) if i not in moved}
        found[path.stem] = len(still) / len(names), len(last & still) / max(1, len(still))
    return found


def _near_nodes(i: int, n: int) -> tuple[int, ...]:
    return tuple(j for j in (i - 1, i + 1) if 0 <= j < n)


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
