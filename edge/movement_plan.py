"""What of a station moves, and over which windows its movement is looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass

HOUR_MS = 3_600_000
WINDOWS_MS = tuple(h * HOUR_MS for h in (6, 12, 24, 48, 72))
"""A user's defaults (Leinauer et al. 2023)."""
BASE_WINDOW_MS = 24 * HOUR_MS
LEAST_STEPS = 12
"""The base window holds so many grid steps at least: a slope measured daily is judged over 12 d."""


@dataclass(frozen=True, slots=True)
class MoveChannel:
    """One displacement, crack or tilt channel; NaN: learned."""

    name: str
    unit: str
    noise_sd: float = math.nan
    v_eq_per_day: float = math.nan
    v_max_seen_per_day: float = math.nan


@dataclass(frozen=True, slots=True)
class MovePlan:
    """The moving channels of one station."""

    channels: tuple[MoveChannel, ...]
    velocity_windows_ms: tuple[int, ...] = WINDOWS_MS
    moved_windows_ms: tuple[int, ...] = ()
    base_window_ms: int = BASE_WINDOW_MS
    """For tangent angle, stage and time to failure."""
    alpha: float | None = None
    """Voight's exponent; None: estimated in 1.5..2.5."""
