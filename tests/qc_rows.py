"""Rows an hour apart, and quality control at them."""

from __future__ import annotations

import math

import numpy as np

from edge.flags import Flagged
from edge.qc import QualityControl
from edge.qc_plan import QcChannel

HOUR_MS = 3_600_000
NAN = math.nan
START_MS = 1_704_067_200_000


def one(limit: float = math.inf, frozen_ms: int = 0) -> QualityControl:
    return QualityControl([QcChannel("a", spike_limit=limit, frozen_after_ms=frozen_ms)], {})


def several(n: int, **also: object) -> QualityControl:
    """Return cracks that are each other's neighbours."""
    return QualityControl(
        [
            QcChannel(f"c{i}", neighbours=tuple(j for j in range(n) if j != i), **also)  # type: ignore[arg-type]
            for i in range(n)
        ],
        {},
    )


def run(control: QualityControl, rows: list[list[float]], first: int = 0) -> list[list[float]]:
    return [control.apply(START_MS + (first + i) * HOUR_MS, row)[0] for i, row in enumerate(rows)]


def flags(control: QualityControl, rows: list[list[float]], first: int = 0) -> list[Flagged]:
    found: list[Flagged] = []
    for i, row in enumerate(rows):
        found += control.apply(START_MS + (first + i) * HOUR_MS, row)[1]
    return found


def noise(n: int, channels: int, sd: float = 0.03, seed: int = 1) -> np.ndarray:
    return np.round(np.random.default_rng(seed).normal(10.0, sd, (n, channels)), 2)


def same(a: list[float], b: list[float]) -> bool:
    return all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))
