"""TW1 framing: COBS between zero bytes, CRC-32 at the end. Any bytes in, never an exception.

    wire = 0x00 | COBS(raw) | 0x00
    raw  = u8 version<<4|flags  u8 type  u16 seq  u8 boot  payload[0..244]  u32 crc32, little-endian

raw is at most 253 bytes, so COBS adds exactly one byte and its code 0xFF is never legal.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

from firmware_bridge.record import record

VERSION = 1
MAX_RAW = 253
MAX_CHUNK = MAX_RAW + 1
"""Bytes between two delimiters, at most."""
MAX_PAYLOAD = 244

FRAME_COST = 10
"""Bytes between the delimiters beside the payload: header, CRC-32 and one of COBS."""
DAMAGE = {
    "cobs": "the byte stuffing does not add up",
    "crc": "the checksum does not match",
    "short": "shorter than any frame",
    "overflow": "no delimiter where the longest frame would have ended",
    "version": "a version of TW1 that is not spoken here",
    "partial": "the rest of a frame that began before the port was opened",
}
"""What each reason of a `BadFrame` means."""

ACK_REQ = 1
RESPONSE = 2
ERROR = 4
RESERVED = 8

_HEADER = struct.Struct("<BBHB")
_CRC = struct.Struct("<I")
_SHORTEST_CHUNK = 1 + _HEADER.size + _CRC.size
_RESIDUE = 0x2144DF1C
"""CRC-32 of any bytes followed by their own CRC-32."""
_BEFORE_ZERO = 0x0F6A7026
"""What CRC-32 starts from so that one zero byte leaves it as it is before the first byte."""
# Header and payload of a decoded chunk, by its size; its first byte is where the COBS code was.
_FIELDS = tuple(
    struct.Struct(f"<xBBHB{max(0, size - _SHORTEST_CHUNK)}s4x") for size in range(MAX_CHUNK + 1)
)


@record
class Frame:
    """One frame as it was sent, its checksum verified."""

    version: int
    flags: int
    type: int
    seq: int
    boot: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class BadFrame:
    """Bytes between two delimiters that are no frame."""

    reason: str
    """"cobs", "crc", "short", "overflow", "version" or "partial": see `reading.ROW_REASONS`."""
    size: int
    """Bytes between the delimiters; for an overflow the bytes held when it was given up."""


def encode(frame: Frame) -> bytes:
    """Give the wire bytes of a frame; ValueError if a field does not fit."""
    if len(frame.payload) > MAX_PAYLOAD:
        raise ValueError(f"payload of {len(frame.payload)} bytes, at most {MAX_PAYLOAD} fit")
    if not (0 <= frame.version <= 15 and 0 <= frame.flags <= 15):
        raise ValueError(f"version {frame.version} or flags {frame.flags} not in 0..15")
    try:
        head = _HEADER.pack(frame.version << 4 | frame.flags, frame.type, frame.seq, frame.boot)
    except struct.error as error:
        raise ValueError(
            f"type {frame.type}, seq {frame.seq} or boot {frame.boot}: {error}"
        ) from None
    body = head + frame.payload
    raw = body + _CRC.pack(crc32(body))
    stuffed = b"".join(bytes((len(run) + 1,)) + run for run in raw.split(b"\0"))
    return b"\0" + stuffed + b"\0"


def _decode(chunk: bytes) -> Frame | BadFrame:
    """Decode the bytes between two delimiters: at least one, none zero."""
    size = len(chunk)
    if size > MAX_CHUNK:
        return BadFrame("overflow", MAX_CHUNK + 1)
    buffer = bytearray(chunk)
    at = 0
    # Without code 0xFF every code byte stands where a zero was, so decoding is in place: hop from
    # code to code writing zeros. A code of 0xFF hops past any legal end.
    while at < size:
        step = buffer[at]
        buffer[at] = 0
        at += step
    if at > size:
        return BadFrame("cobs", size)
    if size < _SHORTEST_CHUNK:
        return BadFrame("short", size)
    if crc32(buffer, _BEFORE_ZERO) != _RESIDUE:
        return BadFrame("crc", size)
    first, kind, seq, boot, payload = _FIELDS[size].unpack(buffer)
    if first >> 4 != VERSION:
        return BadFrame("version", size)
    return Frame(VERSION, first & 15, kind, seq, boot, payload)


class FrameDecoder:
    """Push decoder: bytes as they come, frames as they end. Holds at most `MAX_CHUNK` bytes.

    Every damaged frame gives one `BadFrame`. Frames are parted by two zeros, so where a bit flip
    makes a zero inside a frame, its two halves are parted by one: the second half of such a pair
    is taken for the same damage and not given again.
    """

    __slots__ = ("_after_damage", "_held", "_joined", "_skipping")

    def __init__(self) -> None:
        self._held = b""
        self._skipping = False  # the chunk overflowed and was given: wait for its end
        self._after_damage = False  # the last chunk was bad and just one zero came since
        self._joined = False  # no delimiter since the port was opened

    def reset(self) -> int:
        """Forget the half frame, as the port was opened anew; gives the bytes forgotten."""
        forgotten = len(self._held)
        self._held = b""
        self._skipping = False
        self._after_damage = False
        self._joined = True
        return forgotten

    def receive(self, data: bytes) -> list[Frame | BadFrame]:
        """Take any bytes; gives the frames that ended in them, damaged ones as `BadFrame`."""
        parts = (self._held + data).split(b"\0")
        tail = parts.pop()
        found: list[Frame | BadFrame] = []
        for chunk in parts:
            if self._skipping:
                self._skipping = self._joined = False
                self._after_damage = True
            elif not chunk:
                self._after_damage = self._joined = False
            else:
                item = _decode(chunk)
                if isinstance(item, BadFrame):
                    self._add_damage(item, found)
                else:
                    found.append(item)
                    self._after_damage = False
                self._joined = False
        if len(tail) > MAX_CHUNK or self._skipping:
            if not self._skipping:
                self._add_damage(BadFrame("overflow", MAX_CHUNK + 1), found)
                self._skipping = True
            tail = b""
        self._held = tail
        return found

    def _add_damage(self, item: BadFrame, found: list[Frame | BadFrame]) -> None:
        if self._joined:
            item = BadFrame("partial", item.size)
        if not self._after_damage:
            found.append(item)
        self._after_damage = True
