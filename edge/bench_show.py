"""The figures of a bench as lines that a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge.bench_machine import Machine
    from edge.bench_method import Method
    from edge.bench_models import ModelTime
    from edge.bench_outbox import Leaving
    from edge.bench_paced import Paced
    from edge.bench_result import Missing, Run, Shape, Way
    from edge.bench_soak import Interval, Soak
    from edge.bench_spread import Spread
    from edge.bench_stages import StageTime
    from edge.bench_start import Start
    from edge.bench_stations import Stations

_SPREAD = ("p50 us", "p90 us", "p99 us", "p99.9 us", "jitter")


def machine_lines(m: Machine) -> Iterator[str]:
    """Say what machine this is."""
    yield f"{m.host} {m.arch} {m.system}, {m.cores} CPUs"
    yield _fact("board", m.board, m)
    yield _fact("cpu", m.cpu, m)
    mhz = None if m.frequency_mhz is None else f"{m.frequency_mhz:.0f} MHz"
    most = f" of {m.frequency_max_mhz:.0f}" if m.frequency_max_mhz else ""
    warm = None if m.temperature_c is None else f"{m.temperature_c:.0f} degC"
    yield (f"{_fact('governor', m.governor, m)}; {_fact('frequency', mhz, m)}{most}; "
           f"{_fact('temperature', warm, m)}")  # fmt: skip
    versions = [f"{name} {version or 'absent'}" for name, version in m.runtimes.items()]
    yield f"{m.python}, numpy {m.numpy}, {', '.join(versions)}"


def _fact(name: str, value: str | None, m: Machine) -> str:
    return f"{name} {value or 'unknown: ' + m.unreadable.get(name, 'absent')}"


def method_lines(m: Method) -> Iterator[str]:
    """Say how it is measured."""
    yield (f"clock {m.clock}: reading it costs {m.clock_overhead_ns:.0f} ns, once in every time; "
           f"timing a stage {m.wrapper_overhead_ns:.0f} ns a call; not subtracted")  # fmt: skip
    pinned = m.pinned if m.pinned.startswith("not") else f"pinned {m.pinned}"
    yield (f"{pinned}; runtimes compute in {m.runtime_threads} thread; "
           f"garbage collector {m.collector}")  # fmt: skip


def shape_line(s: Shape) -> str:
    """Say what a bundle is like."""
    return (f"{s.label}: {s.channels} channels, {s.features} features, hidden {s.hidden}, "
            f"{', '.join(s.detectors) or 'no detector'}; a grid step a reading, "
            f"the first {s.warm_up_readings} readings not counted")  # fmt: skip


def run_lines(runs: Sequence[Run], starts: Sequence[tuple[Way, Start]]) -> Iterator[str]:
    """Give the table of ways."""
    head = f"{'runtime':<12} {'precision':<9}" + "".join(f" {t:>8}" for t in _SPREAD)
    yield f"{head}  {'rounds: quietest, median, worst':<32} {'readings/s':>10}"
    for run in runs:
        r = run.rounds
        apart = f"{r.quietest_us:.1f}, {r.median_us:.1f}, {r.worst_us:.1f}"
        yield (f"{run.way.runtime:<12} {run.way.precision:<9}{_columns(run.readings)}  "
               f"{apart:<32} {run.readings_per_s:>10.0f}")  # fmt: skip
    if not starts:
        return
    yield ""
    titles = ("start ms", "import", "bundle", "first us", "MB")
    yield f"{'runtime':<12} {'precision':<9}" + "".join(f" {t:>8}" for t in titles)
    for way, start in starts:
        what = f"{way.runtime:<12} {way.precision:<9}"
        if start.failed:
            yield f"{what} {start.failed}"
            continue
        times = (start.start_ms, start.import_ms, start.bundle_ms, start.first_us)
        yield what + "".join(map(_number, (*times, start.resident_mb)))


def missing_lines(missing: Sequence[Missing]) -> Iterator[str]:
    """Say what was not measured."""
    whys: dict[tuple[str, str], list[str]] = {}
    for each in missing:
        whys.setdefault((each.runtime, each.why), []).append(each.precision or "all")
    for (runtime, why), precisions in whys.items():
        yield f"not measured: {runtime} {', '.join(precisions)}: {why}"


def stage_lines(
    way: Way, stages: Sequence[StageTime], between: Spread, whole: Spread
) -> Iterator[str]:
    """Give the table of stages of one way. Programs read these lines: their form stays."""
    yield f"{way.runtime:<18} {'p50 us':>9} {'p99 us':>9} {'share':>6}   {way.file}"
    total = sum(stage.p50_us for stage in stages) + between.p50_us
    for stage in stages:
        if stage.seen:
            yield _stage(stage.name, stage.spread, f"{stage.p50_us / total:.0%}")
        else:
            yield f"{stage.name:<18} {'-':>9} {'-':>9} {'':>6}   not called"
    yield _stage("between them", between, f"{between.p50_us / total:.0%}")
    yield _stage("bytes to decision", whole, "") + "   as a whole, stages not timed"


def leaving_lines(found: Leaving) -> Iterator[str]:
    """Say what leaving costs."""
    yield (_stage("publish", found.encode, "")
           + f"   into JSON, {found.rows_a_message} a message, "
           f"{found.bytes_a_reading:.0f} bytes a reading")  # fmt: skip
    yield (_stage("state", found.snapshot, "")
           + f"   an alarm only: taken and put into words, {found.state_bytes} bytes")  # fmt: skip
    memory = " (IN MEMORY: says nothing of a disk; --data-dir)" if found.in_memory else ""
    yield (_stage("outbox fsync", found.commit, "")
           + f"   an alarm only: {found.filesystem} in {found.folder}{memory}")  # fmt: skip


def _stage(name: str, s: Spread, share: str) -> str:
    p99 = s.max_us if s.p99_us is None else s.p99_us
    return f"{name:<18} {s.p50_us:>9.1f} {p99:>9.1f} {share:>6}".rstrip()


def model_lines(models: Sequence[ModelTime]) -> Iterator[str]:
    """Give the table of artifacts."""
    head = f"{'model':<12} {'artifact':<28} {'runtime':<12} {'batch':>5}"
    yield head + "".join(f" {title:>8}" for title in (*_SPREAD, "invoke", "first"))
    for row in models:
        what = f"{row.model:<12} {row.file:<28} {row.runtime:<12} {row.batch:>5}"
        if row.step is None:
            yield f"{what} cannot run it: {_first_sentence(row.refused)}"
        else:
            invoke = None if row.invoke is None else row.invoke.p50_us
            yield what + _columns(row.step) + _number(invoke) + _number(row.first_us)


def station_lines(found: Sequence[tuple[Way, Stations]]) -> Iterator[str]:
    """Give the table of stations."""
    titles = ("us each", "sweep ms", "worst ms", "core 1 Hz", "MB each")
    yield f"{'runtime':<12} {'precision':<9} {'stations':>8}" + "".join(f" {t:>9}" for t in titles)
    for way, s in found:
        each = "-" if s.mb_a_station is None else f"{s.mb_a_station:.2f}"
        yield (f"{way.runtime:<12} {way.precision:<9} {s.stations:>8} {s.us_a_reading:>9.1f} "
               f"{s.sweep.p50_us / 1000:>9.2f} {s.sweep.max_us / 1000:>9.2f} "
               f"{s.core_share_1hz:>9.2%} {each:>9}")  # fmt: skip


def paced_lines(p: Paced) -> Iterator[str]:
    """Say what a fixed rate led to."""
    yield f"{p.done} of {p.due} done, {p.done_hz:.1f} a second, {p.core_share:.1%} of a core"
    yield f"{'':<26}" + "".join(f" {title:>8}" for title in (*_SPREAD, "max"))
    yield f"{'from when it was due':<26}{_columns(p.latency)}{_number(p.latency.max_us)}"
    yield f"{'from its turn':<26}{_columns(p.work)}{_number(p.work.max_us)}"
    if p.woken is not None:
        yield f"{'woken late by the system':<26}{_columns(p.woken)}{_number(p.woken.max_us)}"
    if not p.keeps_up:
        yield (f"DOES NOT KEEP UP with {p.rate_hz:g} a second: at the end a turn came "
               f"{p.behind_ms:.0f} ms late, and {p.never} readings never had one")  # fmt: skip


def soak_head() -> str:
    """Give the titles of `interval_line`."""
    times = ("at s", "readings", "p50 us", "p99 us", "p99.9 us", "max ms")
    return "".join(f" {title:>8}" for title in (*times, "MHz", "degC", "MB", "J"))


def interval_line(i: Interval) -> str:
    """Say how one stretch of a soak went."""
    c = i.conditions
    figures = (i.p50_us, i.p99_us, i.p99_9_us, i.max_us / 1000, c.frequency_mhz, c.temperature_c)
    line = f" {i.began_s:>8.0f} {i.readings:>8}" + "".join(map(_number, figures))
    line += _number(i.resident_mb) + _number(i.energy.joules)
    marks = [*i.slowed, *(["cut short"] if i.partial else [])]
    return line + (f"  {'; '.join(marks)}" if marks else "")


def soak_lines(s: Soak) -> Iterator[str]:
    """Sum a soak up."""
    readings = sum(i.readings for i in s.intervals)
    slowed = sum(bool(i.slowed) for i in s.intervals)
    took_s = sum(i.took_s for i in s.intervals)
    yield (f"{readings} readings in {took_s:.0f} s, {len(s.intervals)} intervals; "
           f"slowed down in {slowed} of them")  # fmt: skip
    governors = {i.conditions.governor or "unknown" for i in s.intervals}
    yield f"governor: {', '.join(sorted(governors)) or 'unknown'}"
    joules = [i.energy.joules for i in s.intervals if i.energy.joules is not None]
    if joules and readings:
        used = sum(joules)
        yield (f"energy: {used:.1f} J, {1e6 * used / readings:.0f} uJ a reading, "
               "of the whole package, whoever used it")  # fmt: skip
    elif s.intervals:
        yield f"energy: not known: {s.intervals[-1].energy.why}"
    if s.behind_s > 1.0:
        yield f"DOES NOT KEEP UP: {s.behind_s:.0f} s behind at the end"


def _columns(s: Spread) -> str:
    return "".join(map(_number, (s.p50_us, s.p90_us, s.p99_us, s.p99_9_us, s.jitter_us)))


def _number(value: float | None) -> str:
    return f" {'-':>8}" if value is None else f" {value:>8.1f}"


def _first_sentence(refused: str) -> str:
    return refused.partition(": ")[2].partition(". ")[0][:100] or refused
