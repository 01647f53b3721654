"""Raw counts to engineering units: a chain of stages a channel, evaluated in dependency order.

Stages compose: a vibrating-wire piezometer is polynomial -> temperature_term ->
barometer_term -> linear (head). Sources: Steinhart & Hart 1968; Geokon 4500 manual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.tips import Counted, Counter

if TYPE_CHECKING:
    from collections.abc import Callable


MAX_RAW = 1e12
"""Larger magnitudes are treated as damage: polynomials of them overflow."""

_KELVIN = 273.15
_NAN = math.nan


@dataclass(frozen=True, slots=True)
class Linear:
    """y = gain * x + offset."""

    gain: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Polynomial:
    """y = sum c_i * (input_scale * x)^i, coefficients from the constant term up."""

    coefficients: tuple[float, ...]
    input_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class SteinhartHart:
    """Thermistor, ohm to degC: 1/T = a + b ln R + c (ln R)^3, then + offset_c."""

    a: float
    b: float
    c: float
    offset_c: float = 0.0


@dataclass(frozen=True, slots=True)
class TemperatureTerm:
    """y = x + (reference_c - T) * gain, T from another channel in degC."""

    channel: str
    reference_c: float
    gain: float


@dataclass(frozen=True, slots=True)
class BarometerTerm:
    """y = x - (p - reference_kpa) * gain, p from another channel in kPa."""

    channel: str
    reference_kpa: float = 101.3
    gain: float = 1.0


@dataclass(frozen=True, slots=True)
class ThermalPolynomial:
    """y = gain * (c0 + c1 x + c2 T + c3 x^2 + c4 x T + c5 T^2), T from another channel in degC."""

    channel: str
    coefficients: tuple[float, ...]
    gain: float = 1.0


Stage = (
    Linear
    | Polynomial
    | SteinhartHart
    | TemperatureTerm
    | BarometerTerm
    | ThermalPolynomial
    | Counter
)


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """How one channel of a station is made from a column of a reading. NaN = not limited."""

    name: str
    column: str
    stages: tuple[Stage, ...]
    low: float
    high: float


class Board:
    """Latest values that other channels refer to, by ``station/channel``, with their age.

    Counters keep theirs here too.
    """

    def __init__(self, max_age_ms: int) -> None:
        self.max_age_ms = max_age_ms
        self._latest: dict[str, tuple[int, float]] = {}

    def post(self, name: str, time_ms: int, value: float) -> None:
        """Store a referenced value."""
        self._latest[name] = (time_ms, value)

    def value(self, name: str, time_ms: int) -> float:
        """Return the value, NaN when it has never been seen or is older than max_age_ms."""
        found = self._latest.get(name)
        if found is None or abs(time_ms - found[0]) > self.max_age_ms:
            return _NAN
        return found[1]

    def latest(self, name: str, default: tuple[int, float]) -> tuple[int, float]:
        """Return (time_ms, value) of whatever age."""
        return self._latest.get(name, default)

    def snapshot(self) -> dict[str, list[float]]:
        """Return the state as JSON-ready values."""
        return {name: [t, v] for name, (t, v) in self._latest.items()}

    def restore(self, state: dict[str, list[float]]) -> None:
        """Continue from a snapshot."""
        self._latest = {name: (int(t), float(v)) for name, (t, v) in state.items()}


def referenced(stages: tuple[Stage, ...]) -> tuple[str, ...]:
    """Return the channels a chain of stages refers to."""
    kinds = (TemperatureTerm, BarometerTerm, ThermalPolynomial)
    return tuple(stage.channel for stage in stages if isinstance(stage, kinds))


def full_name(station: str, channel: str) -> str:
    """Return ``station/channel``; a name that already has a station is kept."""
    return channel if "/" in channel else f"{station}/{channel}"


def chain(plan: ChannelPlan, station: str, board: Board) -> Callable[[float, int], float]:
    """Return the composition of all stages as one function of (raw, time_ms)."""
    own = full_name(station, plan.name)
    steps = [
        Counted(stage, board, own) if isinstance(stage, Counter) else _curve(stage, station, board)
        for stage in plan.stages
    ]

    def run(x: float, time_ms: int) -> float:
        for step in steps:
            x = step(x, time_ms)
        return x

    return run


def _curve(stage: Stage, station: str, board: Board) -> Callable[[float, int], float]:
    if isinstance(stage, Linear):
        return lambda x, _: stage.gain * x + stage.offset
    if isinstance(stage, Polynomial):
        return lambda x, _: _horner(stage.coefficients, x * stage.input_scale)
    if isinstance(stage, SteinhartHart):
        return lambda x, _: _thermistor(stage, x)
    assert not isinstance(stage, Counter)
    name = full_name(station, stage.channel)
    if isinstance(stage, TemperatureTerm):
        return lambda x, t: x + (stage.reference_c - board.value(name, t)) * stage.gain
    if isinstance(stage, BarometerTerm):
        return lambda x, t: x - (board.value(name, t) - stage.reference_kpa) * stage.gain
    return lambda x, t: _thermal(stage, x, board.value(name, t))


def _horner(coefficients: tuple[float, ...], x: float) -> float:
    y = 0.0
    for c in reversed(coefficients):
        y = y * x + c
    return y


def _thermistor(stage: SteinhartHart, ohm: float) -> float:
    if ohm <= 0:
        return math.inf
    log = math.log(ohm)
    per_kelvin = stage.a + stage.b * log + stage.c * log**3
    return 1.0 / per_kelvin - _KELVIN + stage.offset_c if per_kelvin > 0 else math.inf


def _thermal(stage: ThermalPolynomial, x: float, t: float) -> float:
    c = stage.coefficients
    y = c[0] + c[1] * x + c[2] * t + c[3] * x * x + c[4] * x * t + c[5] * t * t
    return stage.gain * y
