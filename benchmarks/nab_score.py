"""NAB's scorer (Lavin & Ahmad 2015), standard profile, for the files that are here.

A window counts once, for its earliest detection; what is flagged outside costs 0.11, less just
after a window; a window missed costs 1. 0 is the detector that says nothing, 100 the perfect one.
One threshold is chosen over all files, as NAB's optimiser does.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import datetime
from math import exp
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

A_TP, A_FP, A_FN = 1.0, 0.11, 1.0
PROBATION_SHARE, PROBATION_ROWS = 0.15, 5000


@dataclass(frozen=True, slots=True)
class Series:
    """One file: its values, and its anomaly windows as rows [first, last]."""

    name: str
    values: Floats
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Rows at the start in which nothing is judged."""
        return int(PROBATION_SHARE * min(len(self.values), PROBATION_ROWS))


def read_corpus(folder: Path) -> tuple[Series, ...]:
    """Read every file of the subset with NAB's own windows."""
    windows = json.loads((folder / "combined_windows.json").read_text(encoding="utf-8"))
    found = []
    for path in sorted((folder / "data").glob("*/*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        times = [datetime.fromisoformat(row["timestamp"]) for row in rows]
        name = f"{path.parent.name}/{path.name}"
        spans = []
        for start, end in windows[name]:
            first, last = (datetime.fromisoformat(t) for t in (start, end))
            inside = [i for i, t in enumerate(times) if first <= t <= last]
            spans.append((inside[0], inside[-1]))
        values = np.array([float(row["value"]) for row in rows])
        found.append(Series(name, values, tuple(spans)))
    return tuple(found)


def sigmoid(position: float) -> float:
    """Return NAB's scaled sigmoid: 1 far left of the end of a window, -1 far right of it."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + exp(5.0 * position)) - 1.0


def score_rows(series: Series, detected: npt.NDArray[np.intp]) -> float:
    """Return the raw score of one file for these rows; windows missed cost A_FN."""
    total = -A_FN * len(series.windows)
    hit: set[int] = set()
    for row in detected[detected >= series.probation].tolist():
        inside = [k for k, (a, b) in enumerate(series.windows) if a <= row <= b]
        if inside:
            k = inside[0]
            if k not in hit:
                hit.add(k)
                a, b = series.windows[k]
                total += A_FN + A_TP * sigmoid(-(b - row + 1) / (b - a + 1)) / sigmoid(-1.0)
            continue
        before = [(a, b) for a, b in series.windows if b < row]
        if before:
            a, b = before[-1]
            total += A_FP * sigmoid((row - b) / max(b - a, 1))
        else:
            total -= A_FP
    return total


def standard(corpus: tuple[Series, ...], scores: list[Floats]) -> float:
    """Return the standard score at the one threshold that is best over all files."""
    windows = sum(len(s.windows) for s in corpus)
    candidates = np.unique(np.concatenate([s[np.isfinite(s) & (s > 0)] for s in scores]))
    if len(candidates) > _MOST:
        candidates = np.quantile(candidates, 1.0 - np.geomspace(1e-6, 1.0, _MOST))
    best = -A_FN * windows  # the one that says nothing
    for threshold in candidates:
        total = sum(
            score_rows(series, np.flatnonzero(s >= threshold))
            for series, s in zip(corpus, scores, strict=True)
        )
        best = max(best, total)
    return normalised(best, windows)


def normalised(raw: float, windows: int) -> float:
    """Return 0 for the detector that says nothing, 100 for the perfect one."""
    return 100.0 * (raw + A_FN * windows) / ((A_TP + A_FN) * windows)


_MOST = 200
"""Thresholds tried, closer together at the high end."""
