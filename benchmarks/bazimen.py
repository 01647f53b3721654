"""Bazimen, point ZG111 (Three Gorges): months of displacement, rain and reservoir as one history.

A calendar month is put on an even grid of 1/12 year, so that a season is twelve steps.
"""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

STEP_MS = 2_629_800_000
"""1/12 of 365.25 days."""
_FIRST = 12 * 2007


def step_of(year: int, month: int) -> int:
    """Return the start of the grid step that stands for a month, ms since 1970."""
    first = int(datetime(2007, 1, 1, tzinfo=UTC).timestamp() * 1000) // STEP_MS + 1
    return (first + 12 * year + month - 1 - _FIRST) * STEP_MS


def write_history(data_dir: Path, out_csv: Path) -> None:
    """Write time, displacement (mm), rain (mm a month) and reservoir (m) of 2007 to 2012."""
    folder = data_dir / "bazimen"
    moved = _months(folder / "displacement_monthly_mm.csv", "ZG111")
    level = _months(folder / "reservoir_monthly_m.csv", "reservoir_m")
    rain: dict[str, float] = {}
    with (folder / "rain_daily.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            month = row["date"][:7]
            rain[month] = rain.get(month, 0.0) + float(row["rain_mm"] or 0.0)
    with out_csv.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "displacement", "rain", "reservoir"])
        for month, value in moved.items():
            if month in level:
                year, number = (int(part) for part in month.split("-"))
                values = value, rain.get(month, 0.0), level[month]
                writer.writerow([step_of(year, number), *(f"{v:.6g}" for v in values)])


def _months(path: Path, column: str) -> dict[str, float]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["month"]: float(row[column]) for row in csv.DictReader(file)}
