"""What a sensor shows for temperature alone: a robust line through changes over hours.

Over hours a slope hardly moves and the temperature goes up and down; over seasons both move, and
which of the two a sensor shows cannot be told. Hence differences over six hours, not levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.calibrate.robust import huber_line, known

if TYPE_CHECKING:
    from export.calibrate.track import Track
    from export.history import Floats

_SPAN_D = 0.25
_BLOCK_D = 7.0
_LEAST_BLOCKS = 4
_LAGS_H = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0)
FOLDS = 4
_SURE = 4.0
"""Standard errors off zero."""
_STABLE = 0.5
"""A fold may be off by such a share of the whole, or by three of its own errors."""
_LEAST_SHARE = 0.005
"""Of the changes explained: less is not worth a coefficient."""


@dataclass(frozen=True, slots=True)
class Warmth:
    """A temperature channel against one sensor. Coefficients in units a degC."""

    channel: str
    coefficient: float
    error: float
    """Standard error, weeks taken as one."""
    lag_h: float
    """Of the sensor behind the temperature channel."""
    explained: float
    folds: tuple[float, ...]
    """The coefficient of each quarter of the history."""
    fold_errors: tuple[float, ...]
    reference_c: float
    blocks: int
    days: float

    @property
    def significant(self) -> bool:
        """Return whether it is not zero, and large enough to matter."""
        return abs(self.coefficient) > _SURE * self.error and self.explained > _LEAST_SHARE

    @property
    def stable(self) -> bool:
        """Return whether each quarter of the history says the same."""
        off = (
            abs(c - self.coefficient) <= max(_STABLE * abs(self.coefficient), 3.0 * e)
            and c * self.coefficient > 0.0
            for c, e in zip(self.folds, self.fold_errors, strict=True)
        )
        return len(self.folds) == FOLDS and all(off)

    @property
    def told(self) -> bool:
        """Return whether it is to be written as a setting."""
        return self.significant and self.stable

    @property
    def whole_year(self) -> bool:
        """Return whether every season is in it."""
        return self.days >= 365.0


def measure_warmth(track: Track, temperatures: tuple[Track, ...]) -> Warmth | None:
    """Return the temperature channel that explains most; None where none can be judged."""
    found = [w for each in temperatures if (w := _against(track, each)) is not None]
    return max(found, key=lambda w: (w.told, w.explained), default=None)


def compensated(track: Track, warmth: Warmth | None, temperatures: tuple[Track, ...]) -> Floats:
    """Return the readings as the gateway would compensate them."""
    if warmth is None or not warmth.told:
        return track.y
    by_name = {each.name: each for each in temperatures}
    felt = _at(track, by_name[warmth.channel]) - warmth.reference_c
    return np.asarray(track.y - warmth.coefficient * np.where(np.isfinite(felt), felt, np.nan))


def _against(track: Track, warm: Track) -> Warmth | None:
    """Try lags from none to six hours; the one that leaves least is taken."""
    air = _at(track, warm)
    step_h = track.step_ms / 3.6e6
    span = track.steps(_SPAN_D)
    felt = {lag: _behind(air, lag / step_h) for lag in _LAGS_H if lag == 0.0 or lag >= 0.5 * step_h}
    x, y, block = _pairs(track, np.stack(list(felt.values()), axis=1), span)
    if len(np.unique(block)) < _LEAST_BLOCKS or len(y) < 100:
        return None
    lags = list(felt)
    explained = [huber_line(x[:, i : i + 1], y, block)[2] for i in range(len(lags))]
    best = int(np.argmax(explained))
    columns = [best]
    if len(lags) > 1:  # the lag is not known for certain: its doubt is part of the error
        columns.append(best + 1 if best + 1 < len(lags) else best - 1)
    taken = x[:, columns]
    taken[:, 1:] -= taken[:, :1]
    slope, error, share = huber_line(taken, y, block)
    parts = [p for p in np.array_split(np.arange(len(y)), FOLDS) if len(np.unique(block[p])) > 1]
    lines = [huber_line(taken[p], y[p], block[p]) for p in parts]
    return Warmth(
        warm.name, float(slope[0]), float(error[0]), lags[best], share,
        tuple(float(line[0][0]) for line in lines), tuple(float(line[1][0]) for line in lines),
        float(np.median(known(air))), len(np.unique(block)), track.days,
    )  # fmt: skip


def _at(track: Track, warm: Track) -> Floats:
    """Return the temperature at the times of a track, NaN further than 3 h from a reading."""
    here = np.isfinite(warm.y)
    if not here.any():
        return np.full(len(track.y), np.nan)
    at, times = track.time_ms, warm.time_ms[here]
    value = np.interp(at, times, warm.y[here])
    after = np.clip(np.searchsorted(times, at), 0, len(times) - 1)
    near = np.minimum(np.abs(times[after] - at), np.abs(times[np.maximum(after - 1, 0)] - at))
    return np.where(near <= max(3 * 3.6e6, 2.0 * warm.step_ms), value, np.nan)


def _behind(air: Floats, steps: float) -> Floats:
    """Return what an instrument feels that follows the air with a time constant."""
    if steps <= 0.0 or not len(air):
        return air
    keep = float(np.exp(-1.0 / steps))
    out = np.empty(len(air))
    state = float("nan")
    for i, value in enumerate(air.tolist()):
        if value == value:
            state = value if state != state else value + keep * (state - value)
        else:
            state = value  # a gap: begin anew
        out[i] = state
    return out


def _pairs(track: Track, felt: Floats, span: int) -> tuple[Floats, Floats, Floats]:
    """Return changes over a span of what is felt (a column a lag) and of the sensor, and weeks."""
    x, y = felt[span:] - felt[:-span], track.y[span:] - track.y[:-span]
    both = np.isfinite(x).all(axis=1) & np.isfinite(y)
    block = np.floor(np.arange(len(y)) * track.step_ms / (86_400_000.0 * _BLOCK_D))
    return x[both], y[both], block[both]
