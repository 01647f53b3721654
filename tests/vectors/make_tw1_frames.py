"""Vectors of framing: frames and their wire bytes, frames that are none, and whole streams."""

from __future__ import annotations

from random import Random

import tw1_reference as ref

Frame = tuple[int, int, int, int, bytes]
EDGE_SEQS = (0, 1, 255, 256, 0x00FF, 0xFF00, 0x7FFF, 0x8000, 0xFFFF)


def frame(rng: Random, size: int | None = None) -> Frame:
    size = rng.choice((0, 1, 2, 5, 8, 12, 24)) if size is None else size
    return (
        rng.randrange(8),
        rng.randrange(256),
        rng.randrange(65536),
        rng.randrange(256),
        sprinkled(rng, size),
    )


def sprinkled(rng: Random, size: int) -> bytes:
    """Random bytes, of which some are zero and some 255."""
    share = rng.choice((0.0, 0.1, 0.5, 0.9))
    return bytes(
        rng.choice((0, 0, 255)) if rng.random() < share else rng.randrange(256) for _ in range(size)
    )


def frames(rng: Random) -> list[list[object]]:
    some: list[Frame] = [frame(rng, size) for size in range(245)]
    some += [(1, 0x20, size, 7, bytes(size)) for size in range(0, 245, 6)]
    some += [(2, 0x20, size, 7, b"\xff" * size) for size in range(0, 245, 12)]
    some += [(1, 0x20, 0, 7, bytes((byte,)) * 3) for byte in range(256)]
    some += [(flags, 0x21, 9, 0, b"\0\1") for flags in range(16)]
    some += [(0, kind, 9, 255, b"") for kind in range(256)]
    some += [(1, 0x10, seq, boot, b"\1") for seq in EDGE_SEQS for boot in (0, 1, 128, 255)]
    some += [frame(rng) for _ in range(200)]
    return [[*each[:4], each[4].hex(), ref.wire_of(ref.raw_of(*each)).hex()] for each in some]


def refused(rng: Random) -> list[list[object]]:
    """Frames that no side may write: payload too long, flags above 15."""
    some = [(1, 0x20, 1, 0, rng.randbytes(size)) for size in range(245, 256)]
    some += [(flags, 0x20, 1, 0, b"") for flags in (16, 17, 31, 128, 255)]
    return [[*each[:4], each[4].hex()] for each in some]


def wire(rng: Random, size: int | None = None) -> bytes:
    return ref.wire_of(ref.raw_of(*frame(rng, size)))


def bad_cobs(rng: Random) -> bytes:
    body = bytes(rng.randrange(1, 256) for _ in range(rng.randrange(1, 40)))
    return (
        b"\0"
        + body[:1].replace(body[:1], bytes((rng.choice((255, len(body) + 2)),)))
        + body[1:]
        + b"\0"
    )


def short(rng: Random) -> bytes:
    return ref.wire_of(rng.randbytes(rng.randrange(9)))


def bad_crc(rng: Random) -> bytes:
    raw = bytearray(ref.raw_of(*frame(rng)))
    raw[-rng.randrange(1, 5)] ^= 1 << rng.randrange(8)
    return ref.wire_of(bytes(raw))


def other_version(rng: Random) -> bytes:
    return ref.wire_of(ref.raw_of(*frame(rng), version=rng.choice((0, *range(2, 16)))))


def overflow(rng: Random) -> bytes:
    size = rng.choice((255, 256, 257, 300, 511))
    return b"\0" + bytes(rng.randrange(1, 256) for _ in range(size)) + b"\0" * rng.randrange(1, 3)


def barely(rng: Random) -> bytes:
    """The longest frame, and what is one byte longer."""
    longest = wire(rng, 244)
    return longest if rng.random() < 0.5 else longest[:-1] + b"\x01\0"


def flip(rng: Random) -> bytes:
    data = bytearray(wire(rng))
    for _ in range(rng.choice((1, 1, 2, 3))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def cut_in_two(rng: Random) -> bytes:
    """A zero inside a frame: two halves, one damage."""
    data = bytearray(wire(rng, rng.randrange(4, 30)))
    for _ in range(rng.choice((1, 1, 2))):
        data[rng.randrange(2, len(data) - 2)] = 0
    return bytes(data)


def dropped(rng: Random) -> bytes:
    data = wire(rng)
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice((1, 1, 2, 8)) :]


def inserted(rng: Random) -> bytes:
    data = wire(rng)
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 1, 2, 8))) + data[at:]


def doubled(rng: Random) -> bytes:
    return wire(rng) * 2


def shared_zero(rng: Random) -> bytes:
    return wire(rng)[:-1] + wire(rng)


def garbage(rng: Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 60))


def half(rng: Random) -> bytes:
    data = wire(rng)
    return data[: rng.randrange(1, len(data))]


def zeros(rng: Random) -> bytes:
    return bytes(rng.randrange(1, 5))


DAMAGES = (bad_cobs, short, bad_crc, other_version, overflow, barely, flip, cut_in_two, dropped,
           inserted, doubled, shared_zero, garbage, half, zeros)  # fmt: skip


def stream(rng: Random, why: str, data: bytes, reset_at: int = -1) -> list[object]:
    pieces = rng.choice((0, 0, 1, 3, len(data) - 1))
    cuts = sorted({rng.randrange(1, len(data)) for _ in range(pieces)} if len(data) > 1 else ())
    if reset_at >= 0:
        cuts = sorted({*cuts, reset_at} - {0, len(data)})
    if pieces == len(data) - 1:
        cuts = list(range(1, len(data)))
    cuts = cuts if len(cuts) < 8 else [-1]  # -1: a byte at a time
    out, forgotten = ref.received(data, reset_at)
    return [why, data.hex(), cuts, reset_at, forgotten, out]


def streams(rng: Random) -> list[list[object]]:
    made = [stream(rng, "frame", wire(rng) + wire(rng)) for _ in range(60)]
    plain = ref.wire_of(ref.raw_of(1, 0x20, 0x0102, 3, b"\x10\x00\x30"))
    for bit in range(8 * len(plain)):
        data = bytearray(plain)
        data[bit // 8] ^= 1 << bit % 8
        made.append(stream(rng, "flip", bytes(data) + plain))
    for at in range(len(plain)):
        made.append(stream(rng, "dropped", plain[:at] + plain[at + 1 :] + plain))
        made.append(stream(rng, "doubled", plain[: at + 1] + plain[at:] + plain))
        made.append(stream(rng, "half", plain[:at] + plain + plain))
        made.append(stream(rng, "reset", plain + plain, reset_at=at))
    for damage in DAMAGES:
        for _ in range(50):
            before = wire(rng) if rng.random() < 0.5 else b""
            after = wire(rng) if rng.random() < 0.8 else b""
            made.append(stream(rng, damage.__name__, before + damage(rng) + after))
        for _ in range(12):
            data = damage(rng) + damage(rng) + wire(rng)
            made.append(stream(rng, "reset", data, reset_at=rng.randrange(len(data) + 1)))
    for _ in range(120):
        parts = [rng.choice(DAMAGES)(rng) for _ in range(rng.randrange(2, 4))]
        made.append(stream(rng, "mixed", b"".join(parts) + wire(rng)))
    return made
