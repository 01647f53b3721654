"""What a receiver at one baud rate makes of bytes that were sent at another."""

from __future__ import annotations

from firmware_bridge.uart_frame import FRAMES


def levels(bursts: list[bytes], frame: str = "8N1", idle_bits: int = 30) -> str:
    """The line, one character a bit of the sender, idle between bursts."""
    bits, parity, stops = FRAMES[frame]
    line = ["1" * idle_bits]
    for burst in bursts:
        for byte in burst:
            data = [byte >> i & 1 for i in range(bits)]
            line.append("0" + "".join(map(str, data)))
            if parity != "N":
                line.append(str(sum(data) & 1 ^ (parity == "O")))
            line.append("1" * stops)
        line.append("1" * idle_bits)
    return "".join(line)


def heard(
    line: str, sent_baud: float, heard_baud: float, *, chained: bool = False, limit: int = 4000
) -> bytes:
    """What an 8N1 receiver gives: each bit sampled in its middle, as an operating system does.

    Where the stop bit is low the byte is given all the same, as Linux does unless told otherwise.
    Then the receiver waits for a high line, or (``chained``, as a 16550 does) takes the low stop
    bit for the start bit of the next byte.
    """
    ratio = sent_baud / heard_baud
    end = len(line)
    found = bytearray()

    def at(time: float) -> bool:
        return int(time) >= end or line[int(time)] == "1"

    start: float = line.find("0")
    while 0 <= start < end and len(found) < limit:
        if at(start + 0.5 * ratio):  # a glitch, shorter than half a bit
            start = _fall(line, start + 0.5 * ratio)
            continue
        bits = [at(start + (k + 1.5) * ratio) for k in range(8)]
        found.append(sum(bit << k for k, bit in enumerate(bits)))
        stop = start + 9.5 * ratio
        if not at(stop):
            if chained:
                start = stop - 0.5 * ratio
                continue
            stop = line.find("1", int(stop))
            if stop < 0:
                break
        start = _fall(line, stop)
    return bytes(found)


def _fall(line: str, time: float) -> int:
    """When the line next goes low; it is high now."""
    return line.find("0", int(time))
