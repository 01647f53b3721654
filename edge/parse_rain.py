"""The [station.rain] table of gateway.toml, and what a station has where it says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.rain_curves import CURVES, Curve, limit

if TYPE_CHECKING:
    from edge.fields import Table
    from edge.parse_channels import ChannelConfig

MAX_LIMITS = 16


@dataclass(frozen=True, slots=True)
class RainConfig:
    """Which channels are rain gauges, nearest first, and which curves are looked at."""

    gauges: tuple[str, ...]
    curves: tuple[Curve, ...]


NO_RAIN = RainConfig((), ())


def parse_rain(t: Table, channels: tuple[ChannelConfig, ...]) -> RainConfig:
    """Read the table. Gauges are by default every channel of rainfall in mm or mm/h."""
    rainy = {c.name for c in channels if c.quantity == "rainfall" and c.unit in ("mm", "mm/h")}
    default = [c.name for c in channels if c.name in rainy]
    gauges = t.texts("gauges", default)
    for name in gauges:
        if name not in rainy:
            known = ", ".join(default) or "none"
            t.wrong(
                "gauges", f"{name!r} is no channel of rainfall in mm or mm/h; there is: {known}"
            )
    names = t.texts("curves", list(CURVES))
    for name in names:
        if name not in CURVES:
            t.wrong("curves", f"{name!r} is not one of {', '.join(CURVES)}")
    limits = t.tables("limit")
    if len(limits) > MAX_LIMITS:
        t.wrong("limit", f"{len(limits)} limits, at most {MAX_LIMITS}")
    own = tuple(_limit(each) for each in limits[:MAX_LIMITS])
    for curve in own:
        if curve.name in CURVES or [c.name for c in own].count(curve.name) > 1:
            t.wrong("limit", f"the name {curve.name!r} is taken")
    t.done()
    return RainConfig(gauges, tuple(CURVES[n] for n in names if n in CURVES) + own)


def _limit(t: Table) -> Curve:
    curve = limit(
        t.text("name"),
        t.integer("hours", low=1, high=24 * 60),
        t.number("sum_mm", low=0.1, high=10_000.0),
    )
    t.done()
    return curve
