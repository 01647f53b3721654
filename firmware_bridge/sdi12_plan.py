"""What is asked of the SDI-12 sensors on a port: `Sdi12Plan`, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from firmware_bridge.sdi12_frame import Verb, is_address, verb_of

MAX_SENSORS = 62
"""Addresses there are."""
MAX_FRAMING = 32
"""Longest prefix or suffix, bytes."""
MAX_PERIOD_S = 86_400.0
MAX_WAIT_S = 999
MISSING = (-9999.0, -99999.0, 9999999.0, -9999999.0)
"""What sensors send for "no value", as SDI-12 has no word for it: see the sensor's manual."""
_MAX_INDEX = {"M": 8, "C": 98, "R": 36}
COMMANDS = "M, MC, M1..M9, MC1..MC9, C, CC, C1..C9, CC1..CC9, R0..R9 or RC0..RC9"


@dataclass(frozen=True, slots=True)
class Sdi12Sensor:
    """One sensor and what is asked of it. ValueError, naming the field, if that cannot be."""

    address: str
    """One of 0-9, a-z, A-Z; its own on the bus."""
    name: str
    command: str
    """Such as "MC" (with a CRC) or "M"; "C" and "CC" measure beside others; "R0" has it ready."""
    channels: tuple[tuple[str, int], ...]
    """(channel name, zero-based place of its value among all that the sensor sends)."""
    period_s: float
    timeout_ms: int = 1000
    """For one answer, from the command to its last byte: 80 characters take 670 ms at 1200 baud."""
    retries: int = 3
    """How often one command is put again; the standard wants three at least."""
    max_wait_s: int = 120
    """A sensor that says it needs longer is not believed: that answer has no checksum."""
    missing: tuple[float, ...] = MISSING

    def __post_init__(self) -> None:
        """Check what a configuration can get wrong."""
        if not is_address(self.address):
            raise ValueError(f"address {self.address!r}: one of 0-9, a-z, A-Z")
        if not self.name:
            raise ValueError("name: none given")
        if verb_of(self.command) is None:
            raise ValueError(f"command {self.command!r}: {COMMANDS}")
        if not 0.1 <= self.period_s <= MAX_PERIOD_S:
            raise ValueError(f"period_s {self.period_s}: 0.1..{MAX_PERIOD_S:g}")
        if not 20 <= self.timeout_ms <= 60_000:
            raise ValueError(f"timeout_ms {self.timeout_ms}: 20..60000")
        if not 0 <= self.retries <= 20:
            raise ValueError(f"retries {self.retries}: 0..20")
        if not 0 <= self.max_wait_s <= MAX_WAIT_S:
            raise ValueError(f"max_wait_s {self.max_wait_s}: 0..{MAX_WAIT_S}")
        if not all(map(math.isfinite, self.missing)):
            raise ValueError("missing: finite numbers only")
        self._check_channels()

    def _check_channels(self) -> None:
        if not self.channels:
            raise ValueError("channels: none given")
        highest = _MAX_INDEX[self.verb.kind]
        places: dict[int, str] = {}
        for name, index in self.channels:
            if not 0 <= index <= highest:
                raise ValueError(f"channels: {name} = {index}: 0..{highest} for {self.command}")
            if index in places:
                raise ValueError(f"channels: value {index} is {places[index]} and {name}")
            places[index] = name

    @property
    def verb(self) -> Verb:
        """What the command asks for."""
        verb = verb_of(self.command)
        assert verb is not None  # checked when it was made
        return verb

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names in the order of a reading's values."""
        return tuple(name for name, _ in self.channels)

    @property
    def wanted(self) -> int:
        """How many values must come until the last channel has its own."""
        return 1 + max(index for _, index in self.channels)


@dataclass(frozen=True, slots=True)
class Sdi12Plan:
    """The sensors behind one transparent adapter. ValueError if they contradict each other."""

    sensors: tuple[Sdi12Sensor, ...]
    gap_ms: int = 20
    """Silence before each command; a retry may not come earlier than 16.67 ms."""
    prefix: bytes = b""
    """What the adapter wants before each command, such as its word for a break."""
    suffix: bytes = b""
    """What the adapter wants after each command."""

    def __post_init__(self) -> None:
        """Check what a configuration can get wrong."""
        if not 0 < len(self.sensors) <= MAX_SENSORS:
            raise ValueError(f"sensor: {len(self.sensors)} given, 1..{MAX_SENSORS}")
        if not 17 <= self.gap_ms <= 1000:
            raise ValueError(f"gap_ms {self.gap_ms}: 17..1000")
        for field, framing in (("prefix", self.prefix), ("suffix", self.suffix)):
            if len(framing) > MAX_FRAMING:
                raise ValueError(f"{field}: {len(framing)} bytes, at most {MAX_FRAMING}")
        self._check_unique("address", [sensor.address for sensor in self.sensors])
        self._check_unique("name", [sensor.name for sensor in self.sensors])
        self._check_unique("channels", [name for each in self.sensors for name in each.names])

    @staticmethod
    def _check_unique(field: str, given: list[str]) -> None:
        twice = sorted({each for each in given if given.count(each) > 1})
        if twice:
            raise ValueError(f"{field}: {', '.join(map(repr, twice))} is there twice on this port")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all channels of the bus."""
        return tuple(name for sensor in self.sensors for name in sensor.names)
