"""The readings of one channel on a regular grid of its own cadence."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge.calibration import MAX_RAW, Board
from edge.errors import TalusError
from edge.replay import recorded
from edge.rule import NO_RULES
from edge.station import Station
from firmware_bridge.reading import Reading

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge.config import Config
    from edge.parse_channels import ChannelConfig
    from export.history import Floats

    Ints = npt.NDArray[np.int64]

DAY_MS = 86_400_000
_MAX_VALUES = 50_000_000
_MAX_CELLS = 20_000_000
"""Cells of a track: a reading a second for 230 days."""


@dataclass(frozen=True, slots=True)
class Track:
    """One channel. ``y`` is NaN where no reading came; the time of ``y[i]`` is start + i step."""

    name: str
    quantity: str
    unit: str
    start_ms: int
    step_ms: int
    y: Floats
    intervals_s: Floats
    """Between readings, as they came."""

    @property
    def days(self) -> float:
        """Return how long the history of this channel is."""
        return len(self.y) * self.step_ms / DAY_MS

    @property
    def count(self) -> int:
        """Return how many readings there are."""
        return int(np.count_nonzero(np.isfinite(self.y)))

    @property
    def time_ms(self) -> Floats:
        """Return the time of each cell."""
        return np.asarray(self.start_ms + self.step_ms * np.arange(len(self.y), dtype=np.float64))

    def steps(self, days: float) -> int:
        """Return how many cells a span of days is, one at least."""
        return max(1, round(days * DAY_MS / self.step_ms))

    def known(self) -> Floats:
        """Return the readings alone."""
        return np.asarray(self.y[np.isfinite(self.y)])


def read_tracks(
    config: Config, name: str, sources: list[str], until_ms: int | None
) -> tuple[Track, ...]:
    """Read the calibrated readings of a station, before any grid."""
    found = config.station(name)
    # Without its rules: here it only calibrates.
    station = Station(
        replace(found, bundle="", decision=NO_RULES), "history",
        Board(config.reference_max_age_ms), frozenset(),
    )  # fmt: skip
    n = len(found.channels)
    times, values = array("q"), array("d")
    for item in recorded(config, sources):
        if not isinstance(item, Reading) or item.source not in station.ports:
            continue
        if until_ms is not None and item.time_ms >= until_ms:
            continue
        if len(values) >= _MAX_VALUES:
            raise TalusError("more readings than fit: take less of the history (--until)")
        times.append(item.time_ms)
        values.extend(station.calibrate(item))
    time_ms = np.array(times, dtype=np.int64)
    table = np.array(values, dtype=np.float64).reshape(-1, n)
    order = np.argsort(time_ms, kind="stable")
    time_ms, table = time_ms[order], table[order]
    return tuple(_track(c, time_ms, table[:, i]) for i, c in enumerate(found.channels))


def _track(channel: ChannelConfig, time_ms: Ints, y: Floats) -> Track:
    known = np.abs(y) <= MAX_RAW  # beyond: damage
    time_ms, y = time_ms[known], y[known]
    fresh = np.diff(time_ms, prepend=time_ms[:1] - 1) > 0
    time_ms, y = time_ms[fresh], y[fresh]
    apart = np.diff(time_ms)
    step_ms = max(1, int(np.median(apart))) if len(apart) else DAY_MS
    start = int(time_ms[0]) if len(time_ms) else 0
    cells = (int(time_ms[-1]) - start) // step_ms + 2 if len(time_ms) else 0
    if cells > _MAX_CELLS:
        raise TalusError(
            f"channel {channel.name!r}: {cells} steps of {step_ms / 1000:g} s from first to last "
            "reading: is there a row with a wrong year? Else take less of the history (--until)"
        )
    grid = np.full(cells, np.nan)
    grid[np.round((time_ms - start) / step_ms).astype(np.int64)] = y
    return Track(
        channel.name, channel.quantity, channel.unit, start, step_ms, grid[: max(0, cells - 1)],
        apart / 1000.0,
    )  # fmt: skip
