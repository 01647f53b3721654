"""Where faults are to be: drawn at random, of a size that their sensor makes plausible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from export.generator.fault import ROW_FAULTS, Fault, Planned
from export.generator.spec import DAY_MS
from firmware_bridge.reading import Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from export.generator.sensors import SiteChannel
    from export.generator.site import Site

USUAL: dict[Fault, float] = {
    Fault.GAP: 6.0, Fault.FREEZE: 6.0, Fault.SPIKE: 20.0, Fault.STEP: 3.0, Fault.DRIFT: 1.0,
    Fault.DUPLICATE: 2.0, Fault.CLOCK: 3.0, Fault.TEMPERATURE: 1.0, Fault.SWAP: 2.0,
    Fault.OFFSET: 3.0, Fault.NOISE: 4.0, Fault.LATE: 6.0, Fault.OUT_OF_ORDER: 10.0,
    Fault.DOUBLED: 10.0, Fault.MISSING: 6.0, Fault.RANGE: 4.0,
}  # fmt: skip
"""Events a station-year of a station that nobody looks after."""
_LENGTH_DAYS = {
    Fault.GAP: (0.25, 4.0), Fault.FREEZE: (0.5, 10.0), Fault.DRIFT: (20.0, 60.0),
    Fault.TEMPERATURE: (20.0, 60.0), Fault.SWAP: (0.5, 4.0), Fault.NOISE: (0.25, 3.0),
    Fault.LATE: (0.25, 2.0), Fault.MISSING: (0.2, 3.0), Fault.CLOCK: (0.1, 1.0),
}  # fmt: skip
_LEAST_ROWS = {Fault.FREEZE: 12, Fault.NOISE: 6}
_LONGEST_ROWS = {
    Fault.SPIKE: 2, Fault.DUPLICATE: 3, Fault.OUT_OF_ORDER: 3, Fault.RANGE: 3, Fault.DOUBLED: 2,
}  # fmt: skip
_SIZES = {
    Fault.SPIKE: (15.0, 150.0), Fault.STEP: (20.0, 150.0), Fault.DRIFT: (30.0, 150.0),
    Fault.TEMPERATURE: (1.0, 3.0), Fault.NOISE: (8.0, 25.0),
}  # fmt: skip
"""Times the noise of the sensor."""
_SLOW = Fault.DRIFT | Fault.TEMPERATURE
_ERROR_CODES = (-9999.0, 65_535.0, 99_999.0)
_JUMPS_DAYS = (-366, -31, -1, 1, 31, 366)
_FAR_DAYS = 30.0
_MARGIN_DAYS = 1.0
_TRIES = 60
_YEAR_DAYS = 365.0


@dataclass(slots=True)
class _Room:
    """Which rows of which channel are taken."""

    busy: npt.NDArray[np.bool_]
    slow: npt.NDArray[np.bool_]
    """By faults of months, during which the others go on happening."""
    margin: int


def draw_plan(site: Site, rates: Mapping[Fault, float], seed: int) -> tuple[Planned, ...]:
    """Return faults at random, none beside another on its channel, and none after a failure.

    A whole number of events a year gives just that number in a whole year. What finds no room (a
    short record, no two channels to swap) is left out.
    """
    random = np.random.default_rng([seed, 7])
    n = len(site.time_ms)
    if site.failure_ms is not None:
        n = int(np.searchsorted(site.time_ms, site.failure_ms))
    a_day = 86_400.0 / site.spec.step_s
    shape = (n, len(site.channels))
    taken = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    room = _Room(*taken, max(3, round(_MARGIN_DAYS * a_day)))
    plan = []
    for kind in Fault:
        events = rates.get(kind, 0.0) * site.spec.days / _YEAR_DAYS
        for _ in range(int(np.floor(events + random.random()))):
            for _ in range(_TRIES):
                planned = _drawn(site, kind, n, a_day, random)
                if planned is not None and _taken(site, room, planned):
                    plan.append(planned)
                    break
    return tuple(sorted(plan, key=lambda p: (p.row, int(p.kind))))


def _drawn(
    site: Site, kind: Fault, n: int, a_day: float, random: np.random.Generator
) -> Planned | None:
    """Return a fault somewhere, or None where it cannot be."""
    days = random.uniform(*_LENGTH_DAYS.get(kind, (0.0, 0.0)))
    rows = max(_LEAST_ROWS.get(kind, 3), round(days * a_day)) if days else 1
    if kind in _LONGEST_ROWS:
        rows = int(random.integers(1, _LONGEST_ROWS[kind] + 1))
    first = max(2, n // 20)
    if n - rows - 1 <= first:
        return None
    row = int(random.integers(first, n - rows - 1))
    if kind & ROW_FAULTS:
        return _drawn_row(site, Planned(kind, row, rows), a_day, random)
    able = [c for c in site.channels if _able(kind, c)]
    if not able:
        return None
    channel = able[int(random.integers(len(able)))]
    scale = max(channel.noise.sd, 2.0 * channel.noise.resolution)
    low, high = _SIZES.get(kind, (1.0, 1.0))
    size = scale * float(np.exp(random.uniform(np.log(low), np.log(high))))
    other = ""
    if kind is Fault.SWAP:
        other = _partner(site, channel, row, rows, scale, random)
        if not other:
            return None
    if kind in {Fault.SPIKE, Fault.STEP, Fault.DRIFT, Fault.TEMPERATURE} and random.random() < 0.5:
        size = -size
    if kind is Fault.RANGE:
        size = _ERROR_CODES[int(random.integers(len(_ERROR_CODES)))]
    if kind is Fault.OFFSET:
        size = 1000.0 if random.random() < 0.7 else 100.0
        if random.random() < 0.6:
            rows = int(random.integers(1, 4))
    if kind is Fault.STEP or (kind is Fault.OFFSET and rows == 1 and random.random() < 0.5):
        rows = len(site.time_ms) - row  # it stays
    return Planned(kind, row, rows, channel.name, other, size)


def _drawn_row(
    site: Site, planned: Planned, a_day: float, random: np.random.Generator
) -> Planned | None:
    """Return a fault of whole rows with its size."""
    size, row = 0.0, planned.row
    if planned.kind is Fault.CLOCK:
        size = float(DAY_MS * int(random.choice(_JUMPS_DAYS)))
        if random.random() < 0.4:  # since the logger started, as if it were 1970
            size = float(int(random.integers(60_000)) - site.time_ms[row])
    if planned.kind is Fault.DUPLICATE:
        least = max(planned.rows, min(round(_FAR_DAYS * a_day), row // 2))
        if least >= row or row < min(round(_FAR_DAYS * a_day), len(site.time_ms) // 2):
            return None  # there is no long ago yet
        size = float(random.integers(least, row))
    return Planned(planned.kind, row, planned.rows, size=size)


def _able(kind: Fault, channel: SiteChannel) -> bool:
    """Return whether a fault of this kind is one of this channel, and can be seen on it."""
    if kind in {Fault.MISSING, Fault.RANGE}:
        return True
    if kind in {Fault.SPIKE, Fault.FREEZE, Fault.NOISE}:
        return channel.quantity is not Quantity.RAINFALL
    return channel.moves


def _partner(
    site: Site,
    channel: SiteChannel,
    row: int,
    rows: int,
    scale: float,
    random: np.random.Generator,
) -> str:
    """Return a channel of the same unit that reads something else then; "" if none."""
    mine = site.values[row : row + rows, site.column(channel.name)]
    able = []
    for other in site.channels:
        theirs = site.values[row : row + rows, site.column(other.name)]
        apart = float(np.min(np.abs(mine - theirs)))
        if other.moves and other.unit == channel.unit and apart > 10.0 * scale:
            able.append(other.name)
    return able[int(random.integers(len(able)))] if able else ""


def _taken(site: Site, room: _Room, planned: Planned) -> bool:
    """Take the rows of a fault; False where there is another."""
    channels = [site.column(name) for name in (planned.channel, planned.other) if name]
    columns = channels or list(range(len(site.channels)))
    rows = planned.rows
    if planned.kind in {Fault.STEP, Fault.OFFSET}:
        rows = min(rows, 3)  # what stays is the sensor's new zero: others go on happening
    span = slice(max(0, planned.row - room.margin), planned.row + rows + room.margin)
    taken = room.slow if planned.kind & _SLOW else room.busy
    if taken[span, columns].any():
        return False
    taken[span, columns] = True
    return True
