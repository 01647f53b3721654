"""Rows for a simulated node to send: made up, or of a CSV file."""

from __future__ import annotations

import csv
import math
from random import Random
from typing import TYPE_CHECKING

from firmware_bridge.reading import Channel, Quantity, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHANNELS = (
    Channel("displacement", Quantity.DISPLACEMENT, Unit.MM, -500.0, 500.0, 1000),
    Channel("tilt", Quantity.TILT, Unit.MRAD, -260.0, 260.0, 1000),
    Channel("pore_pressure", Quantity.PORE_PRESSURE, Unit.KPA, -100.0, 300.0, 1000),
    Channel("temperature", Quantity.TEMPERATURE, Unit.DEG_C, -40.0, 85.0, 1000),
)


def creep(rows: int, seed: int = 0) -> Iterator[tuple[float, ...]]:
    """Give made-up rows of `CHANNELS`: a slope that creeps and, in the last fifth, speeds up."""
    random = Random(seed)
    moved_mm = 0.0
    for i in range(rows):
        part = i / max(1, rows)
        moved_mm += 0.001 if part < 0.8 else 0.001 + 0.2 * (part - 0.8)
        yield (
            moved_mm + random.gauss(0, 0.02),
            moved_mm * 0.1 + random.gauss(0, 0.01),
            20 + 8 * part + random.gauss(0, 0.1),
            10 + 5 * math.sin(2 * math.pi * i / 86_400),
        )


def rows_of_csv(path: Path) -> tuple[tuple[Channel, ...], list[tuple[float, ...]]]:
    """Read a CSV with a header of channel names; a cell that is no number is sent as missing."""
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = list(csv.reader(file)) or [[]]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise ValueError(f"{path}:{number}: {len(row)} columns, the header has {len(names)}")
    channels = tuple(
        Channel(name.strip(), Quantity.OTHER, Unit.RAW, -math.inf, math.inf, 0) for name in names
    )
    return channels, [tuple(map(_cell, row)) for row in rows]


def _cell(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
