"""SDI-12 on the line: commands, the CRC as three characters, and what answers say.

Source: SDI-12, A Serial-Digital Interface Standard for Microprocessor-Based Sensors, version 1.4
(2019), chapter 4. Answers are without their CR LF here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from firmware_bridge.crc16 import ARC, crc16_of

MAX_VALUES_LENGTH = 75
"""Characters of values in one answer: 35 after M, 75 after C and R; more than 35 is let pass."""
MAX_PAGES = 10
"""D0..D9."""
CRC_LENGTH = 3
_MAX_DIGITS = 7

_VALUE = re.compile(rb"[+-](\d*)(?:\.(\d*))?")
_COMMAND = re.compile(r"(?:(?P<verb>[MC])(?P<crc>C?)[1-9]?|(?P<now>R)(?P<now_crc>C?)[0-9])")
_ANSWER = re.compile(rb"[0-9A-Za-z](?:\d{4,5}|(?:[+-][0-9.]{1,8})*(?:[@-\x7f]{3})?)")

_JUNK = re.compile(rb"[^0-9A-Za-z]{1,2}", re.DOTALL)
# Before an answer to M or C, as a half-duplex line that turns round gives.


def crc16(data: bytes) -> int:
    """Give the CRC-16/ARC: polynomial 0x8005 reflected, start 0 (SDI-12 1.4, 4.4.12)."""
    return crc16_of(data, ARC)


def crc_text(data: bytes) -> bytes:
    """Give the CRC as it is sent: three characters of 4, 6 and 6 bits. `0+3.14` gives `OqZ`."""
    crc = crc16(data)
    return bytes((0x40 | crc >> 12, 0x40 | crc >> 6 & 63, 0x40 | crc & 63))


@dataclass(frozen=True, slots=True)
class Verb:
    """What a command of the configuration asks for."""

    kind: str
    """"M" (the bus is the sensor's until it is read), "C" (concurrent) or "R" (at once)."""
    guarded: bool
    """Whether its values come with a CRC."""


def verb_of(command: str) -> Verb | None:
    """Read "M", "MC", "M1".."MC9", "C", "CC".., "R0".."RC9"; None if it is none of them."""
    found = _COMMAND.fullmatch(command)
    if found is None:
        return None
    return Verb(found["verb"] or found["now"], bool(found["crc"] or found["now_crc"]))


def is_address(address: str) -> bool:
    """Say whether a sensor can have this address: one of 0-9, a-z, A-Z."""
    return len(address) == 1 and address.isascii() and address.isalnum()


def command(address: str, body: str) -> bytes:
    """Give a command as it is sent, such as `0M!`."""
    return f"{address}{body}!".encode("ascii")


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to M or C: `atttn`, `atttnn`."""

    wait_s: int
    """The values are there after this at the latest."""
    count: int
    """How many there will be."""


def clean(line: bytes, asked: bytes) -> tuple[bytes, bool]:
    """Take off our own echo and bytes of noise in front; gives the answer and if there was echo."""
    before, echo, after = line.rpartition(asked) if asked else (b"", b"", line)
    start = 0
    while start < len(after) and not 0x20 < after[start] <= 0x7F:
        start += 1
    return after[start:], bool(echo) and (bool(after) or not before)


def started(line: bytes, address: str, kind: str) -> Started | None:
    """Read the answer to M (`atttn`) or C (`atttnn`, or `atttn` of a lax sensor); None if bad.

    It has no CRC, and one digit may be damaged: what it says must not be needed for true values.
    """
    size = 6 if kind == "C" else 5
    junk = line[:-size]
    if junk and _JUNK.fullmatch(junk):
        line = line[-size:]
    if line[:1] != address.encode() or not line.isascii() or not line[1:].isdigit():
        return None
    if len(line) != size and not (kind == "C" and len(line) == size - 1):
        return None
    return Started(int(line[1:4]), int(line[4:]))


def values(text: bytes) -> tuple[float, ...] | None:
    """Read `+3.14-0.5`: each a sign, 1 to 7 digits, at most one point; () of nothing."""
    if len(text) > MAX_VALUES_LENGTH:
        return None
    found: list[float] = []
    at = 0
    while at < len(text):
        value = _VALUE.match(text, at)
        if value is None or not 0 < len(value[1]) + len(value[2] or b"") <= _MAX_DIGITS:
            return None
        found.append(float(value[0]))
        at = value.end()
    return tuple(found)


def data(line: bytes, address: str, *, guarded: bool) -> tuple[float, ...] | str:
    """Read the answer to D or R; a text says why not: "address", "crc", "format" or "noise".

    With a CRC what stands before the address is passed over, as the CRC tells where it began.
    """
    own = address.encode()
    if line == own:
        return ()  # of nothing there is nothing to guard
    if guarded:
        starts = [at for at in (line.find(own + b"+"), line.find(own + b"-")) if at > 0]
        if starts and not _is_whole(line) and _is_whole(line[min(starts) :]):
            line = line[min(starts) :]
    if line[:1] != own:
        return "address" if is_foreign(line, address) else "noise"
    body = line[1:]
    if guarded:
        if not _is_whole(line):
            return "crc"
        body = body[:-CRC_LENGTH]
    found = values(body)
    return "format" if found is None else found


def is_foreign(line: bytes, address: str) -> bool:
    """Say whether a line is an answer, but of another address."""
    return line[:1] != address.encode() and is_answer(line)


def is_answer(line: bytes) -> bool:
    """Say whether a line looks like an answer of any address to any command."""
    return _ANSWER.fullmatch(line) is not None


def _is_whole(line: bytes) -> bool:
    return len(line) > CRC_LENGTH and crc_text(line[:-CRC_LENGTH]) == line[-CRC_LENGTH:]
