"""What is asked of the devices on a Modbus line: `ModbusPlan`, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from firmware_bridge.modbus_frame import (
    MAX_READ,
    ORDERS,
    READ_HOLDING,
    READS,
    TYPES,
    WRITE_ONE,
    WRITES,
    Request,
    as_type,
    register_count,
)

MAX_PERIOD_S = 86_400.0
MAX_WAIT_MS = 600_000
MAX_GAP_MS = 1000


@dataclass(frozen=True, slots=True)
class ModbusChannel:
    """One number in a device's registers. ValueError, naming the field, if that cannot be."""

    name: str
    register: int
    """The first of its registers, from 0 as they are sent: 40001 in a manual is 0 here."""
    type: str = "uint16"
    """One of `TYPES`."""
    order: str = "ABCD"
    """One of `ORDERS`."""
    function: int = READ_HOLDING
    """3 (holding registers) or 4 (input registers)."""
    scale: float = 1.0
    offset: float = 0.0
    """The value is what the registers hold, times ``scale``, plus ``offset``."""
    missing: tuple[float, ...] = ()
    """What the device sends for "no value", as the registers hold it."""

    def __post_init__(self) -> None:
        """Check what a configuration can get wrong."""
        if not self.name:
            raise ValueError("name: none given")
        if self.type not in TYPES:
            raise ValueError(f"type {self.type!r}: one of {', '.join(TYPES)}")
        if self.order not in ORDERS:
            raise ValueError(f"order {self.order!r}: one of {', '.join(ORDERS)}")
        if self.function not in READS:
            raise ValueError(f"function {self.function}: 3 or 4")
        if not 0 <= self.register <= 0x10000 - self.count:
            raise ValueError(f"register {self.register}: 0..{0x10000 - self.count}")
        if not (math.isfinite(self.scale) and self.scale):
            raise ValueError(f"scale {self.scale}: a number other than 0")
        if not math.isfinite(self.offset):
            raise ValueError(f"offset {self.offset}: a finite number")
        try:
            [as_type(value, self.type) for value in self.missing]
        except ValueError as error:
            raise ValueError(f"missing: {error}") from error

    @property
    def count(self) -> int:
        """How many registers it takes."""
        return register_count(self.type)


@dataclass(frozen=True, slots=True)
class Write:
    """A step: write registers, such as the one that triggers a measurement."""

    register: int
    values: tuple[int, ...]
    function: int = WRITE_ONE


@dataclass(frozen=True, slots=True)
class Wait:
    """A step: let the device work; others are asked meanwhile."""

    ms: int


@dataclass(frozen=True, slots=True)
class Read:
    """A step: read all channels, in as few blocks as there are."""


@dataclass(frozen=True, slots=True)
class Check:
    """A step: read a register, such as that of errors, and believe nothing if it is not so."""

    register: int
    equals: int = 0
    mask: int = 0xFFFF
    """Bits that count."""
    function: int = READ_HOLDING


Step = Write | Wait | Read | Check


@dataclass(frozen=True, slots=True)
class ModbusDevice:
    """One device and what is asked of it. ValueError, naming the field, if that cannot be."""

    address: int
    """1..247; its own on the line."""
    name: str
    channels: tuple[ModbusChannel, ...]
    period_s: float
    steps: tuple[Step, ...] = (Read(),)
    """One measurement, in order; exactly one of them is `Read`."""
    timeout_ms: int = 1000
    """For one answer, from the request to its last byte."""
    retries: int = 2
    """How often one request is put again."""
    gap_ms: int | None = None
    """Silence before it is asked, where it needs another than the plan's."""
    warm_up_ms: int = 0
    """After the port is opened (and the device powered with it), before it is first asked."""
    max_registers: int = MAX_READ
    """Most that it gives in one answer."""

    def __post_init__(self) -> None:
        """Check what a configuration can get wrong."""
        if not 1 <= self.address <= 247:
            raise ValueError(f"address {self.address}: 1..247")
        if not self.name:
            raise ValueError("name: none given")
        if not 0.1 <= self.period_s <= MAX_PERIOD_S:
            raise ValueError(f"period_s {self.period_s}: 0.1..{MAX_PERIOD_S:g}")
        limits = (
            ("timeout_ms", 10, 60_000),
            ("retries", 0, 20),
            ("gap_ms", 2, MAX_GAP_MS),
            ("warm_up_ms", 0, MAX_WAIT_MS),
            ("max_registers", 1, MAX_READ),
        )
        for field, low, high in limits:
            value = getattr(self, field)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{field} {value}: {low}..{high}")
        if not self.channels:
            raise ValueError("channel: none given")
        for channel in self.channels:
            if channel.count > self.max_registers:
                raise ValueError(f"max_registers {self.max_registers}: {channel.name} needs more")
        self._check_steps()

    def _check_steps(self) -> None:
        if sum(isinstance(step, Read) for step in self.steps) != 1:
            raise ValueError("step: exactly one reads")
        ends_waiting = isinstance(self.steps[0], Wait) or isinstance(self.steps[-1], Wait)
        if ends_waiting:
            raise ValueError("step: neither the first nor the last waits; see warm_up_ms")
        for step in self.steps:
            if isinstance(step, Wait) and not 0 <= step.ms <= MAX_WAIT_MS:
                raise ValueError(f"step: ms {step.ms}: 0..{MAX_WAIT_MS}")
            if isinstance(step, Write) and step.function not in WRITES:
                raise ValueError(f"step: function {step.function}: 6 or 16")
            if isinstance(step, Check):
                self._check_check(step)
            try:
                self.requests(step)
            except ValueError as error:
                raise ValueError(f"step: {error}") from error

    @staticmethod
    def _check_check(step: Check) -> None:
        if step.function not in READS:
            raise ValueError(f"step: function {step.function}: 3 or 4")
        if not 0 < step.mask <= 0xFFFF:
            raise ValueError(f"step: mask {step.mask}: 1..65535")
        if not 0 <= step.equals <= 0xFFFF or step.equals & ~step.mask:
            raise ValueError(f"step: equals {step.equals}: 0..65535, and of the bits of mask")

    def requests(self, step: Step) -> tuple[Request, ...]:
        """Give what is asked in a step."""
        if isinstance(step, Write):
            count = len(step.values)
            return (Request(self.address, step.function, step.register, count, step.values),)
        if isinstance(step, Check):
            return (Request(self.address, step.function, step.register),)
        if isinstance(step, Read):
            return self._blocks()
        return ()

    def _blocks(self) -> tuple[Request, ...]:
        """Join channels that lie side by side; what lies between others is left unread."""
        blocks: list[tuple[int, int, int]] = []  # function, first, end
        for channel in sorted(self.channels, key=lambda each: (each.function, each.register)):
            end = channel.register + channel.count
            if blocks:
                function, first, last = blocks[-1]
                joined = max(last, end)
                if (
                    function == channel.function
                    and channel.register <= last
                    and joined - first <= self.max_registers
                ):
                    blocks[-1] = (function, first, joined)
                    continue
            blocks.append((channel.function, channel.register, end))
        return tuple(Request(self.address, f, first, end - first) for f, first, end in blocks)

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names in the order of a reading's values."""
        return tuple(channel.name for channel in self.channels)


@dataclass(frozen=True, slots=True)
class ModbusPlan:
    """The devices on one line. ValueError if they contradict each other."""

    devices: tuple[ModbusDevice, ...]
    gap_ms: int = 40
    """Silence before each request: 3.5 characters at 1200 baud are 32 ms, at 9600 are 4 ms; a USB
    adapter may tell of a byte 16 ms late."""
    echo: bool = False
    """Whether the adapter hears what it sends."""

    def __post_init__(self) -> None:
        """Check what a configuration can get wrong."""
        if not self.devices:
            raise ValueError("device: none given")
        if not 2 <= self.gap_ms <= MAX_GAP_MS:
            raise ValueError(f"gap_ms {self.gap_ms}: 2..{MAX_GAP_MS}")
        self._check_unique("address", [str(device.address) for device in self.devices])
        self._check_unique("name", [device.name for device in self.devices])
        self._check_unique("channel", [name for each in self.devices for name in each.names])

    @staticmethod
    def _check_unique(field: str, given: list[str]) -> None:
        twice = sorted({each for each in given if given.count(each) > 1})
        if twice:
            raise ValueError(f"{field}: {', '.join(map(repr, twice))} is there twice on this port")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all channels on the line."""
        return tuple(name for device in self.devices for name in device.names)

    def gap_of(self, device: ModbusDevice) -> int:
        """Give the silence that must go before a request to a device."""
        return self.gap_ms if device.gap_ms is None else device.gap_ms
