"""The [[station.channel]] tables of gateway.toml."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge import calibration as cal
from edge.manifest import AGGREGATES
from edge.tips import Counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.fields import Table

UNITS = (
    "mm", "m", "mrad", "deg", "kPa", "degC", "V", "m3/m3", "mm/h", "Hz", "ohm", "raw", "1",
)  # fmt: skip
QUANTITIES = (
    "displacement", "tilt", "crack_width", "pore_pressure", "rainfall", "soil_moisture",
    "temperature", "barometric_pressure", "battery_voltage", "acceleration", "water_level",
    "frequency", "resistance", "other",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """A channel of a station: where it comes from, and what it is once calibrated."""

    name: str
    port: str
    quantity: str
    unit: str
    aggregate: str
    plan: cal.ChannelPlan
    frozen_after_ms: int = 0
    """The same value to the last digit for longer is a hung sensor; 0: never."""


def parse_channel(t: Table) -> ChannelConfig:
    """Read one channel table."""
    name = t.text("name")
    quantity = t.text("quantity", "other", choices=QUANTITIES)
    unit = t.text("unit", choices=UNITS)
    default = "sum" if quantity == "rainfall" else "mean"
    low, high = t.number("low", math.nan), t.number("high", math.nan)
    if low >= high:
        t.wrong("high", f"{high:g} must be above low, {low:g}")
    stages = tuple(_stage(s) for s in t.tables("calibration"))
    if sum(isinstance(stage, Counter) for stage in stages) > 1:
        t.wrong("calibration", "one counter at most")
    channel = ChannelConfig(
        name=name,
        port=t.text("port"),
        quantity=quantity,
        unit=unit,
        aggregate=t.text("aggregate", default, choices=AGGREGATES),
        plan=cal.ChannelPlan(name, t.text("column", name), stages, low, high),
        frozen_after_ms=round(
            1000 * t.number("frozen_after_s", _frozen_after_s(quantity), low=0.0, high=1e9)
        ),
    )
    if not name or "/" in name:
        t.wrong("name", "must be a name without '/'")
    t.done()
    return channel


def _frozen_after_s(quantity: str) -> float:
    """Return the default: what moves or tilts is never still to the last digit for a day."""
    return 86_400.0 if quantity in ("displacement", "crack_width", "tilt") else 0.0


def _stage(t: Table) -> cal.Stage:
    kinds: dict[str, Callable[[Table], cal.Stage]] = {
        "linear": lambda t: cal.Linear(t.number("gain", 1.0), t.number("offset", 0.0)),
        "polynomial": lambda t: cal.Polynomial(
            t.numbers("coefficients"), t.number("input_scale", 1.0)
        ),
        "steinhart_hart": lambda t: cal.SteinhartHart(
            t.number("a"), t.number("b"), t.number("c"), t.number("offset_c", 0.0)
        ),
        "temperature_term": lambda t: cal.TemperatureTerm(
            t.text("channel"), t.number("reference_c"), t.number("gain")
        ),
        "barometer_term": lambda t: cal.BarometerTerm(
            t.text("channel"), t.number("reference_kpa", 101.3), t.number("gain", 1.0)
        ),
        "thermal_polynomial": lambda t: cal.ThermalPolynomial(
            t.text("channel"), t.numbers("coefficients", length=6), t.number("gain", 1.0)
        ),
        "counter": lambda t: Counter(
            t.number("max_step", Counter().max_step, low=1.0, high=1e9),
            t.integer("wraps_at", 0, high=2**53),
        ),
    }
    kind = t.text("kind", choices=tuple(kinds))
    if kind not in kinds:
        return cal.Linear()
    stage = kinds[kind](t)
    if isinstance(stage, cal.Polynomial) and not stage.coefficients:
        t.wrong("coefficients", "at least one needed")
    if isinstance(stage, Counter) and 0 < stage.wraps_at <= 2 * stage.max_step:
        t.wrong("wraps_at", f"{stage.wraps_at} must be more than twice max_step")
    t.done()
    return stage
