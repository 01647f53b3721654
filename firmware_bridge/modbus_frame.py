"""Modbus RTU on the line: requests, what answers them, the CRC, and numbers in registers.

Sources: MODBUS over Serial Line V1.02 (2006), 2.5.1 and 6.2; MODBUS Application Protocol V1.1b3
(2012), 6.3, 6.4, 6.6, 6.12 and 7. Registers are numbered from 0, as they are sent.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from firmware_bridge.crc16 import MODBUS, crc16_of

READ_HOLDING = 3
READ_INPUT = 4
WRITE_ONE = 6
WRITE_SEVERAL = 16
READS = (READ_HOLDING, READ_INPUT)
WRITES = (WRITE_ONE, WRITE_SEVERAL)
MAX_READ = 125
"""Registers in one answer."""
MAX_WRITE = 123
REFUSAL_SIZE = 5
BUSY_CODES = (5, 6)
"""Refusals that say "later" and not "no"."""

_REFUSALS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, still working",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "no answer from behind the gateway",
}
_FORMATS = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "float32": ">f",
    "float64": ">d",
}
TYPES = tuple(_FORMATS)
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
"""How the bytes of a number, A the most significant, follow each other on the line. ABCD is what
the standard has; CDAB sends the least significant register first."""


def crc16(data: bytes) -> int:
    """Give the CRC-16/MODBUS: polynomial 0x8005 reflected, start 0xFFFF; sent low byte first."""
    return crc16_of(data, MODBUS)


def with_crc(body: bytes) -> bytes:
    """Give a frame as it is sent."""
    return body + crc16(body).to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one device. ValueError if it cannot be put."""

    slave: int
    """1..247."""
    function: int
    """3, 4, 6 or 16."""
    register: int
    count: int = 1
    """Registers to read, or written."""
    values: tuple[int, ...] = ()
    """What to write, 0..65535 each."""

    def __post_init__(self) -> None:
        """Check what a configuration can get wrong."""
        if not 1 <= self.slave <= 247:
            raise ValueError(f"address {self.slave}: 1..247")
        if self.function not in READS + WRITES:
            raise ValueError(f"function {self.function}: 3, 4, 6 or 16")
        most = MAX_READ if self.function in READS else MAX_WRITE
        if self.function == WRITE_ONE:
            most = 1
        if not 1 <= self.count <= most:
            raise ValueError(f"function {self.function}: {self.count} registers, 1..{most}")
        if not 0 <= self.register <= 0x10000 - self.count:
            raise ValueError(f"register {self.register}: 0..65535")
        if len(self.values) != (self.count if self.function in WRITES else 0):
            raise ValueError(f"values: {len(self.values)} for {self.count} registers")
        if not all(0 <= value <= 0xFFFF for value in self.values):
            raise ValueError("values: 0..65535 each")

    def encode(self) -> bytes:
        """Give it as it is sent."""
        words = struct.pack(f">{len(self.values)}H", *self.values)
        if self.function == WRITE_ONE:
            return with_crc(struct.pack(">BBH", self.slave, self.function, self.register) + words)
        head = struct.pack(">BBHH", self.slave, self.function, self.register, self.count)
        if self.function == WRITE_SEVERAL:
            head += bytes((len(words),)) + words
        return with_crc(head)

    @property
    def head(self) -> bytes:
        """The bytes that its answer must begin with."""
        if self.function in READS:
            return bytes((self.slave, self.function, 2 * self.count))
        return self.encode()[:6]

    @property
    def answer_size(self) -> int:
        """Bytes of its answer, the CRC included."""
        return 5 + 2 * self.count if self.function in READS else 8

    @property
    def text(self) -> str:
        """What it asks for, for people."""
        what = "read" if self.function in READS else "write"
        last = self.register + self.count - 1
        span = f"register {self.register}" if self.count == 1 else f"{self.register}..{last}"
        return f"function {self.function}, {what} {span}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device answered."""

    words: tuple[int, ...]
    """One a register; () of a write."""
    size: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """An exception response: the device heard, and cannot."""

    code: int
    size: int = REFUSAL_SIZE

    @property
    def text(self) -> str:
        """The code in words."""
        return f"{_REFUSALS.get(self.code, 'an unknown exception')} (exception {self.code})"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer begins here."""

    damaged: bool
    """Whether one did, but its CRC does not match."""


def cut_answer(data: bytes, at: int, request: Request) -> Answer | Refusal | NoAnswer | None:
    """Read the answer to a request that may begin at ``at``; None if more bytes are needed."""
    head, refusal = request.head, bytes((request.slave, request.function | 0x80))
    seen = data[at : at + len(head)]
    if seen == head:
        size = request.answer_size
    elif seen[:2] == refusal:
        size = REFUSAL_SIZE
    elif head.startswith(seen) or refusal.startswith(seen):
        return None
    else:
        return NoAnswer(damaged=False)
    frame = data[at : at + size]
    if len(frame) < size:
        return None
    if crc16(frame[:-2]) != int.from_bytes(frame[-2:], "little"):
        return NoAnswer(damaged=True)
    return _content(frame, request)


def _content(frame: bytes, request: Request) -> Answer | Refusal:
    if frame[1] & 0x80:
        return Refusal(frame[2])
    if request.function in WRITES:
        return Answer((), len(frame))
    return Answer(struct.unpack(f">{request.count}H", frame[3:-2]), len(frame))


def register_count(type_: str) -> int:
    """Give how many registers a number takes."""
    return struct.calcsize(_FORMATS[type_]) // 2


def number(words: tuple[int, ...], type_: str, order: str) -> float:
    """Read a number from its registers, as they came."""
    if order in {"CDAB", "DCBA"}:
        words = words[::-1]
    data = struct.pack(f"{'<' if order in {'BADC', 'DCBA'} else '>'}{len(words)}H", *words)
    value: float = struct.unpack(_FORMATS[type_], data)[0]
    return value


def as_type(value: float, type_: str) -> float:
    """Give the value as a number of this type has it; ValueError if it cannot."""
    format_ = _FORMATS[type_]
    try:
        whole = value if type_.startswith("float") else int(value)
        if whole != value:
            raise ValueError(f"{value} is no {type_}")
        held: float = struct.unpack(format_, struct.pack(format_, whole))[0]
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{value} is no {type_}") from error
    return held
