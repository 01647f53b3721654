"""TW1 messages and layouts: every field there and back, every nonsense a value."""

from __future__ import annotations

import math
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.layout import Layout, Sample
from firmware_bridge.messages import (
    MAX_CHANNELS,
    Description,
    DType,
    Hello,
    Malformed,
    Stats,
    decode_description,
    decode_hello,
    decode_stats,
)
from firmware_bridge.reading import Channel, Quantity, Unit

TILT = Channel("tilt", Quantity.TILT, Unit.MRAD, -260.0, 260.0, 1000)


def described(*kinds: tuple[DType, int], low: float = -math.inf, high: float = math.inf) -> Layout:
    return Layout(
        [
            Description(
                i,
                len(kinds),
                Channel(f"c{i}", Quantity.OTHER, Unit.RAW, low, high, 0),
                dtype,
                exp10,
            )
            for i, (dtype, exp10) in enumerate(kinds)
        ]
    )


def test_units_and_quantities_are_found_by_their_text() -> None:
    assert all(Unit.from_text(unit.text) is unit for unit in Unit)
    assert all(Quantity.from_text(each.text) is each for each in Quantity)
    assert (Unit.KPA.text, Unit.M3_M3.text, Unit.DEG_C.text) == ("kPa", "m3/m3", "degC")
    with pytest.raises(KeyError):
        Unit.from_text("furlong")


def test_hello_and_stats_come_back() -> None:
    hello = Hello(0xDEADBEEF, b"12345678", (1, 2, 3), b"hashhash", 0xABCD, 253, 4)
    assert len(hello.encode()) == 28
    assert decode_hello(hello.encode()) == hello
    stats = Stats(1, 2, 3, 4, 512, 3600)
    assert decode_stats(stats.encode()) == stats


def test_a_description_comes_back_with_the_decimal_that_was_meant() -> None:
    channel = Channel("tilt_x", Quantity.TILT, Unit.MRAD, -0.1, 260.3, 600_000)
    description = Description(2, 3, channel, DType.I16, -2)
    assert decode_description(description.encode()) == description


@given(st.binary(max_size=60))
def test_any_payload_decodes_or_is_malformed(payload: bytes) -> None:
    for decode in (decode_hello, decode_description, decode_stats):
        message = decode(payload)
        if not isinstance(message, (Malformed, Description)):
            assert message.encode() == payload


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, 3),  # index not below count
        (1, MAX_CHANNELS + 1),
        (4, 4),  # dtype
        (5, 31),  # exp10
        (7, 300.0),  # low above high
    ],
)
def test_a_description_out_of_bounds_is_malformed(field: int, value: float) -> None:
    fields: list[float] = [0, 3, 2, 3, 1, -3, 1000, -260.0, 260.0]
    layout = struct.Struct("<BBBBBbIff")
    assert isinstance(decode_description(layout.pack(*fields) + b"tilt"), Description)
    fields[field] = value
    assert isinstance(decode_description(layout.pack(*fields) + b"tilt"), Malformed)


@pytest.mark.parametrize("name", [b"", b"x" * 17, b"\xffabc", b"a\nb", b"\0\0"])
def test_a_description_without_a_proper_name_is_malformed(name: bytes) -> None:
    head = Description(0, 1, TILT, DType.I16, 0).encode()[:-4]
    assert isinstance(decode_description(head + name), Malformed)


def test_unknown_quantity_and_unit_do_not_silence_the_node() -> None:
    payload = bytearray(Description(0, 1, TILT, DType.I16, 0).encode())
    payload[2] = payload[3] = 200
    description = decode_description(bytes(payload))
    assert isinstance(description, Description)
    assert description.channel.quantity is Quantity.OTHER
    assert description.channel.unit is Unit.RAW


def test_bounds_not_stated_are_infinite() -> None:
    for low, high in ((0.0, 0.0), (math.nan, math.nan)):
        channel = Channel("x", Quantity.OTHER, Unit.RAW, low, high, 0)
        description = decode_description(Description(0, 1, channel, DType.I16, 0).encode())
        assert isinstance(description, Description)
        assert (description.channel.low, description.channel.high) == (-math.inf, math.inf)


def test_schema_is_the_checksum_of_all_records() -> None:
    layout = described((DType.I16, 0), (DType.F32, 0))
    records = b"".join(each.encode() for each in layout.descriptions)
    assert layout.schema == zlib.crc32(records) & 0xFFFF


def test_layouts_that_are_none_are_refused() -> None:
    one = Description(0, 1, TILT, DType.I16, 0)
    twin = [Description(i, 2, TILT, DType.I16, 0) for i in range(2)]
    wide = [(DType.I32, 0)] * 60
    with pytest.raises(ValueError, match="channels"):
        Layout([])
    with pytest.raises(ValueError, match="one name"):
        Layout(twin)
    with pytest.raises(ValueError, match="of n"):
        Layout([one, one])
    with pytest.raises(ValueError, match="at most 244"):
        described(*wide)


def test_a_data_payload_is_pinned() -> None:
    layout = described((DType.I16, -2), (DType.U32, 1), (DType.F32, 0))
    payload = layout.pack(7, 1_000_001, [-1.23, math.nan, 0.5])
    expected = struct.pack("<HIQBhIf", layout.schema, 7, 1_000_001, 0b101, -123, 0, 0.5)
    assert payload == expected
    sample = layout.unpack(payload)
    assert isinstance(sample, Sample)
    assert (sample.sample_index, sample.t_us) == (7, 1_000_001)
    assert sample.values[0] == -1.23
    assert math.isnan(sample.values[1])
    assert sample.values[2] == 0.5
    assert sample.rejected == ((1, "invalid"),)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=16))
def test_scaled_integers_are_the_decimals_that_were_meant(numbers: list[int]) -> None:
    layout = described(*[(DType.I32, -3)] * len(numbers))
    sample = layout.unpack(layout.pack(0, 0, [n / 1000 for n in numbers]))
    assert isinstance(sample, Sample)
    assert sample.values == tuple(float(f"{n}e-3") for n in numbers)
    assert sample.rejected == ()


@pytest.mark.parametrize(
    ("value", "kept", "reason"),
    [
        (math.nan, False, "nan"),
        (math.inf, False, "inf"),
        (300.0, False, "range"),
        (-300.0, False, "range"),
        (0.0, True, ""),
        (0.1, True, ""),  # the bound itself, in f32
    ],
)
def test_a_value_that_cannot_be_is_nan_and_says_why(value: float, kept: bool, reason: str) -> None:
    layout = described((DType.F32, 0), (DType.F32, 0), low=-100.0, high=0.1)
    payload = bytearray(layout.pack(0, 0, [0.0, 0.0]))
    payload[-4:] = struct.pack("<f", value)
    sample = layout.unpack(bytes(payload))
    assert isinstance(sample, Sample)
    assert math.isnan(sample.values[1]) is not kept
    assert sample.rejected == (() if kept else ((1, reason),))
    assert sample.values[0] == 0.0


def test_nan_and_infinity_are_found_where_no_range_is_stated() -> None:
    layout = described((DType.F32, 0), (DType.F32, 0))
    payload = layout.pack(0, 0, [1.0, 2.0])[:-8] + struct.pack("<ff", math.nan, -math.inf)
    sample = layout.unpack(payload)
    assert isinstance(sample, Sample)
    assert sample.rejected == ((0, "nan"), (1, "inf"))


def test_a_number_its_dtype_cannot_hold_is_sent_as_missing_and_never_wraps() -> None:
    layout = described((DType.I16, 0), (DType.U32, 0), (DType.F32, 0))
    sample = layout.unpack(layout.pack(0, 0, [40_000, -1, 1e39]))
    assert isinstance(sample, Sample)
    assert [reason for _, reason in sample.rejected] == ["invalid"] * 3


@given(st.binary(max_size=244))
def test_any_data_payload_unpacks_or_is_malformed(payload: bytes) -> None:
    for layout in (described((DType.F32, 0), (DType.I16, 3)), described(*[(DType.I16, 0)] * 9)):
        sample = layout.unpack(payload)
        if isinstance(sample, Sample):
            assert len(sample.values) == len(layout.names)
            assert not any(math.isinf(value) for value in sample.values)


def test_nodes_that_described_themselves_byte_for_byte_alike_share_a_layout() -> None:
    one = Description(0, 1, TILT, DType.I16, -3)
    sent = Description(0, 1, TILT, DType.I16, -3, one.encode())
    longer = Description(0, 1, TILT, DType.I16, -3, one.encode() + b"new")
    assert Layout.shared([sent]) is Layout.shared([sent])
    assert Layout.shared([sent]) is not Layout.shared([longer])  # equal, and of another schema
    assert Layout.shared([longer]).schema == Layout([longer]).schema != Layout([sent]).schema
    with pytest.raises(ValueError, match="two channels"):
        Layout.shared([Description(i, 2, TILT, DType.I16, 0) for i in (0, 1)])
