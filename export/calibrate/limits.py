"""Resolution, cadence, and how far a channel goes from one reading to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.calibrate.robust import despiked, known

if TYPE_CHECKING:
    from export.calibrate.track import Track

_MOVING_TIMES, _OTHER_TIMES = 50.0, 5.0
_NOISES_AN_HOUR = 1000.0
_MOST_UNIQUE = 200_000
_LATTICE = 0.95


@dataclass(frozen=True, slots=True)
class Limits:
    """NaN: it cannot be told."""

    resolution: float
    max_rate_seen_per_h: float
    max_rate_per_h: float
    spike_limit: float
    cadence_s: float
    gap_after_s: float


def measure_limits(track: Track, noise_sd: float, *, moving: bool) -> Limits:
    """Return the limits of one channel; ``noise_sd`` may be NaN."""
    step = resolution(track)
    rate = _rate(track, noise_sd)
    if track.quantity == "rainfall":  # at rest, then a cloudburst: no history has the greatest
        suggested = spike = math.nan
    elif moving:
        # A slope that never failed shows nothing of how fast failure is: far above is right.
        suggested = max(_MOVING_TIMES * rate, _NOISES_AN_HOUR * _or_zero(noise_sd))
        spike = _spike(track, noise_sd, step)
    else:
        suggested = _OTHER_TIMES * rate
        spike = _spike(track, noise_sd, step)
    cadence = float(np.median(track.intervals_s)) if len(track.intervals_s) else math.nan
    late = float(np.quantile(track.intervals_s, 0.99)) if len(track.intervals_s) else math.nan
    return Limits(
        step, rate, suggested if suggested > 0.0 else math.nan, spike, cadence,
        max(3.0 * cadence, 1.5 * late),
    )  # fmt: skip


def _or_zero(value: float) -> float:
    return value if value == value else 0.0


def resolution(track: Track) -> float:
    """Return the step that nearly all values are whole multiples of apart; NaN if none."""
    values = np.unique(track.known())[:_MOST_UNIQUE]
    if len(values) < 4:
        return math.nan
    dust = 1e-9 * max(1.0, float(np.abs(values).max()))
    apart = np.diff(values)
    apart = apart[apart > dust]
    if len(apart) < 3:
        return math.nan
    least = float(np.quantile(apart, 0.01))  # a single odd value does not make the step
    times = apart / least
    whole = np.abs(times - np.round(times)) < 0.05
    fits = whole & (np.round(times) >= 1)
    if fits.mean() < _LATTICE:
        return math.nan
    return float(f"{np.median(apart[fits] / np.round(times[fits])):.6g}")


def _rate(track: Track, noise_sd: float) -> float:
    """Return the greatest change in an hour (or from one reading to the next), spikes apart."""
    y = despiked(track.y, noise_sd)
    steps = track.steps(1.0 / 24.0)
    apart = known(np.abs(y[steps:] - y[:-steps]))
    hours = steps * track.step_ms / 3.6e6
    return float(apart.max()) / hours if len(apart) else math.nan


def _spike(track: Track, noise_sd: float, step: float) -> float:
    """Return a jump that a slope at rest does not make: far above its noise and its usual steps."""
    apart = known(np.abs(np.diff(track.y)))
    if len(apart) < 20 or not noise_sd > 0.0:
        return math.nan
    usual = 1.5 * float(np.quantile(apart, 0.999))
    return max(8.0 * math.sqrt(2.0) * noise_sd, 5.0 * _or_zero(step), usual)
