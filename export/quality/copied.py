"""Rows that are copies of rows from long before: a month pasted twice, a file with a wrong date.

One such row puts a false step on every channel at once, there and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.quality.finding import Finding, iso

if TYPE_CHECKING:
    import numpy.typing as npt

    from export.history import Flags, Floats, History
    from export.quality.trace import Trace

    Places = npt.NDArray[np.intp]

_LEAST_CHANNELS = 2
"""One value can come back by chance; a row of values hardly."""
_FAR = 8.0
"""Times the usual step of a channel: the copy stands out from the row before."""
_BLOCK = 3
"""So many rows in a row with the same distance to their originals were pasted together."""
_RARE = 0.5
"""Channels whose values mostly never come back are fine enough for any copy to be no chance."""
_MOST = 20
_BITS = np.array([0x9E3779B97F4A7C15], dtype=np.uint64)


def copied(history: History, traces: tuple[Trace, ...]) -> list[Finding]:
    """Name rows equal, on every channel that moves, to a row of much earlier."""
    moving = [i for i, t in enumerate(traces) if len(t.y) > 1 and not t.rain and t.quantum > 0]
    if len(moving) < _LEAST_CHANNELS:
        return []
    values = history.values[:, moving]
    known = (~np.isnan(values)).sum(axis=1) >= _LEAST_CHANNELS
    steps = np.flatnonzero(known)
    rows = np.ascontiguousarray(values[steps])
    original = _originals(rows)
    copy = np.flatnonzero(original >= 0)
    if not len(copy):
        return []
    fine = np.mean([len(np.unique(traces[i].y)) / len(traces[i].y) for i in moving]) > _RARE
    apart = copy - original[copy]
    real = np.full(len(copy), bool(fine)) | _far(rows, copy) | _pasted(copy, apart)
    found = []
    for first, last in _together(copy[real], apart[real])[:_MOST]:
        here, there = int(steps[first]), int(steps[original[first]])
        rows_copied = last - first + 1
        what = (
            f"{rows_copied} row{'s' if rows_copied > 1 else ''} equal to the last digit, on all "
            f"{len(moving)} channels that move, to what was measured from "
            f"{iso(int(history.time_ms[there]))} on: a copy; delete it, or give it its own values"
        )
        ends = int(history.time_ms[here]), int(history.time_ms[int(steps[last])])
        found.append(Finding("copied", "", "warning", what, *ends, count=rows_copied))
    return found


def _originals(rows: Floats) -> Places:
    """Return for each row the latest earlier one that equals it, -1 if none or the one before."""
    weights = np.cumprod(np.repeat(_BITS, rows.shape[1]))
    key = ((rows + 0.0).view(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
    key ^= key >> np.uint64(29)
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    original = np.full(len(rows), -1)
    original[order[1:][same]] = order[:-1][same]
    i = np.flatnonzero(original >= 0)
    j = original[i]
    equal = ((rows[i] == rows[j]) | (np.isnan(rows[i]) & np.isnan(rows[j]))).all(axis=1)
    original[i[~equal | (i - j < 2)]] = -1
    return original


def _far(rows: Floats, copy: Places) -> Flags:
    """Return which copies stand out from the row before on most channels."""
    steps = np.abs(np.diff(rows, axis=0))
    usual = np.array([np.quantile(c[~np.isnan(c)], 0.9) if (c == c).any() else 0 for c in steps.T])
    jump = steps[np.maximum(copy - 1, 0)]
    return np.asarray(((jump > _FAR * usual) & (usual > 0)).mean(axis=1) > 0.5) & (copy > 0)


def _pasted(copy: Places, apart: Places) -> Flags:
    """Return which copies belong to a block pasted together; a hung row is no block."""
    out = np.zeros(len(copy), dtype=bool)
    joined = (np.diff(copy) == 1) & (np.diff(apart) == 0)
    edges = np.concatenate(([0], np.flatnonzero(~joined) + 1, [len(copy)]))
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        out[start:end] = end - start >= _BLOCK and apart[start] > end - start
    return out


def _together(copy: Places, apart: Places) -> list[tuple[int, int]]:
    """Return (first, last) row of each stretch of copies with one distance."""
    if not len(copy):
        return []
    cut = np.flatnonzero((np.diff(copy) != 1) | (np.diff(apart) != 0)) + 1
    return [(int(part[0]), int(part[-1])) for part in np.split(copy, cut)]
