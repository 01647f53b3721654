"""Asking for Modbus RTU devices: functions 3 and 4, a range of addresses. Nothing is written."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edge.probe_finding import Finding, text
from firmware_bridge.modbus_exchange import Exchange
from firmware_bridge.modbus_frame import READS, Answer, Refusal, Request, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edge.probe_line import Line

PLACES = tuple(
    (baud, frame) for baud in (9600, 19200, 115200, 38400, 57600) for frame in ("8N1", "8E1")
)
"""19200 8E1 is what the standard wants, 9600 8N1 what most devices are delivered with."""
ANSWER_S = 0.1
"""From the request to the whole answer, beside the time it takes on the line."""
_COUNTS = (10, 2, 1)
"""Registers asked for at first, fewer where the device has not so many."""
_FIRSTS = (0, 1, 100, 256, 1000, 4096)
"""Where the registers of many devices begin."""
_NO_FUNCTION = 1
_GAP_S = 0.005
_SHOWN = 10


def ask_modbus(line: Line, tell: Callable[[str], None], addresses: Iterable[int]) -> Finding | None:
    """Look for devices at the speed the line has; None if nobody answers."""
    found = []
    for address in addresses:
        if not line.left_s:
            break
        if _ask(line, Request(address, READS[0], 0, 1)) is not None:
            found.append(address)
            tell(f"address {address} answers")
    if not found:
        return None
    seen: list[str] = []
    table = ["[port.modbus]"]
    for address in found:
        best: tuple[int, int, tuple[int, ...]] | None = None
        for function in READS:
            first, words, said = _registers(line, address, function)
            seen.append(f"address {address}, function {function}: {said}")
            if words and best is None:
                best = function, first, words
        table += device_table(address, *(best or (READS[0], 0, ())))
    return Finding("modbus", tuple(seen), tuple(table))


def _registers(line: Line, address: int, function: int) -> tuple[int, tuple[int, ...], str]:
    """Give the first register that can be read, what follows it, and what the device said."""
    said = "no answer"
    for first in _FIRSTS:
        for count in _COUNTS:
            answer = _ask(line, Request(address, function, first, count))
            if isinstance(answer, Answer):
                return first, answer.words, _shown(first, answer.words)
            if answer is not None:
                said = answer.text
                if answer.code == _NO_FUNCTION:
                    return 0, (), said
    return 0, (), f"{said}; asked for registers {', '.join(map(str, _FIRSTS))}"


def _ask(line: Line, request: Request) -> Answer | Refusal | None:
    if not line.left_s:
        return None
    exchange = Exchange(request, echo=False)
    found: list[Answer | Refusal] = []

    def take(piece: bytes) -> bool:
        answer = exchange.receive(piece)
        if answer is not None:
            found.append(answer)
        return answer is not None

    answer_s = request.answer_size * line.bits_a_byte / line.baud
    line.ask(request.encode(), ANSWER_S + answer_s, take)
    line.hear(max(_GAP_S, 3.5 * line.bits_a_byte / line.baud))  # the silence between frames
    return found[0] if found else None


def _shown(first: int, words: tuple[int, ...]) -> str:
    registers = " ".join(f"{word:04x}" for word in words[:_SHOWN])
    order, values = floats(words)
    as_floats = ", ".join(f"{value:g}" for value in values)
    guess = f"; as float32 {order}: {as_floats}" if values else ""
    return f"registers {first}..{first + len(words) - 1} = {registers}{guess}"


def floats(words: tuple[int, ...]) -> tuple[str, list[float]]:
    """Give the word order in which the pairs are believable numbers, and these; none if not."""
    pairs = list(zip(words[::2], words[1::2], strict=False))
    best: tuple[str, list[float]] = "", []
    for order in ("ABCD", "CDAB"):
        values = [number(pair, "float32", order) for pair in pairs]
        believed = [v for v in values if v == 0 or 1e-4 < abs(v) < 1e7]
        real = [v for v in believed if v and math.isfinite(v)]
        if real and len(believed) == len(values) and len(real) > len([v for v in best[1] if v]):
            best = order, values
    return best


def device_table(address: int, function: int, first: int, words: tuple[int, ...]) -> list[str]:
    """Write the table of one device: what its registers mean is in its manual alone."""
    order, values = floats(words)
    return [
        "",
        "[[port.modbus.device]]  # names, registers and types: as in its manual",
        f"address = {address}",
        f"name = {text(f'device-{address}')}",
        "period_s = 60",
        f"function = {function}",
        *([f"order = {text(order)}"] if values else []),
        "",
        "[[port.modbus.device.channel]]",
        f"name = {text(f'value_{address}')}",
        f"register = {first}",
        f"type = {text('float32' if values else 'uint16')}",
    ]
