"""What bytes heard on a line are: TW1, GNSS, delimited lines, or nothing known. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from edge.probe_finding import Finding
from edge.probe_gnss import recognise_gnss
from edge.probe_lines import finding_of, guess_lines
from firmware_bridge.framing import ACK_REQ, Frame, FrameDecoder
from firmware_bridge.messages import DATA, DATA_BATCH, DESCRIBE, HELLO, STATS
from firmware_bridge.modbus_frame import READS, with_crc

MAX_HEARD = 32_768
"""More bytes of one line are not looked at."""
_NAMES = {DATA: "DATA", DATA_BATCH: "DATA_BATCH", DESCRIBE: "DESCRIBE", HELLO: "HELLO",
          STATS: "STATS"}  # fmt: skip
_TEXT = re.compile(rb"[\t\r\n -~]+")
_LEAST_TEXT = 12
_REQUEST_SIZE = 8
_MAX_ADDRESS = 247
_LEAST_REQUESTS = 2
"""Sixteen bits guard a question: one alone may be chance."""


def recognise(data: bytes) -> Finding | None:
    """Say what came in; None where it is nothing known, as at a wrong baud rate."""
    data = data[:MAX_HEARD]
    found = _tw1(data) or recognise_gnss(data) or _modbus_master(data) or _lines(data)
    if found is not None:
        return found
    frame = parity_of(data)
    if frame is None:
        return None
    found = _lines(bytes(byte & 0x7F for byte in data))
    return None if found is None else replace(found, frame=frame)


def parity_of(data: bytes) -> str | None:
    """Give the frame under which 7-bit text was sent, if bit 7 is its parity; None if it is not."""
    if len(data) < _LEAST_TEXT or not any(byte & 0x80 for byte in data):
        return None
    if not readable(bytes(byte & 0x7F for byte in data)):
        return None
    ones = Counter(byte.bit_count() & 1 for byte in data)
    if all(byte & 0x80 for byte in data):
        return "7N2"
    for parity, odd in (("E", 0), ("O", 1)):
        if ones[odd] == len(data):
            return f"7{parity}1"
    return None


def readable(data: bytes) -> bool:
    """Say whether it is text, all but for a little damage: the baud rate is right."""
    plain = sum(map(len, _TEXT.findall(data)))
    return len(data) >= _LEAST_TEXT and plain * 100 >= 95 * len(data)


def _tw1(data: bytes) -> Finding | None:
    items = FrameDecoder().receive(data)
    # Not our own question, which an RS-485 adapter repeats.
    frames = [item for item in items if isinstance(item, Frame) and not item.flags & ACK_REQ]
    if not frames:
        return None  # 32 bits guard each: one is proof
    kinds = Counter(_NAMES.get(frame.type, f"type {frame.type:02x}") for frame in frames)
    seen = ", ".join(f"{kind} x{count}" for kind, count in sorted(kinds.items()))
    return Finding("tw1", (f"frames whose CRC-32 holds: {seen}",), ())


def _modbus_master(data: bytes) -> Finding | None:
    """Recognise the questions of another Modbus master: nothing may be asked beside it."""
    asked: Counter[int] = Counter()
    for at in range(len(data) - _REQUEST_SIZE + 1):
        if data[at + 1] in READS and 0 < data[at] <= _MAX_ADDRESS:
            frame = data[at : at + _REQUEST_SIZE]
            asked[data[at]] += with_crc(frame[:-2]) == frame
    addresses = sorted(address for address, count in asked.items() if count)
    if asked.total() < _LEAST_REQUESTS:
        return None
    known = ", ".join(map(str, addresses))
    said = (
        f"a Modbus master asks here already, for addresses {known}",
        "a second one would disturb it: give Talus a line of its own, or stop the other",
    )
    return Finding("modbus", said, (), whole=False)


def _lines(data: bytes) -> Finding | None:
    guess = guess_lines(data)
    return None if guess is None else finding_of(guess)
