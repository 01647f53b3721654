"""Raw counts to engineering units: a chain of stages a channel, evaluated in dependency order.

Stages compose: a vibrating-wire piezometer is polynomial -> temperature_term ->
barometer_term -> linear (head). Sources: Steinhart & Hart 1968; Geokon 4500 manual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.flags import Flag
from edge.tips import Counted, Counter

if TYPE_CHECKING:
    from collections.abc import Callable

    _Curve = Callable[[float, int], float]
    _Row = tuple[int, int, float, float, _Curve | None, float, float, str | None]

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


class Calibrator:
    """Calibrates the readings of one layout for one station.

    ``apply`` returns one value a channel in the order of ``plans``; NaN is missing or rejected,
    and every rejection is counted in ``rejected`` as (channel, reason). ``shared`` names the
    ``station/channel`` that any stage refers to: those are posted on the board.
    """

    def __init__(
        self,
        station: str,
        plans: tuple[ChannelPlan, ...],
        columns: tuple[str, ...],
        board: Board,
        shared: frozenset[str],
    ) -> None:
        self.rejected: dict[tuple[str, str], int] = {}
        self._board = board
        self._names = tuple(plan.name for plan in plans)
        rows = []
        for place in _in_order(station, plans):
            plan = plans[place]
            if plan.column in columns:
                name = full_name(station, plan.name)
                post = name if name in shared else None
                rows.append(_row(place, columns.index(plan.column), plan, station, board, post))
        self._rows = tuple(rows)
        self._blank = [_NAN] * len(plans)
        self._refused: list[int] = []

    def apply(self, values: tuple[float, ...], time_ms: int) -> list[float]:
        """Calibrate one reading."""
        out = self._blank.copy()
        if self._refused:
            self._refused = []
        for place, column, gain, offset, curve, low, high, post in self._rows:
            x = values[column]
            if x != x:
                continue
            if curve is None:
                y = gain * x + offset
            else:
                y = curve(x, time_ms) if -MAX_RAW < x < MAX_RAW else math.inf
            if low <= y <= high:
                out[place] = y
                if post is not None:
                    self._board.post(post, time_ms, y)
            else:
                self._reject(self._names[place], y)
                self._refused.append(place)
        return out

    def missing(self, values: list[float]) -> list[tuple[int, Flag]]:
        """Give what the reading just applied should have held and does not, and why."""
        refused = self._refused
        return [
            (place, Flag.RANGE if place in refused else Flag.MISSING)
            for place, *_ in self._rows
            if values[place] != values[place]
        ]

    def _reject(self, channel: str, value: float) -> None:
        reason = "no_reference" if math.isnan(value) else "range"
        key = (channel, reason)
        self.rejected[key] = self.rejected.get(key, 0) + 1


def _row(
    place: int, column: int, plan: ChannelPlan, station: str, board: Board, post: str | None
) -> _Row:
    low = -MAX_RAW if math.isnan(plan.low) else plan.low
    high = MAX_RAW if math.isnan(plan.high) else plan.high
    if all(isinstance(stage, Linear) for stage in plan.stages):
        gain, offset = 1.0, 0.0
        for stage in plan.stages:
            assert isinstance(stage, Linear)
            gain, offset = gain * stage.gain, offset * stage.gain + stage.offset
        return place, column, gain, offset, None, low, high, post
    return place, column, 1.0, 0.0, _chain(plan, station, board), low, high, post


def _chain(plan: ChannelPlan, station: str, board: Board) -> Callable[[float, int], float]:
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


def _in_order(station: str, plans: tuple[ChannelPlan, ...]) -> list[int]:
    """Order channels so that what others refer to comes first; a circle is left as it stands."""
    names = {full_name(station, plan.name): i for i, plan in enumerate(plans)}
    ordered: list[int] = []
    visiting: set[int] = set()

    def visit(i: int) -> None:
        if i in ordered or i in visiting:
            return
        visiting.add(i)
        for name in referenced(plans[i].stages):
            if full_name(station, name) in names:
                visit(names[full_name(station, name)])
        ordered.append(i)

    for i in range(len(plans)):
        visit(i)
    return ordered
