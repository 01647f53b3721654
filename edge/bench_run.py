"""The bench itself: measures what is wanted, keeps it in a Result, and gives lines as it goes."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.bench_machine import look, warnings
from edge.bench_method import method
from edge.bench_models import time_batches, time_models
from edge.bench_outbox import time_leaving
from edge.bench_paced import Pace
from edge.bench_result import Result, Run
from edge.bench_show import (
    interval_line,
    leaving_lines,
    machine_lines,
    method_lines,
    missing_lines,
    model_lines,
    paced_lines,
    run_lines,
    shape_line,
    soak_head,
    soak_lines,
    stage_lines,
    station_lines,
)
from edge.bench_soak import Soaking
from edge.bench_spread import rounds, spread
from edge.bench_stages import time_parts, time_whole
from edge.bench_start import start
from edge.bench_stations import time_stations
from edge.bench_ways import Subject, check_runtimes, subject
from edge.runtime import KERNELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.bench_result import Way
    from edge.bundle import Bundle

MIN_A_ROUND = 10
KEEP_S = 300.0
"""A soak is written down so often, for a memory card's sake; and whenever it ends or is stopped."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure. ``count`` readings a way, over ``rounds``; see `talus bench --help`."""

    bundles: tuple[Path, ...]
    count: int = 5000
    rounds: int = 5
    runtimes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    kernels: str = "tuned"
    stations: tuple[int, ...] = (1, 10, 100)
    starts: bool = True
    rate_hz: float | None = None
    seconds: float = 10.0
    soak_s: float | None = None
    interval_s: float = 60.0
    data_dir: Path | None = None
    root: Path = Path("/")

    @property
    def mode(self) -> str:
        """Which of the three kinds of bench."""
        if self.soak_s is not None:
            return "soak"
        return "table" if self.rate_hz is None else "paced"

    def values(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "count": self.count, "rounds": self.rounds, "runtimes": list(self.runtimes),
            "precisions": list(self.precisions), "kernels": self.kernels,
            "stations": list(self.stations),
            "rate_hz": self.rate_hz, "seconds": self.seconds, "soak_s": self.soak_s,
            "interval_s": self.interval_s,
        }  # fmt: skip


def begin(wanted: Wanted, core: int | None, pinned: str) -> Result:
    """Look at the machine, and at what measuring costs."""
    machine = look(wanted.root, core)
    found = Result(wanted.mode, wanted.values(), machine, method(core, pinned))
    found.warnings += warnings(machine)
    return found


def measure(
    wanted: Wanted, found: Result, kept: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """Measure all that is wanted; ``kept`` is called whenever there is more of it."""
    check_runtimes(wanted.runtimes)
    yield from machine_lines(found.machine)
    yield from method_lines(found.method)
    if wanted.kernels != KERNELS[0]:
        yield f"kernels: {wanted.kernels}"
    yield from (f"WARNING: {text}" for text in found.warnings)
    by_mode = {"table": _table, "paced": _paced, "soak": _soak}[wanted.mode]
    for folder in wanted.bundles:
        tested = subject(folder, wanted.runtimes, wanted.precisions, wanted.kernels)
        found.bundles.append(tested.shape)
        found.missing += tested.missing
        yield ""
        yield shape_line(tested.shape)
        yield from by_mode(wanted, tested, found, kept)


def _table(
    wanted: Wanted, tested: Subject, found: Result, kept: Callable[[], None]
) -> Iterator[str]:
    label, m = tested.manifest.label, tested.manifest
    runs = _runs(wanted, tested, found)
    if wanted.starts:
        for way, _ in tested.ways:
            begun = start(tested.folder, way.runtime, way.precision, wanted.kernels)
            found.starts.append((way, begun))
    yield ""
    yield from run_lines(runs, [each for each in found.starts if each[0].bundle == label])
    yield from missing_lines(tested.missing)
    kept()
    whole = {run.way: run.readings for run in runs}
    for way, bundle in tested.best():
        stages, between = time_parts(bundle, wanted.count)
        found.stages.append((way, stages, between))
        yield ""
        yield from stage_lines(way, stages, between, whole[way])
        kept()
    way, bundle = tested.best()[0]
    leaving = time_leaving(bundle, wanted.count, wanted.data_dir)
    found.leaving.append((way, leaving))
    yield ""
    yield from leaving_lines(leaving)
    kept()
    asked = wanted.runtimes, wanted.precisions, wanted.kernels
    models = time_models(tested.folder, m, wanted.count, *asked)
    several = [n for n in wanted.stations if n > 1]
    few = max(MIN_A_ROUND, wanted.count // 10)
    models += time_batches(tested.folder, m, several, few, *asked)
    found.models += [(label, model) for model in models]
    yield ""
    yield from model_lines(models)
    kept()
    yield from _stations(wanted, tested, found, kept)


def _runs(wanted: Wanted, tested: Subject, found: Result) -> list[Run]:
    """Time every way in turn, round by round; also when stopped, what is there is kept."""
    times: dict[Way, list[list[float]]] = {way: [] for way, _ in tested.ways}
    several = max(1, min(wanted.rounds, wanted.count // MIN_A_ROUND))
    each = max(MIN_A_ROUND, wanted.count // several)
    runs: list[Run] = []
    try:
        for seed in range(several):
            for way, bundle in tested.ways:
                times[way].append(time_whole(bundle, each, seed=seed))
    finally:
        for way, done in times.items():
            if done:
                whole = [us for one in done for us in one]
                medians = rounds([statistics.median(one) for one in done])
                runs.append(Run(way, spread(whole), medians, 1e6 * len(whole) / sum(whole)))
        found.runs += runs
    return runs


def _stations(
    wanted: Wanted, tested: Subject, found: Result, kept: Callable[[], None]
) -> Iterator[str]:
    fitting = [n for n in wanted.stations if n <= wanted.count]
    rows = []
    for way, bundle in tested.best():
        for stations in fitting:
            rows.append((way, time_stations(bundle, stations, wanted.count)))
            found.stations.append(rows[-1])
    kept()
    if rows:
        yield ""
        yield from station_lines(rows)
    if len(fitting) < len(wanted.stations):
        left_out = ", ".join(str(n) for n in wanted.stations if n not in fitting)
        yield f"not measured: {left_out} stations: more than --count {wanted.count} readings"


def _chosen(tested: Subject, wanted: Wanted) -> list[tuple[Way, Bundle]]:
    """Return the way of the gateway; where runtimes or precisions were named, all of those."""
    if wanted.precisions:
        return list(tested.ways)
    return tested.best() if wanted.runtimes else tested.best()[:1]


def _paced(
    wanted: Wanted, tested: Subject, found: Result, kept: Callable[[], None]
) -> Iterator[str]:
    assert wanted.rate_hz is not None
    for way, bundle in _chosen(tested, wanted):
        pace = Pace(bundle, wanted.rate_hz, wanted.seconds)
        yield ""
        yield f"{way.runtime} {way.precision}: {wanted.rate_hz:g} a second for {wanted.seconds:g} s"
        try:
            pace.run()
        finally:
            result = pace.result()
            if result is not None:
                found.paced.append((way, result))
        assert result is not None
        yield from paced_lines(result)
        kept()


def _soak(
    wanted: Wanted, tested: Subject, found: Result, kept: Callable[[], None]
) -> Iterator[str]:
    assert wanted.soak_s is not None
    for way, bundle in _chosen(tested, wanted):
        soaking = Soaking(bundle, wanted.soak_s, wanted.interval_s, wanted.rate_hz, wanted.root,
                          found.method.pinned_core)  # fmt: skip
        place = len(found.soaks)
        found.soaks.append((way, soaking.result()))
        pace = "one after the other" if wanted.rate_hz is None else f"{wanted.rate_hz:g} a second"
        yield ""
        yield f"{way.runtime} {way.precision}: readings {pace}, for {wanted.soak_s:g} s"
        yield soak_head()
        due_s = 0.0
        try:
            for interval in soaking.run():
                found.soaks[place] = way, soaking.result()
                yield interval_line(interval)
                if time.monotonic() >= due_s:
                    kept()
                    due_s = time.monotonic() + KEEP_S
        finally:
            found.soaks[place] = way, soaking.result()
        yield from soak_lines(soaking.result())
        kept()
