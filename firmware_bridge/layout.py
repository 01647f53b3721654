"""TW1 DATA and DATA_BATCH: a layout (all DESCRIBE records of a node) and the samples packed by it.

    DATA  = u16 schema  u32 sample_index  u64 t_us  valid bitmap ceil(n/8)  packed values
    BATCH = u16 schema  u32 sample_index  u64 t_us  u32 dt_us  u8 k  k times (bitmap, values)

Bit i % 8 of bitmap byte i // 8 says that channel i is valid; a value whose bit is clear is noise.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from operator import le, mul, truediv
from typing import TYPE_CHECKING, NamedTuple

from firmware_bridge.framing import MAX_PAYLOAD
from firmware_bridge.messages import MAX_CHANNELS, Description, DType, Malformed, schema_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firmware_bridge.reading import Channel

_FORMAT = {DType.I16: "h", DType.I32: "i", DType.U32: "I", DType.F32: "f"}
_LIMITS = {
    DType.I16: (-(2**15), 2**15 - 1),
    DType.I32: (-(2**31), 2**31 - 1),
    DType.U32: (0, 2**32 - 1),
}
_F32_ULP = 2.0**-22
"""Bounds travel as f32, so a value may sit on one and yet compare outside it by this part."""
_SCHEMA = struct.Struct("<H")
_BATCH = struct.Struct("<HIQIB")
_INDEX_WRAP = 1 << 32


_SHARED = 64
"""Layouts kept, so that nodes that are alike share one: a thousand would take 4 MB."""


class Sample(NamedTuple):
    """One decoded DATA message. A tuple, as it is made for every frame and does not leave here."""

    sample_index: int
    t_us: int
    """Node time since its boot, microseconds."""
    values: tuple[float, ...]
    """NaN where missing or rejected."""
    rejected: tuple[tuple[int, str], ...]
    """(channel index, reason) of each NaN; reasons in `reading.VALUE_REASONS`."""


def schema_of_data(payload: bytes) -> int | None:
    """Give the schema that a DATA payload states; None if it is too short for one."""
    return _SCHEMA.unpack_from(payload)[0] if len(payload) >= _SCHEMA.size else None


class Layout:
    """How one node packs its samples. Built once from its descriptions, then only read."""

    __slots__ = (
        "_all_valid",
        "_bounded",
        "_divisors",
        "_factors",
        "_highs",
        "_lows",
        "_row",
        "_struct",
        "channels",
        "descriptions",
        "names",
        "schema",
    )

    def __init__(self, descriptions: Sequence[Description]) -> None:
        """Take the descriptions of channels 0..n-1 in order; ValueError if they do not fit."""
        count = len(descriptions)
        self.descriptions = tuple(descriptions)
        self.channels: tuple[Channel, ...] = tuple(each.channel for each in descriptions)
        self.names = tuple(channel.name for channel in self.channels)
        if not 0 < count <= MAX_CHANNELS:
            raise ValueError(f"{count} channels, 1..{MAX_CHANNELS} are possible")
        if [(each.index, each.count) for each in descriptions] != [
            (i, count) for i in range(count)
        ]:
            raise ValueError("descriptions are not 0..n-1 of n")
        if len(set(self.names)) != count:
            raise ValueError(f"two channels of one name: {', '.join(self.names)}")
        bitmap_size = (count + 7) // 8
        packed = "".join(_FORMAT[each.dtype] for each in descriptions)
        self._struct = struct.Struct(f"<HIQ{bitmap_size}s{packed}")
        self._row = struct.Struct(f"<{bitmap_size}s{packed}")
        if self._struct.size > MAX_PAYLOAD:
            raise ValueError(f"a sample of {self._struct.size} bytes, at most {MAX_PAYLOAD} fit")
        self.schema = schema_of([each.record or each.encode() for each in descriptions])
        self._all_valid = ((1 << count) - 1).to_bytes(bitmap_size, "little")
        # Dividing by 1000 gives 0.123 from 123 exactly as it would be written; x 0.001 does not.
        self._divisors = tuple(10.0 ** max(0, -each.exp10) for each in descriptions)
        factors = tuple(10.0 ** max(0, each.exp10) for each in descriptions)
        self._factors = factors if any(factor != 1.0 for factor in factors) else None
        self._lows = tuple(_widened(channel.low, -1) for channel in self.channels)
        self._highs = tuple(_widened(channel.high, 1) for channel in self.channels)
        self._bounded = all(map(math.isfinite, self._lows + self._highs))

    @classmethod
    def shared(cls, descriptions: Sequence[Description]) -> Layout:
        """Give that of a node that described itself just so, or make it; as the constructor."""
        records = tuple(each.record for each in descriptions)  # they make the schema
        return _layout(tuple(descriptions), records)

    def unpack(self, payload: bytes) -> Sample | Malformed:
        """Decode a DATA payload whose schema is this layout's."""
        if len(payload) != self._struct.size:
            return Malformed(f"DATA of {len(payload)} bytes, not {self._struct.size}")
        _, index, t_us, bitmap, *packed = self._struct.unpack(payload)
        return self._sample(index, t_us, bitmap, packed)

    def unpack_batch(self, payload: bytes) -> list[Sample] | Malformed:
        """Decode a DATA_BATCH payload whose schema is this layout's: its samples, oldest first."""
        size = self._row.size
        if len(payload) < _BATCH.size + size:
            return Malformed(f"DATA_BATCH of {len(payload)} bytes, at least {_BATCH.size + size}")
        _, index, t_us, dt_us, count = _BATCH.unpack_from(payload)
        if len(payload) != _BATCH.size + count * size:
            return Malformed(f"DATA_BATCH of {len(payload)} bytes for {count} samples of {size}")
        found = []
        for k in range(count):
            bitmap, *packed = self._row.unpack_from(payload, _BATCH.size + k * size)
            found.append(self._sample((index + k) % _INDEX_WRAP, t_us + k * dt_us, bitmap, packed))
        return found

    def _sample(self, index: int, t_us: int, bitmap: bytes, packed: list[float]) -> Sample:
        scaled = packed if self._factors is None else map(mul, packed, self._factors)
        values = tuple(map(truediv, scaled, self._divisors))
        if (
            bitmap == self._all_valid
            and all(map(le, self._lows, values))  # a NaN is in no range
            and all(map(le, values, self._highs))
            and (self._bounded or math.isfinite(sum(values)))
        ):
            return Sample(index, t_us, values, ())
        return self._without_rejected(index, t_us, bitmap, values)

    def _without_rejected(
        self, index: int, t_us: int, bitmap: bytes, values: tuple[float, ...]
    ) -> Sample:
        valid = int.from_bytes(bitmap, "little")
        rejected = []
        kept = list(values)
        for i, value in enumerate(values):
            reason = self._fault(i, value, valid=bool(valid >> i & 1))
            if reason:
                rejected.append((i, reason))
                kept[i] = math.nan
        return Sample(index, t_us, tuple(kept), tuple(rejected))

    def _fault(self, i: int, value: float, *, valid: bool) -> str:
        if not valid:
            return "invalid"
        if math.isnan(value):
            return "nan"
        if math.isinf(value):
            return "inf"
        return "" if self._lows[i] <= value <= self._highs[i] else "range"

    def pack(self, sample_index: int, t_us: int, values: Sequence[float]) -> bytes:
        """Encode a DATA payload (what the node does).

        A value that is NaN, infinite or beyond what its dtype holds is sent as not valid.
        """
        return self._struct.pack(self.schema, sample_index, t_us, *self._packed(values))

    def batch_size(self) -> int:
        """Give how many samples fit into one DATA_BATCH, 0 if not even one does."""
        return min(255, (MAX_PAYLOAD - _BATCH.size) // self._row.size)

    def pack_batch(
        self, sample_index: int, t_us: int, dt_us: int, rows: Sequence[Sequence[float]]
    ) -> bytes:
        """Encode a DATA_BATCH payload of rows a time ``dt_us`` apart (what the node does)."""
        if not 0 < len(rows) <= self.batch_size():
            raise ValueError(f"{len(rows)} samples, 1..{self.batch_size()} fit")
        head = _BATCH.pack(self.schema, sample_index, t_us, dt_us, len(rows))
        return head + b"".join(self._row.pack(*self._packed(row)) for row in rows)

    def _packed(self, values: Sequence[float]) -> list[float | bytes]:
        valid = 0
        packed: list[float] = []
        for i, (each, value) in enumerate(zip(self.descriptions, values, strict=True)):
            number = _packed(value, each)
            packed.append(0 if number is None else number)
            valid |= (number is not None) << i
        return [valid.to_bytes(len(self._all_valid), "little"), *packed]


def _widened(bound: float, sign: int) -> float:
    return bound + sign * abs(bound) * _F32_ULP


def _packed(value: float, description: Description) -> float | None:
    if not math.isfinite(value):
        return None
    exp10 = description.exp10
    scaled = value / 10.0**exp10 if exp10 >= 0 else value * 10.0**-exp10
    if description.dtype is DType.F32:
        return scaled if abs(scaled) < 3.4e38 else None
    low, high = _LIMITS[description.dtype]
    number = round(scaled)
    return number if low <= number <= high else None


@lru_cache(maxsize=_SHARED)
def _layout(
    descriptions: tuple[Description, ...],
    records: tuple[bytes, ...],  # noqa: ARG001 - descriptions are equal whatever these are
) -> Layout:
    return Layout(descriptions)
