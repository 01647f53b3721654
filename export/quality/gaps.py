"""What is missing from a history: spans without values, breaks of the grid, too few years."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.quality.finding import Finding, lasting
from export.quality.trace import step_of

if TYPE_CHECKING:
    from export.history import Flags, History
    from export.quality.trace import Trace

_FEW_KNOWN = 0.5
"""With less than half of its steps known a channel teaches mostly what its gaps are."""
_YEAR_MS = 365.25 * 86_400_000
_SEASONS = 2.0
"""Years: a season seen once cannot be told from a trend."""
_SPARSE = 1.5
"""Values further apart than so many steps, in the median: the grid is finer than the readings."""
_MOST_SAME_TIME = 0.5
"""More rows that contradict another of their time than not: several sensors in one column."""


def gaps(history: History, traces: tuple[Trace, ...]) -> list[Finding]:
    """Name spans without values of all channels together, then of each beyond those."""
    found = _breaks(history)
    missing = np.isnan(history.values)
    everywhere = missing.all(axis=1)
    if everywhere.any():
        found.append(_gap(history, "", everywhere, 1.0 - float(everywhere.mean())))
    for i, each in enumerate(traces):
        if not len(each.y):
            what = "no value in the whole history: leave the channel out, or mend its column"
            found.append(_whole("no_value", each.name, "error", what, history))
            continue
        own = missing[:, i] & ~everywhere
        if own.any():
            finding = _gap(history, each.name, own, 1.0 - float(missing[:, i].mean()))
            found.append(finding)
        found += _sparse(history, each)
    return found


def _breaks(history: History) -> list[Finding]:
    apart, step = np.diff(history.time_ms), step_of(history)
    broken = np.flatnonzero((apart > step) | history.reset[1:])
    if not len(broken):
        return []
    worst = int(broken[np.argmax(apart[broken])])
    what = (
        f"the grid breaks {len(broken)} times, the longest for {lasting(float(apart[worst]))}: "
        "models begin anew after each; give the files of that time, if there are any"
    )
    ends = int(history.time_ms[worst]), int(history.time_ms[worst + 1])
    longest = float(apart[worst])
    return [Finding("gap", "", "note", what, *ends, count=len(broken), value=longest / step)]


def _gap(history: History, channel: str, missing: Flags, known: float) -> Finding:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], missing, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    start, end = int(starts[longest]), int(ends[longest]) - 1
    steps = end - start + 1
    spans = f"{len(starts)} spans, the longest of" if len(starts) > 1 else "a span of"
    what = f"no value in {spans} {steps} step{'s' if steps > 1 else ''}; known in {_share(known)}"
    few = known < _FEW_KNOWN
    if few:
        what += ": take a larger step_s, or leave the channel out"
    return Finding(
        "gap",
        channel,
        "warning" if few else "note",
        what,
        int(history.time_ms[start]),
        int(history.time_ms[end]),
        count=len(starts),
        value=known,
    )


def _share(known: float) -> str:
    return f"{known:.0%}" if known < 0.995 else "nearly all"


def _sparse(history: History, each: Trace) -> list[Finding]:
    if len(each.gap) < 8:
        return []
    typical = float(np.median(each.gap))
    if typical < _SPARSE:
        return []
    every = typical * step_of(history) / 1000
    what = (
        f"a value only every {typical:.3g} steps in the median: step_s = {every:.0f} would fit it; "
        "on this grid most of its steps are unknown"
    )
    return [_whole("sparse", each.name, "warning", what, history, typical)]


def seasons(history: History) -> list[Finding]:
    """Note a history that is too short to tell a season from a trend."""
    years = float(history.time_ms[-1] - history.time_ms[0]) / _YEAR_MS
    if years >= _SEASONS:
        return []
    what = (
        f"{lasting(years * _YEAR_MS)} of history, less than {_SEASONS:g} years: a season cannot "
        "be told from a trend, and no seasonal forecast can be compared with"
    )
    return [_whole("seasons", "", "note", what, history, years)]


def same_rows(history: History) -> list[Finding]:
    """Tell of rows there twice, and of rows that say different things of one time."""
    found = []
    twice = dict(history.rejected).get("duplicate", 0)
    if twice:
        what = f"{twice} rows were there twice and counted once"
        found.append(_whole("duplicate", "", "note", what, history, float(twice)))
    if history.same_time:
        share = history.same_time / (history.same_time + len(history.values))
        what = (
            f"{history.same_time} rows have the time of another with different values, and all "
            "were put into one step: one column a sensor, one file a station, times with seconds"
        )
        severity = "error" if share > _MOST_SAME_TIME else "warning"
        found.append(_whole("same_time", "", severity, what, history, float(history.same_time)))
    return found


def _whole(
    kind: str, channel: str, severity: str, what: str, history: History, value: float = 0.0
) -> Finding:
    ends = int(history.time_ms[0]), int(history.time_ms[-1])
    return Finding(kind, channel, severity, what, *ends, value=value)
