"""TW1 written a second time, from docs/tw1.md alone and as plainly as it goes.

Nothing of `firmware_bridge` is used here: what both sides are tested with must not come from one
of them. Slow on purpose: CRC bit by bit, COBS as its paper has it, a receiver a byte at a time.
"""

from __future__ import annotations

DTYPE_SIZE = (2, 4, 4, 4)
MAX_BETWEEN_ZEROS = 254


def crc32(data: bytes) -> int:
    """CRC-32/ISO-HDLC, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def le(value: int, size: int) -> bytes:
    """Little-endian; negative numbers in two's complement."""
    return bytes(value >> 8 * i & 0xFF for i in range(size))


def un(data: bytes, signed: bool = False) -> int:
    value = sum(byte << 8 * i for i, byte in enumerate(data))
    return value - (1 << 8 * len(data)) if signed and data[-1] & 0x80 else value


def stuffed(raw: bytes) -> bytes:
    """COBS (Cheshire and Baker 1999), with its codes of 255 too."""
    out, block = b"", b""
    for byte in raw + b"\0":
        if byte:
            block += bytes((byte,))
            if len(block) == 254:
                out, block = out + b"\xff" + block, b""
        else:
            out, block = out + bytes((len(block) + 1,)) + block, b""
    return out


def unstuffed(chunk: bytes) -> bytes | None:
    """The bytes that were stuffed; None if they do not add up, or hold the code that TW1 bans."""
    raw, at = b"", 0
    while at < len(chunk):
        code = chunk[at]
        block = chunk[at + 1 : at + code]
        if code == 255 or len(block) != code - 1:
            return None
        raw += block + b"\0"
        at += code
    return raw[:-1]


def raw_of(flags: int, kind: int, seq: int, boot: int, payload: bytes, version: int = 1) -> bytes:
    body = bytes((version << 4 | flags, kind)) + le(seq, 2) + bytes((boot,)) + payload
    return body + le(crc32(body), 4)


def wire_of(raw: bytes) -> bytes:
    return b"\0" + stuffed(raw) + b"\0"


def judged(chunk: bytes) -> list[object]:
    """What the bytes between two zeros are: ["frame", fields...] or [reason, size]."""
    raw = unstuffed(chunk)
    if raw is None:
        return ["cobs", len(chunk)]
    if len(raw) < 9:
        return ["short", len(chunk)]
    if crc32(raw[:-4]) != un(raw[-4:]):
        return ["crc", len(chunk)]
    if raw[0] >> 4 != 1:
        return ["version", len(chunk)]
    return ["frame", raw[0] & 15, raw[1], un(raw[2:4]), raw[4], raw[5:-4].hex()]


def received(data: bytes, reset_at: int = -1) -> tuple[list[list[object]], int]:
    """What a receiver makes of bytes, told before byte `reset_at` that the line was opened anew.

    Gives the events, and the bytes it forgot at that.
    """
    events: list[list[object]] = []
    chunk = b""
    forgotten = 0
    lost = False  # no zero since an overflow
    joined = False  # no zero since the reset
    told = False  # the chunk before this one was damage, and one zero parts them

    def damage(event: list[object]) -> None:
        nonlocal told
        if joined:
            event = ["partial", event[1]]
        if not told:
            events.append(event)
        told = True

    for at in range(len(data) + 1):
        if at == reset_at:
            forgotten, chunk, lost, joined, told = len(chunk), b"", False, True, False
        if at == len(data):
            break
        if data[at]:
            if not lost:
                chunk += data[at : at + 1]
            if len(chunk) > MAX_BETWEEN_ZEROS:
                damage(["overflow", len(chunk)])
                chunk, lost = b"", True
            continue
        if chunk:
            event = judged(chunk)
            if event[0] == "frame":
                events.append(event)
                told = False
            else:
                damage(event)
        elif not lost:
            told = False
        chunk, lost, joined = b"", False, False
    return events, forgotten


def packed_row(dtypes: list[int], valid: list[int], numbers: list[int]) -> bytes:
    """One row; the numbers of f32 are their bits."""
    bitmap = sum(bit << i for i, bit in enumerate(valid))
    parts = [le(number, DTYPE_SIZE[dtype]) for dtype, number in zip(dtypes, numbers, strict=True)]
    return le(bitmap, -(-len(dtypes) // 8)) + b"".join(parts)
