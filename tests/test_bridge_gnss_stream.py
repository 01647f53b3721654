"""The stream that mixes UBX and NMEA: nothing whole is lost, whatever lies between."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.gnss_stream import BadBytes, GnssStream
from firmware_bridge.nmea import Sentence, encode_sentence
from firmware_bridge.ubx import MAX_FRAME, MAX_PAYLOAD, NAV_TIMEUTC, UbxMessage, encode_message

SENTENCE = encode_sentence("GNGST,083559.00,0.02,,,,0.0080,0.0090,0.0140")
FRAME = encode_message(NAV_TIMEUTC, struct.pack("<IIiH6B", 1000, 20, 0, 2025, 10, 9, 8, 53, 20, 7))
# A payload that holds both beginnings, and a whole sentence and frame.
TRAP = encode_message((0x0A, 0x09), b"$GNGGA," + SENTENCE + b"\xb5\x62\xff" + FRAME + b"$\xb5")


def test_every_bit_flip_of_a_frame_is_seen() -> None:
    for bit in range(8 * len(FRAME)):
        damaged = bytearray(FRAME)
        damaged[bit // 8] ^= 1 << bit % 8
        found = GnssStream().receive(bytes(damaged) + SENTENCE * 200)
        kinds = [type(item) for item in found if not isinstance(item, Sentence)]
        assert kinds == [BadBytes]
        assert sum(isinstance(item, Sentence) for item in found) == 200


def test_a_payload_that_holds_sentences_and_frames_is_one_message() -> None:
    found = GnssStream().receive(TRAP + SENTENCE + TRAP)
    assert [type(item) for item in found] == [UbxMessage, Sentence, UbxMessage]


def test_a_damaged_length_hides_no_frame_behind_it() -> None:
    for length in (0, 1, 19, 21, 300, MAX_PAYLOAD, MAX_PAYLOAD + 1, 65535):
        damaged = FRAME[:4] + length.to_bytes(2, "little") + FRAME[6:]
        stream = GnssStream()
        found = stream.receive(damaged + (SENTENCE + FRAME) * 3) + stream.give_up()
        kinds = [type(item) for item in found]
        assert kinds.count(Sentence) == kinds.count(UbxMessage) == 3
        assert kinds.count(BadBytes) == 1


def test_each_of_two_damaged_neighbours_is_told() -> None:
    bad = FRAME[:10] + bytes((FRAME[10] ^ 1,)) + FRAME[11:]
    found = GnssStream().receive(FRAME + bad + bad + SENTENCE[:9] + b"\x80" + SENTENCE)
    reasons = [item.reason for item in found if isinstance(item, BadBytes)]
    assert reasons == ["crc", "crc", "crc"]


def test_what_began_before_the_port_was_opened_is_partial() -> None:
    stream = GnssStream()
    stream.receive(FRAME[:12])
    stream.reset()
    found = stream.receive(b"rest of one\r\n" + SENTENCE + b"noise" + SENTENCE)
    reasons = [item.reason if isinstance(item, BadBytes) else "" for item in found]
    assert reasons == ["truncated", "partial", "", "crc", ""]
    assert not stream.unsettled


def test_endless_noise_is_bounded_and_told_now_and_then() -> None:
    stream = GnssStream()
    found = [item for _ in range(100) for item in stream.receive(b"\x55" * 1000)]
    assert [item.size for item in found if isinstance(item, BadBytes)] == [MAX_FRAME] * 24


PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            FRAME,
            TRAP,
            SENTENCE,
            FRAME[:-3],
            FRAME[6:],
            SENTENCE[:20],
            SENTENCE[5:],
            b"\xb5",
            b"\x62",
            b"$",
            b"\xb5\x62\x01\x07",
            b"$GNGGA,",
            b"\r\n",
            b"\xb5\x62\x01\x07\x20\x03",
            b"\x55" * 5000,
            b"$" * 30,
            b"$GN,," + b"1" * 600,
        ]
    ),
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=12), st.booleans())
def test_any_bytes_whole_or_one_by_one(parts: list[bytes], fresh: bool) -> None:
    data = b"".join(parts)
    whole, single = GnssStream(), GnssStream()
    if fresh:
        whole.reset()
        single.reset()
    items = whole.receive(data)
    pieces = []
    for byte in data:
        pieces += single.receive(bytes((byte,)))
        assert len(single._held) < MAX_FRAME
        assert single._lost < MAX_FRAME
    assert items == pieces
    assert whole.give_up() == single.give_up()
    assert not whole.unsettled


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.just(FRAME[:-1]))), st.data())
def test_every_undamaged_frame_after_garbage_is_found(garbage: list[bytes], data) -> None:
    # Garbage that happens to hold a checksum that fits may swallow a frame: 1 in 65536 or 256.
    stream = GnssStream()
    sent = 0
    found = []
    for part in garbage:
        good = data.draw(st.sampled_from([FRAME, TRAP, SENTENCE]))
        sent += 1
        found += stream.receive(part + good)
    found += stream.give_up()
    whole = {FRAME: 0, TRAP: 0, SENTENCE: 0}
    for item in found:
        if isinstance(item, UbxMessage):
            whole[encode_message(item.kind, item.payload)] += 1
        elif isinstance(item, Sentence):
            whole[SENTENCE] += 1
    assert sum(whole.values()) >= sent
