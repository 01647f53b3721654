"""Faults of sensors, loggers and links: their classes, where one is to be, and where it was."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from firmware_bridge.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from export.generator.voight import Floats

Ints = npt.NDArray[np.int64]
Labels = npt.NDArray[np.uint32]


class Fault(IntFlag):
    """What is wrong with a value or a row; several may be at once."""

    GAP = 1
    """Rows that never came; the label is at the first row after them."""
    FREEZE = 2
    """Stuck to the last digit."""
    SPIKE = 4
    """Off for a row or two, then back."""
    STEP = 8
    """One sensor is off from here on: knocked, re-zeroed, replaced."""
    DRIFT = 16
    """One sensor runs away slowly; afterwards it stays where it came to, without label."""
    DUPLICATE = 32
    """All channels repeat a row of long ago."""
    CLOCK = 64
    """The times are wrong: ahead, behind, or since 1970."""
    TEMPERATURE = 128
    """The temperature coefficient has grown, and stays so."""
    SWAP = 256
    """Two channels are exchanged."""
    OFFSET = 512
    """A round number too much, as +100 cm by a slip of the hand."""
    NOISE = 1024
    """Far more noise than the sensor has."""
    LATE = 2048
    """Kept while the link was down, came in a heap after the first new row."""
    OUT_OF_ORDER = 4096
    """A row that came after later ones."""
    DOUBLED = 8192
    """The same row once more; the label is at the second."""
    MISSING = 16_384
    """One channel has no value: NaN."""
    RANGE = 32_768
    """A number that the sensor cannot give: an error code taken for a value."""

    @property
    def text(self) -> str:
        """The name as commands write it, such as "out_of_order"."""
        return (self.name or "").lower()


ROW_FAULTS = (
    Fault.GAP | Fault.DUPLICATE | Fault.CLOCK | Fault.LATE | Fault.OUT_OF_ORDER | Fault.DOUBLED
)
"""Faults of whole rows, with no channel of their own."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault that is to be put in. ``row`` and ``rows`` count rows of the site, as measured."""

    kind: Fault
    row: int
    rows: int = 1
    """How long. TEMPERATURE: until it is full grown. OUT_OF_ORDER: so many rows come before it."""
    channel: str = ""
    other: str = ""
    """SWAP: with which channel."""
    size: float = 0.0
    """In the unit of the channel. NOISE: sd added; TEMPERATURE: coefficient added; RANGE: the
    value itself; DUPLICATE: so many rows back; CLOCK: ms added."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a fault is, in rows and times of the site as they truly were; both ends included."""

    kind: Fault
    channel: str
    """Empty: all."""
    first_row: int
    last_row: int
    start_ms: int
    end_ms: int
    size: float


@dataclass(frozen=True, slots=True)
class Faulted:
    """Rows in the order of their arrival, and what is wrong with each value."""

    channels: tuple[str, ...]
    time_ms: Ints
    """As the row says, be it wrong."""
    received_ms: Ints
    values: Floats
    row: Ints
    """Row of the site that each was."""
    labels: Labels
    """`Fault` bits, uint32[rows, channels]."""
    spans: tuple[Span, ...]

    def rows(self) -> Iterator[tuple[int, int, tuple[float, ...]]]:
        """Give (time_ms, received_ms, values)."""
        columns = (self.time_ms.tolist(), self.received_ms.tolist(), self.values.tolist())
        for time_ms, received_ms, values in zip(*columns, strict=True):
            yield time_ms, received_ms, tuple(values)

    def readings(self, source: str) -> Iterator[Reading]:
        """Give the rows as a driver would."""
        for time_ms, received_ms, values in self.rows():
            yield Reading(source, time_ms, -1, self.channels, values, received_ms)
