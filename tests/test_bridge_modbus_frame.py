"""Modbus RTU frames: vectors of the standard, every type and order, answers found in noise."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from firmware_bridge.modbus_exchange import Exchange
from firmware_bridge.modbus_frame import (
    ORDERS,
    READS,
    TYPES,
    Answer,
    NoAnswer,
    Refusal,
    Request,
    as_type,
    crc16,
    cut_answer,
    number,
    register_count,
)
from firmware_bridge.sim_modbus import checksum, registers

STRUCT = {"int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "float32": "f", "float64": "d"}
REQUESTS = st.one_of(
    st.builds(
        Request,
        st.integers(1, 247),
        st.sampled_from(READS),
        st.integers(0, 65535 - 125),
        st.integers(1, 125),
    ),
    st.builds(
        lambda slave, register, value: Request(slave, 6, register, 1, (value,)),
        st.integers(1, 247),
        st.integers(0, 65535),
        st.integers(0, 65535),
    ),
    st.builds(
        lambda slave, register, values: Request(slave, 16, register, len(values), tuple(values)),
        st.integers(1, 247),
        st.integers(0, 65535 - 123),
        st.lists(st.integers(0, 65535), min_size=1, max_size=123),
    ),
)


def reply(request: Request, words: tuple[int, ...]) -> bytes:
    if request.function in READS:
        data = b"".join(bytes(divmod(word, 256)) for word in words)
        body = bytes((request.slave, request.function, len(data))) + data
    else:
        body = request.encode()[:6]
    return body + checksum(body)


def answered(request: Request, data: bytes, *, echo: bool = False, piece: int = 10_000):
    """Feed an exchange in pieces; gives it and the first thing found."""
    exchange = Exchange(request, echo=echo)
    for at in range(0, len(data), piece):
        found = exchange.receive(data[at : at + piece])
        if found is not None:
            return exchange, found
    return exchange, None


# MODBUS Application Protocol V1.1b3, 6.3, 6.4, 6.6, 6.12 and 7 (the CRC, which it leaves out, from
# the line "01 03 00 00 00 0A" of many manuals and by two implementations); the two with address 2
# are printed in Geokon's manual of the model 3810A, tables 4 and 5.
@pytest.mark.parametrize(
    ("request_", "wire"),
    [
        (Request(1, 3, 0, 10), "01 03 00 00 00 0A C5 CD"),
        (Request(17, 3, 0x6B, 3), "11 03 00 6B 00 03 76 87"),
        (Request(2, 3, 0x102, 2), "02 03 01 02 00 02 64 04"),
        (Request(17, 6, 1, 1, (3,)), "11 06 00 01 00 03 9A 9B"),
        (Request(17, 16, 1, 2, (10, 0x102)), "11 10 00 01 00 02 04 00 0A 01 02 C6 F0"),
    ],
)
def test_requests_as_the_standard_has_them(request_: Request, wire: str) -> None:
    assert request_.encode() == bytes.fromhex(wire)


def test_the_answer_printed_in_a_manual() -> None:
    wire = bytes.fromhex("02 03 04 C8 7C 46 28 04 F5")
    found = cut_answer(wire, 0, Request(2, 3, 0x102, 2))
    assert found == Answer((0xC87C, 0x4628), 9)
    assert number(found.words, "float32", "CDAB") == pytest.approx(10_802.12, abs=0.01)


def test_the_check_value_of_the_crc() -> None:
    assert crc16(b"123456789") == 0x4B37
    assert checksum(b"123456789") == b"\x37\x4b"


@given(st.binary(max_size=300))
def test_the_crc_agrees_with_long_division(data: bytes) -> None:
    assert crc16(data).to_bytes(2, "little") == checksum(data)


@given(st.sampled_from(TYPES), st.sampled_from(ORDERS), st.data())
def test_every_number_in_every_order(type_: str, order: str, data: st.DataObject) -> None:
    size = 8 * struct.calcsize(STRUCT[type_])
    if type_.startswith("float"):
        value = data.draw(st.floats(width=size, allow_nan=False))
    else:
        low = 0 if type_.startswith("u") else -(1 << size - 1)
        value = data.draw(st.integers(low, low + (1 << size) - 1))
    words = registers(value, STRUCT[type_], order)
    assert len(words) == register_count(type_)
    assert number(words, type_, order) == value
    assert math.copysign(1, number(words, type_, order)) == math.copysign(1, value)


def test_the_orders_by_hand() -> None:
    # -123456.0 is C7F12000.
    words = {
        "ABCD": (0xC7F1, 0x2000),
        "CDAB": (0x2000, 0xC7F1),
        "BADC": (0xF1C7, 0x0020),
        "DCBA": (0x0020, 0xF1C7),
    }
    for order, pair in words.items():
        assert number(pair, "float32", order) == -123456.0
    assert number((0xFFFE,), "int16", "ABCD") == -2
    assert number((0xFEFF,), "int16", "BADC") == -2
    assert number((0x0100,), "uint16", "DCBA") == 1


def test_missing_words_are_compared_as_the_type_has_them() -> None:
    assert as_type(0.1, "float32") != 0.1
    assert as_type(65535.0, "uint16") == 65535
    for value, type_ in ((70_000, "uint16"), (0.5, "int32"), (math.nan, "int16"), (1e300, "int32")):
        with pytest.raises(ValueError):
            as_type(value, type_)


@given(REQUESTS, st.data())
def test_an_answer_is_found_whole_or_byte_by_byte(request_: Request, data: st.DataObject) -> None:
    count = request_.count if request_.function in READS else 0
    words = tuple(data.draw(st.lists(st.integers(0, 65535), min_size=count, max_size=count)))
    wire = reply(request_, words)
    for piece in (1, 10_000):
        exchange, found = answered(request_, wire, piece=piece)
        assert found == Answer(words, len(wire))
        assert (exchange.noise, exchange.echoes) == (0, 0)


@given(REQUESTS, st.integers(1, 255), st.integers(1, 9))
def test_a_refusal(request_: Request, code: int, piece: int) -> None:
    body = bytes((request_.slave, request_.function | 0x80, code))
    _, found = answered(request_, body + checksum(body), piece=piece)
    assert found == Refusal(code)
    assert str(code) in found.text


@given(
    REQUESTS,
    st.binary(max_size=300),
    st.binary(max_size=40),
    st.integers(1, 50),
    st.booleans(),
)
def test_noise_and_echo_around_an_answer_lose_nothing(
    request_: Request, before: bytes, after: bytes, piece: int, echo: bool
) -> None:
    words = tuple(range(request_.count)) if request_.function in READS else ()
    wire = reply(request_, words)
    sent = request_.encode() if echo else b""
    alone = Exchange(request_, echo=echo)
    assume(alone.receive(before) is None and not alone.echoes)  # noise that is an answer by chance
    exchange, found = answered(request_, before + sent + wire, echo=echo, piece=piece)
    assert found == Answer(words, len(wire))
    assert exchange.echoes == echo
    assert exchange.noise == len(before)
    again, found = answered(request_, sent + before + wire + after, echo=echo)
    assert found == Answer(words, len(wire))
    assert again.noise == len(before) + len(after)


@given(REQUESTS, st.binary(min_size=1, max_size=3000), st.integers(1, 700))
def test_what_is_held_is_bounded(request_: Request, data: bytes, piece: int) -> None:
    exchange, _ = answered(request_, data * 3, piece=piece)
    assert len(exchange._held) < 260


@given(REQUESTS, st.data())
def test_a_flipped_bit_is_never_an_answer(request_: Request, data: st.DataObject) -> None:
    words = tuple(range(request_.count)) if request_.function in READS else ()
    wire = bytearray(reply(request_, words))
    for bit in data.draw(st.sets(st.integers(0, 8 * len(wire) - 1), min_size=1, max_size=3)):
        wire[bit // 8] ^= 1 << bit % 8
    # CRC-16/MODBUS finds every error of up to three bits in frames of this length.
    _, found = answered(request_, bytes(wire))
    assert found is None


# Chosen as their first bytes are a whole answer with the right CRC.
TREACHEROUS = (Request(4, 3, 688, 1), Request(1, 16, 2064, 1, (108 << 8,)))


def test_an_echo_alone_is_no_answer() -> None:
    for request_ in (*TREACHEROUS, Request(1, 3, 0x0200, 1), Request(9, 4, 7, 2)):
        size = request_.answer_size
        if request_ in TREACHEROUS:
            assert isinstance(cut_answer(request_.encode()[:size], 0, request_), Answer)
        for echo in (False, True):
            exchange, found = answered(request_, request_.encode(), echo=echo, piece=1)
            assert (found, exchange.echoes, exchange.noise) == (None, 1, 0)
            assert not exchange.came
            assert exchange.give_up() is None
    write = Request(1, 6, 5, 1, (7,))
    exchange, found = answered(write, write.encode(), echo=True)
    assert (found, exchange.echoes, exchange.give_up()) == (None, 1, None)
    exchange, found = answered(write, write.encode() * 2, echo=True, piece=3)
    assert (found, exchange.echoes) == (Answer((), 8), 1)


def test_an_answer_that_begins_as_an_echo_would_is_taken_at_the_deadline() -> None:
    request_ = TREACHEROUS[0]
    wire = reply(request_, (0xB000,))
    assert request_.encode().startswith(wire)
    exchange, found = answered(request_, wire, piece=1)
    assert found is None
    assert exchange.give_up() == Answer((0xB000,), 7)
    exchange, _ = answered(request_, wire, echo=True)
    assert exchange.give_up() is None


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 3, 0),
        (248, 3, 0),
        (1, 5, 0),
        (1, 3, 0, 0),
        (1, 3, 0, 126),
        (1, 3, 65535, 2),
        (1, 3, 0, 1, (5,)),
        (1, 6, 0, 1, ()),
        (1, 6, 0, 2, (1, 2)),
        (1, 16, 0, 124, (0,) * 124),
        (1, 6, 0, 1, (65536,)),
        (1, 6, -1, 1, (1,)),
    ],
)
def test_a_request_that_cannot_be_put(arguments: tuple) -> None:
    with pytest.raises(ValueError):
        Request(*arguments)


@given(REQUESTS, st.binary(max_size=400), st.integers(0, 400))
def test_any_bytes_never_raise(request_: Request, data: bytes, at: int) -> None:
    found = cut_answer(data, at, request_)
    assert found is None or isinstance(found, Answer | Refusal | NoAnswer)
