"""TW1 framing: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firmware_bridge.framing import (
    MAX_CHUNK,
    MAX_PAYLOAD,
    VERSION,
    BadFrame,
    Frame,
    FrameDecoder,
    encode,
)

U8 = st.integers(0, 255)
FRAMES = st.builds(
    Frame,
    st.just(VERSION),
    st.integers(0, 15),
    U8,
    st.integers(0, 65535),
    U8,
    st.one_of(
        st.binary(max_size=MAX_PAYLOAD),
        st.integers(0, MAX_PAYLOAD).map(bytes),  # only zeros: the worst case of COBS
    ),
)


def bytewise(data: bytes) -> list[Frame | BadFrame]:
    decoder = FrameDecoder()
    return [item for byte in data for item in decoder.receive(bytes((byte,)))]


def sample_frame(rng: random.Random, size: int | None = None) -> Frame:
    payload = rng.randbytes(rng.randrange(MAX_PAYLOAD + 1) if size is None else size)
    return Frame(VERSION, rng.randrange(16), rng.randrange(256), rng.randrange(65536), 3, payload)


def test_checksum_is_the_one_of_the_protocol() -> None:
    assert zlib.crc32(b"123456789") == 0xCBF43926


def test_wire_bytes_are_pinned() -> None:
    wire = encode(Frame(VERSION, 1, 0x01, 2, 0, b""))
    raw = bytes.fromhex("1101020000")
    raw += zlib.crc32(raw).to_bytes(4, "little")
    assert wire.startswith(bytes.fromhex("00 04 110102 01"))
    assert wire.endswith(raw[5:] + b"\0")
    assert len(wire) == len(raw) + 3


@given(FRAMES)
def test_a_frame_comes_back(frame: Frame) -> None:
    wire = encode(frame)
    assert wire[0] == wire[-1] == 0
    assert 0 not in wire[1:-1]
    assert 0xFF not in (wire[1],)
    assert len(wire) <= 256
    assert FrameDecoder().receive(wire) == [frame]


@pytest.mark.parametrize(
    "frame",
    [
        Frame(VERSION, 0, 0, 0, 0, bytes(MAX_PAYLOAD + 1)),
        Frame(16, 0, 0, 0, 0, b""),
        Frame(VERSION, 16, 0, 0, 0, b""),
        Frame(VERSION, 0, 256, 0, 0, b""),
        Frame(VERSION, 0, 0, 65536, 0, b""),
        Frame(VERSION, 0, 0, 0, -1, b""),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(frame: Frame) -> None:
    with pytest.raises(ValueError, match="payload|version|type"):
        encode(frame)


@given(st.lists(st.one_of(st.binary(max_size=600), FRAMES.map(encode)), max_size=8))
@example([b"\x05" * 255, b"\0\0", b"\x05" * 254 + b"\0"])
@example([b"\x01\0\x01\0\0\x01\0"])
def test_any_bytes_whole_or_one_by_one(parts: list[bytes]) -> None:
    data = b"".join(parts)
    decoder = FrameDecoder()
    assert decoder.receive(data) == bytewise(data)


@given(st.lists(FRAMES, min_size=1, max_size=5), st.data())
def test_frames_in_any_pieces(frames: list[Frame], data: st.DataObject) -> None:
    wire = b"".join(map(encode, frames))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    decoder = FrameDecoder()
    found: list[Frame | BadFrame] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += decoder.receive(wire[start:end])
    assert found == frames


def test_one_shared_delimiter_is_enough() -> None:
    rng = random.Random(1)
    frames = [sample_frame(rng) for _ in range(5)]
    wire = b"\0" + b"".join(encode(frame)[1:] for frame in frames)
    assert FrameDecoder().receive(wire) == frames


def test_babble_without_a_delimiter_holds_no_memory_and_is_told_once() -> None:
    decoder = FrameDecoder()
    found = [item for _ in range(2000) for item in decoder.receive(b"\x55" * 1000)]
    assert found == [BadFrame("overflow", MAX_CHUNK + 1)]
    assert decoder.reset() <= MAX_CHUNK
    frame = sample_frame(random.Random(2))
    decoder.receive(b"\x55" * 1000)
    assert decoder.receive(encode(frame)) == [frame]


def test_the_longest_chunk_is_held_and_one_more_byte_is_not() -> None:
    decoder = FrameDecoder()
    assert decoder.receive(b"\x01" * MAX_CHUNK) == []
    assert decoder.receive(b"\x01") == [BadFrame("overflow", MAX_CHUNK + 1)]


def test_code_ff_is_never_legal() -> None:
    wire = b"\0\xff" + b"\x01" * 253 + b"\0"
    assert FrameDecoder().receive(wire) == [BadFrame("cobs", 254)]


def test_each_kind_of_damage_has_its_name() -> None:
    good = encode(Frame(VERSION, 0, 0x30, 1, 1, b"abc"))
    alien = encode(Frame(2, 0, 0x30, 1, 1, b"abc"))
    crc = good[:-2] + bytes((good[-2] ^ 1 or 2,)) + b"\0"
    stream = crc + alien + b"\0\x02A\0" + b"\0\x09AB\0" + b"\0" + b"\x01" * 300 + b"\0" + good
    items = FrameDecoder().receive(stream)
    reasons = [item.reason for item in items if isinstance(item, BadFrame)]
    assert reasons == ["crc", "version", "short", "cobs", "overflow"]
    assert isinstance(items[-1], Frame)


def test_the_rest_of_a_frame_after_opening_is_partial_not_damage() -> None:
    frame = sample_frame(random.Random(4), 40)
    decoder = FrameDecoder()
    decoder.receive(encode(frame)[:20])
    assert decoder.reset() == 19
    found = decoder.receive(encode(frame)[25:] + encode(frame))
    assert [type(item) for item in found] == [BadFrame, Frame]
    assert found[0] == BadFrame("partial", 26)
    decoder.reset()
    damaged = b"\0" + encode(frame)[2:]
    assert [item.reason for item in decoder.receive(damaged)] != ["partial"]


def test_every_single_bit_flip_costs_one_frame_and_gives_one_bad_frame() -> None:
    rng = random.Random(5)
    frames = [sample_frame(rng, 30) for _ in range(3)]
    wires = [encode(frame) for frame in frames]
    for bit in range(8 * len(wires[1])):
        damaged = bytearray(wires[1])
        damaged[bit // 8] ^= 1 << bit % 8
        found = FrameDecoder().receive(wires[0] + bytes(damaged) + wires[2])
        bad = [item for item in found if isinstance(item, BadFrame)]
        good = [item for item in found if isinstance(item, Frame)]
        assert len(bad) == 1, bit
        assert good == [frames[0], frames[2]], bit


def test_no_false_frame_among_20000_damaged() -> None:
    rng = random.Random(6)
    sent: set[Frame] = set()
    decoder = FrameDecoder()
    bad = 0
    for _ in range(20_000):
        frame = sample_frame(rng, rng.choice((0, 20, 60)))
        sent.add(frame)
        wire = bytearray(encode(frame))
        for _ in range(rng.randint(1, 8)):
            place = rng.randrange(1, len(wire) - 1)
            match rng.randrange(3):
                case 0:
                    wire[place] ^= 1 << rng.randrange(8)
                case 1:
                    wire[place : place + rng.randrange(1, 5)] = b""
                case _:
                    wire[place:place] = rng.randbytes(3)
            if len(wire) < 3:
                break
        for item in decoder.receive(bytes(wire)):
            bad += isinstance(item, BadFrame)
            # Edits may undo each other, or cut only garbage: a frame that comes was sent.
            assert isinstance(item, BadFrame) or item in sent
    assert bad > 15_000  # fewer than frames: a lost delimiter joins two


def lossy(rng: random.Random, wire: bytes) -> bytes:
    return bytes(byte for byte in wire if rng.random() > 0.2)


def flipping(rng: random.Random, wire: bytes) -> bytes:
    return bytes(b ^ (1 << rng.randrange(8)) if rng.random() < 0.005 else b for b in wire)


def noisy(rng: random.Random, wire: bytes) -> bytes:
    return rng.randbytes(rng.randrange(30)) + wire


@pytest.mark.parametrize("transport", [lossy, flipping, noisy])
def test_transports_lose_frames_but_never_make_one(transport) -> None:
    rng = random.Random(7)
    frames = [sample_frame(rng, 25) for _ in range(1500)]
    decoder = FrameDecoder()
    found = [f for frame in frames for f in decoder.receive(transport(rng, encode(frame)))]
    good = [item for item in found if isinstance(item, Frame)]
    rest = iter(frames)
    assert all(any(each == item for each in rest) for item in good)  # a subsequence
    if transport is noisy:
        assert good == frames
    else:
        assert len(good) < len(frames)
