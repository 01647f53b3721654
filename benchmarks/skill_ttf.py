"""Time to failure: error, share inside the stated 90 % interval, false t_f on what stopped.

Movement alone, on generated slopes of the test seeds (`skill_events`: what was set on which) and
on the public synthetic creep of PFTF (Leinauer et al. 2023): all of it synthetic, with noise as
measured. No series that ends in a real collapse can be had.

    error       of the sensor whose interval is narrowest, at so many days before t_f
    coverage    of all sensors and hours from the onset on while a t_f is stated
    false       a t_f begins to be stated by two sensors on a slope that never fails, a station-year
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timezone
from multiprocessing import Pool
from typing import TYPE_CHECKING

import numpy as np
from skill_events import PROCESSES

from edge.movement import NONE_H, Movement
from edge.movement_plan import MoveChannel, MovePlan
from export.generator.site import generate_site

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from export.generator.spec import SlopeSpec

    Floats = npt.NDArray[np.float64]

DISTANCES_D = (10.0, 5.0, 2.0, 1.0, 0.5)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NEAR_D = (0.25, 0.75, 1.5, 3.0, 7.5)
"""Between these, the coverage by distance: about each of DISTANCES_D."""


@dataclass(frozen=True, slots=True)
class At:
    """What was stated so long before a failure, h."""

    distance_d: float
    error_h: float
    alpha_error: float


@dataclass(frozen=True, slots=True)
class Stated:
    """Of one slope."""

    days: float
    at: tuple[At, ...]
    left_h: Floats
    """Time left at each statement, and whether the interval holds it."""
    covered: npt.NDArray[np.bool_]
    false: int
    """Onsets of a t_f by two sensors on a slope that never fails."""


@dataclass(frozen=True, slots=True)
class Public:
    """A public synthetic series: what was stated before its end, of which 1/v gives t_f."""

    name: str
    last_errors_h: tuple[tuple[float, float, float, float], ...]
    """(days before its t_f, stated, early end, late end), h."""


def follow(times_ms: list[int], x: Floats, step_ms: int) -> Floats:
    """Return float64[rows, 4, channels]: best, low, high (h) and alpha at each row."""
    names = tuple(MoveChannel(f"c{i}", "mm") for i in range(x.shape[1]))
    movement = Movement(MovePlan(names), step_ms)
    series = {each.kind: each.values for each in movement.series() if not each.window_ms}
    kinds = ("time_to_failure", "time_to_failure_low", "time_to_failure_high")
    out = np.full((len(x), 4, x.shape[1]), np.nan)
    for i, (time_ms, row) in enumerate(zip(times_ms, x.tolist(), strict=True)):
        movement.push(time_ms, row)
        for k, kind in enumerate(kinds):
            out[i, k] = np.where(series[kind] < NONE_H, series[kind], np.nan)
        out[i, 3] = movement.failure.alpha
    return out


def stated(spec: SlopeSpec) -> Stated:
    """Follow one slope."""
    site = generate_site(spec)
    moving = [i for i, channel in enumerate(site.channels) if channel.moves]
    end = len(site.time_ms)
    if site.failure_ms is not None:
        end = int(np.searchsorted(site.time_ms, site.failure_ms))
    found = follow(site.time_ms[:end].tolist(), site.values[:end, moving], 1000 * spec.step_s)
    best, low, high, alpha = (found[:, k] for k in range(4))
    known = best == best
    if site.failure_ms is None:
        two = (known.sum(axis=1) >= min(2, len(moving))).astype(int)
        empty = np.empty(0)
        return Stated(spec.days, (), empty, empty.astype(bool), int((np.diff(two) == 1).sum()))
    left = (site.failure_ms - site.time_ms[:end]) / HOUR_MS
    at = []
    for distance in DISTANCES_D:
        row = int(np.searchsorted(-left, -24.0 * distance))
        if row < end and known[row].any():
            width = np.where(known[row], high[row] - low[row], np.inf)
            j = int(np.argmin(width))
            error = abs(float(best[row, j]) - float(left[row]))
            at.append(At(distance, error, float(alpha[row, j]) - spec.alpha))
    since = left <= 24.0 * spec.onset_days
    asked = known & since[:, None]
    every = np.broadcast_to(left[:, None], best.shape)
    covered = (low <= every) & (every <= high)
    return Stated(spec.days, tuple(at), every[asked], covered[asked], 0)


def stated_all(specs: list[SlopeSpec]) -> list[Stated]:
    """Follow slopes on all cores."""
    with Pool(PROCESSES) as pool:
        return pool.map(stated, specs, chunksize=2)


def figures(found: list[Stated]) -> tuple[dict[str, float], list[tuple[str, ...]]]:
    """Return the figures, and the rows of the table: distance, slopes, error, alpha, coverage."""
    failing = [each for each in found if len(each.left_h) or each.at]
    calm = [each for each in found if not (len(each.left_h) or each.at)]
    years = sum(each.days for each in calm) / 365.0
    left = np.concatenate([each.left_h for each in found])
    covered = np.concatenate([each.covered for each in found])
    edges_d = (1e9, NEAR_D[4], NEAR_D[3], NEAR_D[2], NEAR_D[1], NEAR_D[0])
    table = []
    result: dict[str, float] = {}
    for i, distance in enumerate(DISTANCES_D):
        at = [one for each in failing for one in each.at if one.distance_d == distance]
        near = (left <= 24.0 * edges_d[i]) & (left > 24.0 * edges_d[i + 1])
        error = float(np.median([one.error_h for one in at])) if at else float("nan")
        off = float(np.median([abs(one.alpha_error) for one in at])) if at else float("nan")
        cover = float(covered[near].mean()) if near.any() else float("nan")
        table.append((f"{distance:g}", str(len(at)), f"{error:.1f}", f"{off:.2f}", f"{cover:.1%}"))
        result[f"ttf_error_{distance:g}d_h".replace(".", "p")] = error
    result["ttf_interval_cover"] = float(covered.mean()) if len(covered) else float("nan")
    result["ttf_false_per_station_year"] = sum(each.false for each in calm) / max(years, 1e-9)
    return result, table


def public(data: Path) -> list[Public]:
    """Follow the synthetic series of PFTF; t_f by its last rows, as its authors take it."""
    found = []
    for name, step_ms in (
        ("synthetic-1h.csv", HOUR_MS), ("synthetic-6h.csv", 6 * HOUR_MS), ("synthetic.csv", DAY_MS)
    ):  # fmt: skip
        times, x = _read(data / "pftf_synthetic" / name)
        out = follow(times, np.array(x)[:, None], step_ms)
        end_ms = times[-1]
        rows = []
        for distance in DISTANCES_D:
            i = int(np.searchsorted(times, end_ms - distance * DAY_MS, side="right")) - 1
            best, low, high, _ = (float(v) for v in out[i, :, 0])
            rows.append(((end_ms - times[i]) / DAY_MS, best, low, high))
        found.append(Public(name, tuple(rows)))
    return found


def _read(path: Path) -> tuple[list[int], list[float]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["date"], row["disp"]) for row in csv.DictReader(file)]
    times = []
    for text, _ in rows:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
        times.append(round(at.timestamp() * 1000))
    return times, [float(value) for _, value in rows]
