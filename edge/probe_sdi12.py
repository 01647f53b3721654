"""Asking for SDI-12 sensors behind a transparent adapter: `?!`, `a!`, `aI!`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge.probe_finding import Finding, plain, text
from firmware_bridge import sdi12_frame as frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.probe_line import Line

PLACES = ((1200, "7E1"), (9600, "8N1"), (9600, "7E1"), (19200, "8N1"))
"""SDI-12 itself, and what adapters of their own speed mostly have."""
_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TRIES = 2
_ANSWER_S = 0.2
"""From the command to the first byte of its answer: 15 ms by the standard, and the adapter."""
_IDENTITY = re.compile(rb"(?P<version>\d\d)(?P<vendor>.{8})(?P<model>.{6})(?P<rest>.{3,16})")


def ask_sdi12(line: Line, tell: Callable[[str], None], *, thorough: bool) -> Finding | None:
    """Look for sensors at the speed the line has; None if nobody answers."""
    first, came = _ask(line, "?!", _TRIES)
    if not came:
        return None
    addresses = [first.decode()] if _is_address(first) else []
    if not addresses:
        tell("something answers, perhaps several at once: asking each address")
    # Several that answer `?!` at once may look like one.
    for address in _DIGITS + (_LETTERS if thorough else ""):
        if not line.left_s:
            break
        if address not in addresses and _ask(line, f"{address}!")[0] == address.encode():
            addresses.append(address)
    if not addresses:
        return None
    seen = []
    table = ["[port.sdi12]"]
    for address in sorted(addresses):
        known = _identity(_ask(line, f"{address}I!", _TRIES)[0], address)
        seen.append(f"address {address}: {known or 'does not say what it is'}")
        table += sensor_table(address, known)
    return Finding("sdi12", tuple(seen), tuple(table))


def sensor_table(address: str, known: str) -> list[str]:
    """Write the table of one sensor: what it measures is in its manual alone."""
    return [
        "",
        "[[port.sdi12.sensor]]" + (f"  # {known}" if known else ""),
        f"address = {text(address)}",
        f"name = {text(f'sensor-{address}')}",
        'command = "M"  # "MC" where its manual has it: values with a checksum',
        f"channels = {{ value_{address} = 0 }}  # name each value after what it measures",
        "period_s = 60",
    ]


def _is_address(answer: bytes) -> bool:
    return len(answer) == 1 and frame.is_address(answer.decode("latin-1"))


def _ask(line: Line, command: str, tries: int = 1) -> tuple[bytes, bool]:
    """Put a command; gives its answer without CR LF, and whether any came but our echo."""
    asked = command.encode("ascii")
    came = False
    for _ in range(tries if line.left_s else 0):
        held = bytearray()

        def ended(piece: bytes, held: bytearray = held) -> bool:
            held += piece
            return bool(_answer(bytes(held), asked))

        line.ask(asked, _ANSWER_S, ended)
        if held and not _answer(bytes(held), asked):  # it has begun: let it end
            line.hear(frame.MAX_VALUES_LENGTH * line.bits_a_byte / line.baud, ended)
        answer = _answer(bytes(held), asked)
        if answer:
            return answer, True
        came = came or len(bytes(held).replace(asked, b"")) > 0
    return b"", came


def _answer(held: bytes, asked: bytes) -> bytes:
    """Give the last whole line that is more than our echo."""
    for piece in reversed(held.split(b"\r\n")[:-1]):
        answer, _ = frame.clean(piece, asked)
        if answer and answer.isascii() and answer != asked:
            return answer
    return b""


def _identity(answer: bytes, address: str) -> str:
    found = _IDENTITY.fullmatch(answer.removeprefix(address.encode()))
    if found is None:
        return ""
    vendor, model, rest = (found[name].decode().strip() for name in ("vendor", "model", "rest"))
    version = found["version"].decode()
    said = f"{vendor} {model} {rest} (SDI-12 {version[0]}.{version[1]})".replace("  ", " ")
    return plain(said)
