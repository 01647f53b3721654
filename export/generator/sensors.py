"""Sensors: their noise as measured in the field, and what they make of a moving slope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.generator.weather import coloured
from firmware_bridge.reading import Quantity, Unit

if TYPE_CHECKING:
    from export.generator.spec import SlopeSpec
    from export.generator.voight import Floats

_DAILY_FROM_S = 43_200
_DIP_NODES = 1.2
"""How many nodes away from the slip zone a column hardly tilts."""
_MRAD_PER_MM = 0.4


@dataclass(frozen=True, slots=True)
class Noise:
    """White noise, and noise that lasts, of an instrument; all in the unit of its channel."""

    white_sd: float
    coloured_sd: float
    lasting_h: float
    resolution: float
    per_degc: float = 0.0
    reach: float = float("inf")
    """From its first value to where it is torn off."""

    @property
    def sd(self) -> float:
        """Return the sd of all of it about the truth, temperature apart."""
        return float(np.hypot(self.white_sd, self.coloured_sd))


PRESETS = {
    # Daily solutions: sd 4 mm, daily differences 3.5 mm (measured: 3.1 - 3.9); at 0.7 mm a day
    # 42 % of the steps are negative, as measured.
    "gnss_daily": Noise(2.2, 3.34, 192.0, 0.1),
    "gnss_hourly_rtk": Noise(3.0, 2.5, 8.0, 0.1),
    "crack_meter": Noise(0.03, 0.02, 48.0, 0.01, 0.012, 5_000.0),
    "extensometer": Noise(0.12, 0.08, 24.0, 0.05, 0.03, 10_000.0),
    "tilt_mems": Noise(0.04, 0.03, 72.0, 0.01, 0.02, 1_000.0),
    "rain": Noise(0.0, 0.0, 1.0, 0.2),
    "pore_pressure": Noise(0.05, 0.05, 72.0, 0.01),
    "soil_moisture": Noise(0.001, 0.001, 72.0, 0.0001),
    "reservoir": Noise(0.01, 0.01, 24.0, 0.01),
    "temperature": Noise(0.1, 0.1, 6.0, 0.01),
}


@dataclass(frozen=True, slots=True)
class SiteChannel:
    """One column of a site."""

    name: str
    quantity: Quantity
    unit: Unit
    preset: str
    """Its key in `PRESETS`."""
    noise: Noise
    """As it is here: the preset, scaled, with this sensor's own temperature coefficient."""
    factor: float
    """Its unit per mm that the mass moves; 0 where it does not move with it."""
    neighbours: tuple[str, ...]
    """Channels of the same kind beside it, which ought to agree."""

    @property
    def moves(self) -> bool:
        """Return whether it measures movement, be it that it stands outside of what moves."""
        return self.quantity in _MOVING


_MOVING = (Quantity.CRACK_WIDTH, Quantity.DISPLACEMENT, Quantity.TILT)


def make_channels(spec: SlopeSpec) -> tuple[SiteChannel, ...]:
    """Return the channels of a site, in the order of its columns."""
    crack, displacement = Quantity.CRACK_WIDTH, Quantity.DISPLACEMENT
    gnss = "gnss_daily" if spec.step_s >= _DAILY_FROM_S else "gnss_hourly_rtk"
    groups = (
        ("crack", spec.cracks, crack, "crack_meter"),
        ("extensometer", spec.extensometers, displacement, "extensometer"),
        ("gnss", spec.gnss, displacement, gnss),
    )
    found = [
        (f"{name}_{i + 1}", quantity, preset)
        for name, count, quantity, preset in groups
        for i in range(count)
    ]
    names = [name for name, _, _ in found]
    moving = len(found) - spec.still
    made = []
    for i, (name, quantity, preset) in enumerate(found):
        draw = _own(spec, name)
        share = 1.0 if i == 0 else float(draw.uniform(0.4, 1.0))
        factor = share if i < moving else 0.0
        noise = _scaled(spec, preset, draw)
        around = _around(names, i)
        made.append(SiteChannel(name, quantity, Unit.MM, preset, noise, factor, around))
    names = [f"tilt_{i + 1}" for i in range(spec.tilt_nodes)]
    for i, name in enumerate(names):
        draw = _own(spec, name)
        away = (i - (len(names) - 1) / 2.0) / _DIP_NODES
        factor = _MRAD_PER_MM * float(np.exp(-0.5 * away * away) * draw.uniform(0.8, 1.0))
        noise = _scaled(spec, "tilt_mems", draw)
        around = _around(names, i)
        made.append(SiteChannel(name, Quantity.TILT, Unit.MRAD, "tilt_mems", noise, factor, around))
    return tuple(made) + _surroundings(spec)


def _surroundings(spec: SlopeSpec) -> tuple[SiteChannel, ...]:
    """Return the channels that do not move."""
    kinds = (
        (spec.pore_pressure, "pore_pressure", Quantity.PORE_PRESSURE, Unit.KPA, "pore_pressure"),
        (spec.rain, "rain", Quantity.RAINFALL, Unit.MM, "rain"),
        (spec.soil_moisture, "soil_moisture", Quantity.SOIL_MOISTURE, Unit.M3_M3, "soil_moisture"),
        (spec.reservoir, "reservoir_level", Quantity.WATER_LEVEL, Unit.M, "reservoir"),
        (spec.temperature, "air_temperature", Quantity.TEMPERATURE, Unit.DEG_C, "temperature"),
    )
    return tuple(
        SiteChannel(name, what, unit, preset, _scaled(spec, preset, _own(spec, name)), 0.0, ())
        for there, name, what, unit, preset in kinds
        if there
    )


def read_sensor(spec: SlopeSpec, channel: SiteChannel, truth: Floats, warmth: Floats) -> Floats:
    """Return what the instrument gives for a truth on the grid: noise, temperature, resolution."""
    noise, random = channel.noise, _own(spec, channel.name + " noise")
    lasting = noise.lasting_h * 3600.0 / spec.step_s
    read = truth + noise.white_sd * random.standard_normal(len(truth))
    read += coloured(len(truth), noise.coloured_sd, lasting, random)
    read += noise.per_degc * warmth
    read[~(np.abs(truth) <= noise.reach)] = np.nan
    return rounded(read, noise.resolution)


def rounded(values: Floats, resolution: float) -> Floats:
    """Return values in whole steps of a resolution, without the dust of binary fractions."""
    return np.asarray(np.round(np.round(values / resolution) * resolution, decimals(resolution)))


def decimals(resolution: float) -> int:
    """Return the decimals that show a resolution such as 0.05 whole."""
    return max(0, -int(np.floor(np.log10(resolution) + 1e-9)))


def _around(names: list[str], i: int) -> tuple[str, ...]:
    """Return the names before and after one; at an end, the two next."""
    near = sorted(range(len(names)), key=lambda other: (abs(other - i), other))[1:3]
    return tuple(names[other] for other in sorted(near) if abs(other - i) <= 2)


def _scaled(spec: SlopeSpec, preset: str, random: np.random.Generator) -> Noise:
    """Return a preset with this sensor's own temperature coefficient, of either sign."""
    base, scale = PRESETS[preset], spec.noise_scale
    own = float(random.uniform(0.5, 1.5)) * (1.0 if random.random() < 0.7 else -1.0)
    return Noise(
        base.white_sd * scale,
        base.coloured_sd * scale,
        base.lasting_h,
        base.resolution,
        base.per_degc * own * spec.temperature_scale,
        base.reach,
    )


def _own(spec: SlopeSpec, name: str) -> np.random.Generator:
    """Return a stream of random numbers of this sensor alone."""
    return np.random.default_rng([spec.seed, 2, *name.encode("ascii")])
