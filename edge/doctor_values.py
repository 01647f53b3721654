"""Calibration: constants that no instrument has, last values that nothing on earth has. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edge import calibration as cal
from edge.calibrator import Calibrator
from edge.doctor_diagnosis import FAULT, OK, WARN, Diagnosis, count_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.config import Config, StationConfig
    from edge.parse_channels import ChannelConfig

LIMITS = {
    ("temperature", "degC"): (-60.0, 90.0),
    ("barometric_pressure", "kPa"): (45.0, 110.0),
    ("pore_pressure", "kPa"): (-100.0, 10_000.0),
    ("soil_moisture", "m3/m3"): (-0.05, 1.0),
    ("rainfall", "mm"): (0.0, 150.0),
    ("rainfall", "mm/h"): (0.0, 500.0),
    ("tilt", "deg"): (-180.0, 180.0),
    ("tilt", "mrad"): (-3142.0, 3142.0),
    ("battery_voltage", "V"): (0.0, 80.0),
    ("water_level", "m"): (-500.0, 1000.0),
}
"""What each quantity can be where slopes are watched; one reading of rain is of an hour at most."""
_OHMS = tuple(10 ** (2 + i / 4) for i in range(17))
"""100 ohm to 1 Mohm: in some of it every thermistor is at the temperature of a field."""
_FIELD_C = (-10.0, 45.0)
_SHEET = "copy the constants anew from the instrument's calibration sheet"
SHOWN = 8


def values(config: Config, states: dict[str, dict[str, Any]]) -> Iterator[Diagnosis]:
    """Judge every channel; ``states``: what was saved of each station, by its name."""
    units = {cal.full_name(s.name, c.name): c.unit for s in config.stations for c in s.channels}
    for station in config.stations:
        last = last_values(station, states.get(station.name, {}))
        wrong = [*_constants(station, units), *_last(station, last)]
        yield from wrong
        if not wrong:
            yield Diagnosis("values", station.name, OK, _summary(station, last))


def last_values(station: StationConfig, state: dict[str, Any]) -> dict[str, float | None]:
    """Return the last calibrated value of each channel; None: refused or missing in its row."""
    names = [(c.name, c.port) for c in station.channels]
    quality = state.get("quality")
    rows = quality.get("rows") if isinstance(quality, dict) else None
    found: dict[str, float | None] = {}
    for source, row in (rows if isinstance(rows, dict) else {}).items():
        last = row[4] if isinstance(row, list) and len(row) == 5 else None
        if not isinstance(last, list) or len(last) != len(names):
            continue  # of another configuration
        for (name, port), value in zip(names, last, strict=True):
            if port == source:
                found[name] = value if isinstance(value, int | float) else None
    return found


def _constants(station: StationConfig, units: dict[str, str]) -> Iterator[Diagnosis]:
    for channel in station.channels:
        subject = f"{station.name}/{channel.name}"
        for text in _wrong(channel):
            yield Diagnosis("values", subject, FAULT, text, _SHEET)
        for stage in channel.plan.stages:
            wanted = _wanted_unit(stage)
            for name in cal.referenced((stage,)):
                unit = units.get(cal.full_name(station.name, name))
                if unit != wanted:
                    text = f"its calibration takes {name!r} for {wanted}, and that is in {unit}"
                    fix = f"give {name!r} a calibration to {wanted}, or name another channel"
                    yield Diagnosis("values", subject, FAULT, text, fix)


def _wanted_unit(stage: cal.Stage) -> str:
    return "kPa" if isinstance(stage, cal.BarometerTerm) else "degC"


def _wrong(channel: ChannelConfig) -> Iterator[str]:
    low, high = channel.plan.low, channel.plan.high
    possible = LIMITS.get((channel.quantity, channel.unit))
    if possible is not None and (high < possible[0] or low > possible[1]):
        yield f"low..high is {low:g}..{high:g} {channel.unit}, where no {channel.quantity} is"
    for stage in channel.plan.stages:
        if isinstance(stage, cal.Linear) and stage.gain == 0:
            yield "gain = 0 makes every reading the same"
        elif isinstance(stage, cal.Polynomial) and not any(stage.coefficients[1:]):
            yield "its polynomial makes every reading the same"
        elif isinstance(stage, cal.Polynomial) and stage.input_scale == 0:
            yield "input_scale = 0 makes every reading the same"
        elif isinstance(stage, cal.SteinhartHart) and not _is_thermistor(stage):
            yield "by its a, b and c no resistance is a temperature of the field"
        elif isinstance(stage, cal.TemperatureTerm) and not -40 <= stage.reference_c <= 60:
            yield f"reference_c = {stage.reference_c:g}: no instrument is calibrated there"
        elif isinstance(stage, cal.BarometerTerm) and not 45 <= stage.reference_kpa <= 110:
            hint = ", is that hPa?" if 450 <= stage.reference_kpa <= 1100 else ""
            yield f"reference_kpa = {stage.reference_kpa:g}: no air has that pressure{hint}"


def _is_thermistor(stage: cal.SteinhartHart) -> bool:
    plan = cal.ChannelPlan("t", "t", (stage,), *_FIELD_C)
    calibrator = Calibrator("", (plan,), ("t",), cal.Board(0), frozenset())
    return any(not math.isnan(calibrator.apply((ohm,), 0)[0]) for ohm in _OHMS)


def _last(station: StationConfig, last: dict[str, float | None]) -> Iterator[Diagnosis]:
    for channel in station.channels:
        if channel.name not in last:
            continue
        subject, value = f"{station.name}/{channel.name}", last[channel.name]
        if value is None:
            text = "its last reading holds no value, or one beyond low and high"
            fix = "see what comes (talus tail, with talus run stopped): a loose wire?"
            yield Diagnosis("values", subject, WARN, text, fix)
            continue
        low, high = LIMITS.get((channel.quantity, channel.unit), (-math.inf, math.inf))
        if not low <= value <= high:
            text = f"reads {value:.6g} {channel.unit}, and no {channel.quantity} is that"
            yield Diagnosis("values", subject, FAULT, text, _SHEET, value, channel.unit)


def _summary(station: StationConfig, last: dict[str, float | None]) -> str:
    count = count_text(len(station.channels), "channel")
    text = f"{count}, constants as instruments have them"
    units = {c.name: c.unit for c in station.channels}
    pairs = [f"{name} {value:.5g} {units[name]}" for name, value in last.items()
             if value is not None]  # fmt: skip
    if not pairs:
        return f"{text}; no values are known yet"
    more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
    return f"{text}; last values: {', '.join(pairs[:SHOWN])}{more}"
