"""All that a history says of one channel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.decide import MOVING
from export.calibrate.limits import Limits, measure_limits
from export.calibrate.noise import Noise, measure_noise
from export.calibrate.robust import known, spread
from export.calibrate.speed import Speed, alike, is_calm, measure_speed, velocity
from export.calibrate.temperature import Warmth, compensated, measure_warmth

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.calibrate.track import Track
    from export.history import Floats

WET = ("soil_moisture", "pore_pressure")
WET_SHARE = 0.8
"""The ground counts as wet in the wettest fifth of the history."""
_LEAST_WET_D = 90.0
_LEAST_READINGS = 50


@dataclass(frozen=True, slots=True)
class Measured:
    """One channel; what could not be told is None or NaN, and ``why`` says so."""

    track: Track
    y: Floats
    """Readings as the gateway would compensate them."""
    noise: Noise | None
    limits: Limits
    warmth: Warmth | None
    speed: Speed | None
    v: Floats
    neighbours: tuple[tuple[str, float], ...]
    wet_above: float
    why: tuple[str, ...]

    @property
    def moving(self) -> bool:
        """Return whether it measures movement."""
        return self.track.quantity in MOVING

    @property
    def usable(self) -> bool:
        """Return whether there is enough of it to say anything."""
        return self.noise is not None or not self.moving


def measure(tracks: tuple[Track, ...], step: Callable[[str], None]) -> tuple[Measured, ...]:
    """Return what the history says of each channel; ``step`` is told of each when it is done."""
    temperatures = tuple(t for t in tracks if t.quantity == "temperature")
    found = []
    for track in tracks:
        with np.errstate(all="ignore"):
            found.append(_one(track, temperatures))
        step(track.name)
    moving = {m.track.name: (m.track, m.y) for m in found if m.moving and m.noise is not None}
    near = alike(moving)
    return tuple(_with_neighbours(m, near.get(m.track.name, ())) for m in found)


def _one(track: Track, temperatures: tuple[Track, ...]) -> Measured:
    nan = math.nan
    values = track.known()
    if len(values) < _LEAST_READINGS or values.min() == values.max():
        few = len(values) < _LEAST_READINGS
        what = f"{len(values)} readings, {_LEAST_READINGS} needed" if few else (
            f"the same value, {values[0]:g}, in all of its {len(values)} readings: a sensor that "
            "hangs, or was never connected?"
        )  # fmt: skip
        limits = Limits(nan, nan, nan, nan, nan, nan)
        empty = np.full(len(track.y), nan)
        return Measured(track, track.y, None, limits, None, None, empty, (), nan, (what,))
    moving = track.quantity in MOVING
    warmth = measure_warmth(track, temperatures) if moving else None
    y = compensated(track, warmth, temperatures)
    rough = spread(known(np.diff(y))) / math.sqrt(2.0)
    v = velocity(track, y, rough)
    calm = is_calm(v) if moving else np.ones(len(y), dtype=bool)
    noise = (
        None
        if track.quantity == "rainfall"
        else measure_noise(track, y, v if moving else np.zeros(len(y)), calm)
    )
    speed = measure_speed(track, y, v, calm) if moving and noise is not None else None
    limits = measure_limits(track, noise.sd if noise else nan, moving=moving)
    return Measured(
        track, y, noise, limits, warmth, speed, v, (), _wet(track), tuple(_why(track, noise))
    )


def _why(track: Track, noise: Noise | None) -> list[str]:
    if noise is None and track.quantity != "rainfall":
        return ["too few neighbouring readings, or too coarse a resolution, to see its noise"]
    return []


def _wet(track: Track) -> float:
    if track.quantity not in WET or track.days < _LEAST_WET_D:
        return math.nan
    point = float(np.quantile(track.known(), WET_SHARE))
    return point if point > 0.0 else math.nan  # suction: a ratio to it would mean nothing


def _with_neighbours(each: Measured, near: tuple[tuple[str, float], ...]) -> Measured:
    return Measured(
        each.track, each.y, each.noise, each.limits, each.warmth, each.speed, each.v, near,
        each.wet_above, each.why,
    )  # fmt: skip
