"""TW1 messages HELLO, DESCRIBE and STATS: payload bytes <-> frozen values. DATA is in `layout`.

Decoding never raises: a payload that makes no sense gives `Malformed`. Every size that the node
states is checked against a constant here.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from zlib import crc32

from firmware_bridge.reading import Channel, Quantity, Unit

HELLO = 0x01
DESCRIBE = 0x02
DATA = 0x30
DATA_BATCH = 0x31
STATS = 0x3F

MAX_CHANNELS = 64
MAX_NAME = 16
MAX_EXP10 = 30
"""Greatest power of ten, either way, that a channel may be scaled by."""

_HELLO = struct.Struct("<I8s3B8sHHB")
_DESCRIBE = struct.Struct("<BBBBBbIff")
_STATS = struct.Struct("<IIIIHH")


@dataclass(frozen=True, slots=True)
class Malformed:
    """A payload that arrived whole and makes no sense."""

    detail: str


@dataclass(frozen=True, slots=True)
class Hello:
    """Who the node is; sent at boot and on request (HELLO with an empty payload and ACK_REQ)."""

    boot_id: int
    """Drawn anew at each boot, u32."""
    uid: bytes
    """8 bytes."""
    firmware: tuple[int, int, int]
    image_hash: bytes
    """First 8 bytes of the hash of the running image."""
    schema: int
    """Low 16 bits of the CRC-32 of all DESCRIBE records; see `schema_of`."""
    max_raw: int
    """Longest raw frame the node takes, bytes."""
    reset_cause: int

    def encode(self) -> bytes:
        """Give the payload; ValueError if a field does not fit."""
        return _pack(
            _HELLO,
            self.boot_id,
            self.uid,
            *self.firmware,
            self.image_hash,
            self.schema,
            self.max_raw,
            self.reset_cause,
        )


def decode_hello(payload: bytes) -> Hello | Malformed:
    """Decode a HELLO that a node sent."""
    if len(payload) != _HELLO.size:
        return Malformed(f"HELLO of {len(payload)} bytes, not {_HELLO.size}")
    boot_id, uid, major, minor, patch, image_hash, schema, max_raw, cause = _HELLO.unpack(payload)
    return Hello(boot_id, uid, (major, minor, patch), image_hash, schema, max_raw, cause)


class DType(IntEnum):
    """How a channel's value is packed in DATA; the number is the code on the wire."""

    I16 = 0
    I32 = 1
    U32 = 2
    F32 = 3


@dataclass(frozen=True, slots=True)
class Description:
    """One DESCRIBE answer: channel `index` of `count`. A value is the packed number x 10^exp10."""

    index: int
    count: int
    channel: Channel
    dtype: DType
    exp10: int
    record: bytes = field(default=b"", compare=False, repr=False)
    """The payload as it came: the schema is made of it, whatever of it is understood here."""

    def encode(self) -> bytes:
        """Give the payload, which is also the record the schema is computed of."""
        name = self.channel.name.encode("ascii")
        if not 0 < len(name) <= MAX_NAME:
            raise ValueError(f"channel name {self.channel.name!r}: 1..{MAX_NAME} characters")
        head = _pack(
            _DESCRIBE,
            self.index,
            self.count,
            self.channel.quantity,
            self.channel.unit,
            self.dtype,
            self.exp10,
            self.channel.period_ms,
            self.channel.low,
            self.channel.high,
        )
        return head + name


def decode_description(payload: bytes) -> Description | Malformed:
    """Decode a DESCRIBE answer.

    A quantity or unit we do not know becomes OTHER or RAW: newer firmware may add a sensor without
    silencing the ones we do know. low and high that are NaN, or both equal, mean: not stated.
    """
    if not _DESCRIBE.size < len(payload) <= _DESCRIBE.size + MAX_NAME:
        return Malformed(f"DESCRIBE of {len(payload)} bytes")
    index, count, quantity, unit, dtype, exp10, period_ms, low, high = _DESCRIBE.unpack_from(
        payload
    )
    name = payload[_DESCRIBE.size :].rstrip(b"\0").decode("ascii", "replace")
    if not (name and name.isascii() and name.isprintable()):
        return Malformed(f"DESCRIBE {index}: the name is not printable ASCII")
    if not index < count <= MAX_CHANNELS:
        return Malformed(f"DESCRIBE {index} of {count}: at most {MAX_CHANNELS} channels")
    if dtype not in _DTYPES or abs(exp10) > MAX_EXP10:
        return Malformed(f"DESCRIBE {index} {name}: dtype {dtype} or exp10 {exp10} unknown")
    low, high = _bounds(low, high)
    if low > high:
        return Malformed(f"DESCRIBE {index} {name}: low {low:g} above high {high:g}")
    channel = Channel(
        name,
        Quantity(quantity) if quantity in _QUANTITIES else Quantity.OTHER,
        Unit(unit) if unit in _UNITS else Unit.RAW,
        low,
        high,
        period_ms,
    )
    return Description(index, count, channel, DType(dtype), exp10, bytes(payload))


_DTYPES = frozenset(int(dtype) for dtype in DType)
_QUANTITIES = frozenset(int(quantity) for quantity in Quantity)
_UNITS = frozenset(int(unit) for unit in Unit)


def _bounds(low: float, high: float) -> tuple[float, float]:
    if low == high:
        return -math.inf, math.inf
    # f32 0.1 reads as 0.10000000149: give the decimal that was meant.
    low = -math.inf if math.isnan(low) else float(f"{low:.7g}")
    high = math.inf if math.isnan(high) else float(f"{high:.7g}")
    return low, high


def schema_of(records: list[bytes]) -> int:
    """Give the schema of a layout: low 16 bits of the CRC-32 of its DESCRIBE payloads in order."""
    return crc32(b"".join(records)) & 0xFFFF


@dataclass(frozen=True, slots=True)
class Stats:
    """What the node counted since its boot."""

    received_ok: int
    received_crc: int
    received_format: int
    received_overflow: int
    free_stack: int
    """Least free stack seen, bytes."""
    battery_mv: int
    """0 where not measured."""

    def encode(self) -> bytes:
        """Give the payload; ValueError if a field does not fit."""
        return _pack(
            _STATS,
            self.received_ok,
            self.received_crc,
            self.received_format,
            self.received_overflow,
            self.free_stack,
            self.battery_mv,
        )


def decode_stats(payload: bytes) -> Stats | Malformed:
    """Decode a STATS message."""
    if len(payload) != _STATS.size:
        return Malformed(f"STATS of {len(payload)} bytes, not {_STATS.size}")
    return Stats(*_STATS.unpack(payload))


def _pack(layout: struct.Struct, *fields: float | bytes) -> bytes:
    try:
        return layout.pack(*fields)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"does not fit: {error}") from None
