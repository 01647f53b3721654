"""Lamosano (Italy), point p5: displacement and rain every 11 days as one history."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_history(data_dir: Path, out_csv: Path) -> None:
    """Write time, displacement (mm, increments summed up) and rain (mm in 11 days)."""
    path = data_dir / "lamosano" / "increments_11d.csv"
    moved = 0.0
    with (
        path.open(newline="", encoding="utf-8") as file,
        out_csv.open("w", newline="", encoding="utf-8") as out,
    ):
        writer = csv.writer(out)
        writer.writerow(["time", "displacement", "rain"])
        for row in csv.DictReader(file):
            moved += float(row["p5"])
            day = datetime.fromisoformat(row["date"]).replace(tzinfo=UTC)
            writer.writerow([round(day.timestamp() * 1000), f"{moved:.6f}", row["rain"]])
