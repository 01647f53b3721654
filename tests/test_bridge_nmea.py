"""NMEA sentences: framing by bytes, checksum, and GGA, RMC and GST."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.messages import Malformed
from firmware_bridge.nmea import (
    MAX_SENTENCE,
    FalseStart,
    Gga,
    Gst,
    Rmc,
    Sentence,
    cut_sentence,
    decode_sentence,
    encode_sentence,
)

# From the u-blox F9 interface description, with the checksums printed there.
GGA = b"$GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*5B"
RMC = b"$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A,V*2D"


def decoded(body: str) -> object:
    sentence = cut_sentence(encode_sentence(body), 0)
    assert isinstance(sentence, Sentence)
    return decode_sentence(sentence)


def test_the_manuals_gga() -> None:
    sentence = cut_sentence(GGA + b"\r\n", 0)
    assert isinstance(sentence, Sentence)
    assert (sentence.type, sentence.size) == ("GGA", len(GGA))
    value = decode_sentence(sentence)
    assert isinstance(value, Gga)
    assert value.day_ms == ((9 * 60 + 27) * 60 + 25) * 1000
    assert (value.quality, value.satellites) == (1, 8)
    assert value.latitude_deg == pytest.approx(47 + 17.11399 / 60, abs=1e-12)
    assert value.longitude_deg == pytest.approx(8 + 33.91590 / 60, abs=1e-12)
    assert value.height_m == pytest.approx(547.6)


def test_a_sentence_ends_only_with_its_second_checksum_digit() -> None:
    for end in range(1, len(GGA)):
        assert cut_sentence(GGA[:end], 0) is None
    assert isinstance(cut_sentence(GGA, 0), Sentence)


def test_every_single_bit_flip_is_refused_or_needs_more() -> None:
    body = encode_sentence("GNGST,083559.00,0.02,,,,0.0080,0.0090,0.0140").strip()
    for bit in range(8, 8 * len(body)):  # the first byte is what makes it one
        damaged = bytearray(body)
        damaged[bit // 8] ^= 1 << bit % 8
        item = cut_sentence(bytes(damaged) + b"\r\n", 0)
        # Only the case of a checksum digit may change: $..*5b is the same as $..*5B.
        lower = bit % 8 == 5 and bit // 8 >= len(body) - 2
        assert isinstance(item, FalseStart) or (lower and isinstance(item, Sentence))


@pytest.mark.parametrize(
    ("data", "claimed"),
    [
        (b"$GNGGA,1,2\r\n", 10),  # no checksum
        (b"$GNGGA,1$GNGGA", 8),
        (b"$GNGGA,1*ZZ", 11),
        (b"$\xb5\x62", 0),
        (b"$GNGGA," + b"1" * MAX_SENTENCE, MAX_SENTENCE - 2),
    ],
)
def test_false_starts(data: bytes, claimed: int) -> None:
    assert cut_sentence(data, 0) == FalseStart(claimed)


def test_south_and_west_are_negative() -> None:
    value = decoded("GNGGA,010203.05,3330.0000000,S,07015.0000000,W,4,12,0.5,10.5,M,-1.25,M,1.0,1")
    assert value == Gga(3_723_050, 4, 12.0, -33.5, -70.25, 9.25)


def test_without_a_fix_there_is_no_position() -> None:
    value = decoded("GNGGA,,,,,,0,00,99.99,,,,,,")
    assert isinstance(value, Gga)
    assert (value.day_ms, value.quality) == (None, 0)
    assert math.isnan(value.latitude_deg)
    assert math.isnan(value.height_m)


def test_rmc_gives_the_date_only_if_valid() -> None:
    sentence = cut_sentence(RMC, 0)
    if isinstance(sentence, FalseStart):  # the manual's own checksum is of an older text
        sentence = cut_sentence(encode_sentence(RMC[1:-3].decode()), 0)
    assert isinstance(sentence, Sentence)
    assert decode_sentence(sentence) == Rmc(1_039_422_959_000)  # 2002-12-09T08:35:59Z
    assert decoded("GNRMC,083559.00,V,,,,,,,091202,,,N,V") == Rmc(None)
    assert decoded("GNRMC,,V,,,,,,,,,,N,V") == Rmc(None)


def test_gst_gives_the_greatest_deviation() -> None:
    assert decoded("GNGST,000001.00,0.02,,,,0.0080,0.0090,0.0140") == Gst(1000, 14.0)
    value = decoded("GNGST,000001.00,0.02,,,,,0.0090,0.0140")
    assert isinstance(value, Gst)
    assert math.isnan(value.accuracy_mm)


@pytest.mark.parametrize(
    "body",
    [
        "GNGGA,250000.00,,,,,0,00,,,M,,M,,",
        "GNGGA,010203.00,9030.0,N,00000.0,E,1,8,1,1,M,1,M,,",
        "GNGGA,010203.00,4760.0,N,00000.0,E,1,8,1,1,M,1,M,,",
        "GNGGA,010203.00,4710.0,X,00000.0,E,1,8,1,1,M,1,M,,",
        "GNGGA,010203.00,4710.0,N,00000.0,E,,8,1,1,M,1,M,,",
        "GNGGA,010203.00,4710.0,N,00000.0,E,1,8,1,1e9,M,1,M,,",
        "GNGGA,010203.00,4710.0,N,00000.0,E,1",
        "GNRMC,083559.00,A,,,,,,,310202,,,A,V",
        "GNRMC,083559.00,A,,,,,,,,,,A,V",
        "GNGST,083559.00,0.02,,,,x,0.0090,0.0140",
    ],
)
def test_nonsense_with_a_good_checksum_is_malformed(body: str) -> None:
    assert isinstance(decoded(body), Malformed)


def test_other_sentences_are_let_pass() -> None:
    assert decoded("GNVTG,,T,,M,0.004,N,0.008,K,R") is None
    sentence = cut_sentence(encode_sentence("PUBX,00,1"), 0)
    assert isinstance(sentence, Sentence)
    assert sentence.type == "PUBX"
    assert decode_sentence(sentence) is None


FIELD = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="$*,"))


@given(st.sampled_from(["GNGGA", "GPRMC", "GNGST", "PUBX"]), st.lists(FIELD, max_size=16))
def test_any_fields_never_raise(address: str, fields: list[str]) -> None:
    item = cut_sentence(encode_sentence(",".join([address, *fields, ""])), 0)
    if isinstance(item, Sentence):
        decode_sentence(item)
    else:
        assert isinstance(item, FalseStart)
