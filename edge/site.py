"""What a site's own history says of each channel: [station.site.CHANNEL], all optional.

`talus-export calibrate` writes these tables; an engineer may edit them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.fields import Table

_NAN = math.nan


@dataclass(frozen=True, slots=True)
class SiteChannel:
    """One channel, in its own unit; NaN: not known, and learned where that can be."""

    name: str
    noise_sd: float = _NAN
    """Standard deviation of a reading of a slope at rest."""
    resolution: float = _NAN
    """The least change that the sensor can show."""
    max_rate_per_h: float = _NAN
    """No slope moves faster, and nothing else of this kind changes faster."""
    spike_limit: float = _NAN
    """A jump of more is held back until the next reading bears it out."""
    gap_after_s: float = _NAN
    v_eq_per_day: float = _NAN
    """Steady speed of the slope."""
    v_max_seen_per_day: float = _NAN
    """Greatest speed over 24 h in the history."""
    temperature_channel: str = ""
    temperature_coefficient: float = _NAN
    """Unit a degC that this sensor shows for temperature alone."""
    reference_c: float = _NAN
    neighbours: tuple[str, ...] = ()
    """Channels that must move with it, nearest first."""
    wet_above: float = _NAN
    """Soil moisture or pore pressure from here on: the ground is wet."""


def parse_site(t: Table, channels: tuple[str, ...]) -> tuple[SiteChannel, ...]:
    """Read the tables of all channels, each of which must be one of ``channels``."""
    found = []
    for name, _ in t.items():
        if name not in channels:
            t.wrong(name, f"no channel of this station; there are: {', '.join(channels)}")
            continue
        found.append(_channel(t.table(name), name, channels))
    return tuple(found)


def _channel(t: Table, name: str, channels: tuple[str, ...]) -> SiteChannel:
    def positive(key: str) -> float:
        return t.number(key, _NAN, low=0.0)

    def known(key: str, names: tuple[str, ...]) -> None:
        for each in names:
            if each not in channels or each == name:
                t.wrong(key, f"{each!r} is no other channel of this station")

    temperature = t.text("temperature_channel", "")
    neighbours = t.texts("neighbours", [])
    known("temperature_channel", (temperature,) if temperature else ())
    known("neighbours", neighbours)
    site = SiteChannel(
        name=name,
        noise_sd=positive("noise_sd"),
        resolution=positive("resolution"),
        max_rate_per_h=positive("max_rate_per_h"),
        spike_limit=positive("spike_limit"),
        gap_after_s=positive("gap_after_s"),
        v_eq_per_day=positive("v_eq_per_day"),
        v_max_seen_per_day=positive("v_max_seen_per_day"),
        temperature_channel=temperature,
        temperature_coefficient=t.number("temperature_coefficient", _NAN),
        reference_c=t.number("reference_c", _NAN),
        neighbours=neighbours,
        wet_above=t.number("wet_above", _NAN),
    )
    t.done()
    return site
