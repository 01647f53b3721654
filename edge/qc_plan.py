"""What quality control knows of each channel before the first reading."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.site import SiteChannel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.config import StationConfig

MOVING = ("displacement", "crack_width", "tilt")
BURSTING = ("rainfall", "acceleration")
"""What is at rest and then jumps: neither a jump nor stillness tells anything."""
STILL_STEPS = 8
"""A slope that is read once a day may well show the same on two days."""
_NAN = math.nan


@dataclass(frozen=True, slots=True)
class QcChannel:
    """One channel; NaN: learned, or not limited."""

    name: str
    quantity: str = "displacement"
    unit: str = "mm"
    noise_sd: float = _NAN
    resolution: float = _NAN
    max_rate_per_h: float = _NAN
    spike_limit: float = _NAN
    """A jump of more is held back; inf: none is. NaN: learned from the running noise."""
    gap_after_ms: float = _NAN
    frozen_after_ms: int = 0
    """0: only where the learned noise makes it impossible."""
    neighbours: tuple[int, ...] = ()
    """Places of the channels that must move with it, nearest first."""
    temperature: int = -1
    """Place of the channel it answers to, -1: none."""
    coefficient: float = _NAN
    """Unit a degC, taken out of what the models get; NaN: nothing is."""
    reference_c: float = _NAN

    @property
    def moves(self) -> bool:
        """Whether it measures movement."""
        return self.quantity in MOVING

    @property
    def steady(self) -> bool:
        """Whether it is of the kind that has noise at all times and goes by small steps."""
        return self.quantity not in BURSTING


def qc_channels(config: StationConfig, jump_limits: Sequence[float] | None) -> list[QcChannel]:
    """Give the channels of a station; ``jump_limits``: those of its bundle, inf where none."""
    site = {each.name: each for each in config.site}
    names = [channel.name for channel in config.channels]
    warm = [i for i, c in enumerate(config.channels) if c.quantity == "temperature"]
    made = []
    for i, channel in enumerate(config.channels):
        own = site.get(channel.name) or SiteChannel(channel.name)
        limit = own.spike_limit
        if math.isnan(limit) and jump_limits is not None and jump_limits[i] < math.inf:
            limit = jump_limits[i]
        alike = [
            j
            for j, other in enumerate(config.channels)
            if j != i and (other.quantity, other.unit) == (channel.quantity, channel.unit)
        ]
        alike.sort(key=lambda j: (abs(j - i), j))
        named = [names.index(name) for name in own.neighbours]
        temperature = names.index(own.temperature_channel) if own.temperature_channel else -1
        if temperature < 0 and channel.quantity in MOVING and warm:
            temperature = warm[0]
        given = own.temperature_coefficient if own.temperature_channel else _NAN
        made.append(
            QcChannel(
                channel.name,
                channel.quantity,
                channel.unit,
                own.noise_sd,
                own.resolution,
                own.max_rate_per_h,
                limit,
                1000.0 * own.gap_after_s,
                max(channel.frozen_after_ms, STILL_STEPS * config.step_ms)
                if channel.frozen_after_ms
                else 0,
                tuple(named or alike),
                temperature,
                given,
                own.reference_c,
            )
        )
    return made
