"""What leaves the bridge: `Reading`, `Dropped` and `LinkHealth`, and the `Driver` that gives them.

Damage is a value. Every frame or line that arrives and cannot be used gives exactly one `Dropped`,
so the rows that came in are the readings plus the dropped whose reason is in `ROW_REASONS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from firmware_bridge.record import record


class Quantity(IntEnum):
    """What a channel measures; the number is the code on the wire (TW1 DESCRIBE)."""

    OTHER = 0
    DISPLACEMENT = 1
    TILT = 2
    CRACK_WIDTH = 3
    PORE_PRESSURE = 4
    RAINFALL = 5
    SOIL_MOISTURE = 6
    TEMPERATURE = 7
    BAROMETRIC_PRESSURE = 8
    BATTERY_VOLTAGE = 9
    ACCELERATION = 10
    WATER_LEVEL = 11
    FREQUENCY = 12
    RESISTANCE = 13

    @property
    def text(self) -> str:
        """The name as configuration writes it, such as "pore_pressure"."""
        return self.name.lower()

    @classmethod
    def from_text(cls, text: str) -> Quantity:
        """Look a quantity up by its text; KeyError where there is none."""
        return _QUANTITY_BY_TEXT[text]


_QUANTITY_BY_TEXT = {quantity.text: quantity for quantity in Quantity}


class Unit(IntEnum):
    """The unit a channel is sent in; the number is the code on the wire (TW1 DESCRIBE)."""

    RAW = 0
    MM = 1
    M = 2
    MRAD = 3
    DEG = 4
    KPA = 5
    M3_M3 = 6
    DEG_C = 7
    V = 8
    HZ = 9
    OHM = 10
    MM_PER_H = 11
    TIPS = 12
    DIGITS = 13

    @property
    def text(self) -> str:
        """The unit as configuration and people write it, such as "kPa"."""
        return _UNIT_TEXT[self]

    @classmethod
    def from_text(cls, text: str) -> Unit:
        """Look a unit up by its text; KeyError where there is none."""
        return _UNIT_BY_TEXT[text]


_UNIT_TEXT = {
    Unit.RAW: "raw",
    Unit.MM: "mm",
    Unit.M: "m",
    Unit.MRAD: "mrad",
    Unit.DEG: "deg",
    Unit.KPA: "kPa",
    Unit.M3_M3: "m3/m3",
    Unit.DEG_C: "degC",
    Unit.V: "V",
    Unit.HZ: "Hz",
    Unit.OHM: "ohm",
    Unit.MM_PER_H: "mm/h",
    Unit.TIPS: "tips",
    Unit.DIGITS: "digits",
}
_UNIT_BY_TEXT = {text: unit for unit, text in _UNIT_TEXT.items()}

ROW_REASONS = frozenset(
    {
        # TW1 frames. A damaged frame does not say what it was, so each counts as a row.
        "cobs",  # the byte stuffing does not add up
        "crc",  # the checksum does not match
        "short",  # whole, but shorter than the smallest frame
        "overflow",  # more bytes without a delimiter than the longest frame has
        "version",  # a version of the protocol we do not speak
        "format",  # a DATA frame whose size does not match its own schema
        "schema",  # a DATA frame of a layout we do not (yet) know
        # Delimited lines.
        "columns",  # more or fewer columns than agreed: truncated or merged
        "time",  # the time column cannot be read, or is outside 1970..2200
        "encoding",  # a byte that is not printable ASCII
        "too_long",  # longer than any line may be
        "record",  # the record number cannot be read
        # Instruments that are asked: an answer came, and it is no reading.
        "exception",  # the instrument says that it cannot
        # All.
        "duplicate",  # seen before
        "empty",  # not one value is left of it
        "truncated",  # its first part had come when the port vanished
    }
)
"""Reasons of a `Dropped` that stands for one lost or refused reading.

The others are "timeout" (an instrument that was asked did not answer) and link noise: "partial"
(the rest of something whose beginning was sent before we opened the port) and "message" (a frame
other than DATA that arrived whole but makes no sense).
What never arrived at all is in `LinkHealth.gaps`, exact where the node numbers its samples.
"""

VALUE_REASONS = frozenset({"text", "nan", "inf", "missing", "invalid", "range"})
"""Why one value of a reading became NaN: text in a number, NaN, infinity, one of the configured
words for missing, its bit clear in the valid bitmap, outside low..high of its channel."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One column of a node's samples, as the node describes it."""

    name: str
    quantity: Quantity
    unit: Unit
    low: float
    """Least value the sensor can give, in `unit`; -inf where not stated."""
    high: float
    """Greatest value the sensor can give, in `unit`; inf where not stated."""
    period_ms: int
    """Time between samples, ms; 0 where not stated."""


@record
class Reading:
    """One sample of one node: all its channels at one time, in the node's own units."""

    source: str
    time_ms: int
    """When it was measured, ms since 1970 UTC."""
    sequence: int
    """Sample index or record number of the node; -1 where it has none."""
    channels: tuple[str, ...]
    """Channel names: the same object for every reading of one layout."""
    values: tuple[float, ...]
    """One a channel; NaN where missing."""
    received_ms: int
    """When its last byte arrived here, ms since 1970 UTC."""
    uncertainty_ms: float = -1.0
    """How far off ``time_ms`` may be; -1 where that is not known."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Bytes that arrived and gave no reading."""

    source: str
    reason: str
    """One of `ROW_REASONS`, "timeout", "partial" or "message"."""
    detail: str
    """For people: what was wrong."""
    received_ms: int
    size: int
    """Bytes lost (for an overflow: the bytes held when it was given up)."""


@dataclass(frozen=True, slots=True)
class LinkHealth:
    """Counters of one source since the program started."""

    source: str
    frames_ok: int
    """Frames (or lines) that arrived whole."""
    dropped: tuple[tuple[str, int], ...]
    """(reason, count) of every `Dropped`."""
    values_rejected: tuple[tuple[str, int], ...]
    """(reason, count) of single values that became NaN; reasons in `VALUE_REASONS`."""
    gaps: int
    """Samples that never arrived whole, by the node's own numbering."""
    duplicates: int
    reboots: int
    battery_mv: int | None
    node_uid: str | None
    firmware: str | None
    ignored: tuple[tuple[str, int], ...] = ()
    """(what, count) of harmless things let pass: "type", "flag", "echo", "comment"."""
    nodes: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    """(device, ((what, count), ...)) where a port has several: every loss has its device."""
    uncertainty_ms: float = -1.0
    """How far off the times of the readings may be; -1 where that is not known."""
    clock_jumps: int = 0
    """How often the node's clock was found to be another than it was."""


class Driver(Protocol):
    """One kind of instrument: bytes in, readings out, and what to write next. No I/O, no clock."""

    @property
    def source(self) -> str:
        """Name of the source, as in every reading."""
        ...

    def opened(self, now_ms: int) -> None:
        """Note that the port was (re)opened: forget the half frame, ask again what is needed."""
        ...

    def shift(self, step_ms: int) -> None:
        """Note that our own clock, which gives ``now_ms``, was set by so much."""
        ...

    def receive(self, data: bytes, now_ms: int) -> list[Reading | Dropped]:
        """Take any bytes at all, none to let a deadline pass; never raises."""
        ...

    def due_ms(self, now_ms: int) -> int | None:
        """Say when `receive` of nothing and `write_next` are to be called though no byte came."""
        ...

    def write_next(self, now_ms: int) -> bytes:
        """Give what to write now; b"" if nothing."""
        ...

    def health(self) -> LinkHealth:
        """Give the counters so far."""
        ...
