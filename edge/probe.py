"""`talus probe`: which serial devices are there, and what speaks on one of them, at what speed.

It listens first, at one speed after the other. Only to a line on which nothing is understood does
it put questions: HELLO (TW1), `?!` (SDI-12), functions 3 and 4 (Modbus). It changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge.probe_finding import Finding, Place
from edge.probe_hear import MAX_HEARD, readable, recognise
from edge.probe_line import Line
from edge.probe_modbus import PLACES as MODBUS_PLACES
from edge.probe_modbus import ask_modbus
from edge.probe_sdi12 import PLACES as SDI12_PLACES
from edge.probe_sdi12 import ask_sdi12
from edge.probe_tw1 import PLACES as TW1_PLACES
from edge.probe_tw1 import ask_tw1
from firmware_bridge.devices import stable_name
from firmware_bridge.uart_frame import FRAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BAUDS = (9600, 115200, 38400, 19200, 57600, 4800, 1200, 230400, 460800, 921600, 2400)
"""The most common first."""
QUICK_BAUDS = BAUDS[:5]
LISTENED = ("tw1", "gnss", "lines")
"""Protocols that speak by themselves."""
ASKED = ("tw1", "sdi12", "modbus")
EPOCH_S = 1.2
"""What is said in this time is said again and again by most that speak by themselves."""
LONGER = 4
"""So many times as long, where what comes is understood but not yet whole."""
TALKS_BYTES = 64
"""So many at one speed are more than the noise of an open line."""
_MORE_S = 0.25
_LEAST_S = 2.0
_TOGETHER = 3  # speeds at which sensors are asked, when in a hurry
_SHOWN = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """What the person wants to know."""

    bauds: tuple[int, ...] = ()
    """() for all that are common."""
    frame: str = ""
    """"" for what each protocol mostly has."""
    protocol: str = ""
    listen_s: float = EPOCH_S
    """At each speed."""
    budget_s: float = 90.0
    addresses: tuple[int, ...] = tuple(range(1, 17))
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """What came at one speed."""

    baud: int
    frame: str
    size: int
    first: bytes
    is_text: bool


@dataclass(frozen=True, slots=True)
class Probed:
    """What was found, if anything, and what was heard on the way."""

    device: str
    finding: Finding | None
    place: Place | None
    heard: tuple[Heard, ...]
    ended_early: bool
    """Whether the time was over before all was tried."""
    not_asked: bool = False
    """Whether nothing was asked, as somebody speaks who is not understood."""


def probe(device: str, asked: Asked, tell: Callable[[str], None]) -> Probed:
    """Find what speaks at a device. Raises TalusError if it cannot be opened."""
    with Line(device, asked.budget_s) as line:
        name = device if line.device != device else stable_name(device)
        heard: list[Heard] = []
        finding = _listen(line, asked, heard, tell)
        # Whoever speaks there may be the master of a bus: a question would run into its own.
        talks = not asked.protocol and any(each.size >= TALKS_BYTES for each in heard)
        if finding is None and not talks:
            finding = _ask(line, asked, tell)
        place = None
        if finding is not None:
            frame = finding.frame if finding.frame != FRAME else line.frame
            place = Place(name, line.baud, frame)
        ended = finding is None and not line.left_s
        return Probed(name, finding, place, tuple(heard), ended, finding is None and talks)


def _listen(
    line: Line, asked: Asked, heard: list[Heard], tell: Callable[[str], None]
) -> Finding | None:
    if asked.protocol and asked.protocol not in LISTENED:
        return None
    frame = asked.frame or FRAME
    bauds = asked.bauds or (QUICK_BAUDS if asked.quick else BAUDS)
    for baud in bauds:
        if not line.left_s:
            break
        if reason := line.tune(baud, frame):
            tell(f"{baud} baud {frame}: {reason}")
            continue
        data, finding = _hear(line, asked.listen_s)
        heard.append(Heard(baud, frame, len(data), data[:_SHOWN], readable(data)))
        if finding is not None and asked.protocol in ("", finding.protocol):
            tell(f"{baud} baud {frame}: {len(data)} bytes: {finding.protocol}")
            if finding.protocol == "tw1":
                finding = ask_tw1(line, _LEAST_S + asked.listen_s) or finding
            return finding
        what = "text, but no rows of numbers" if readable(data) else "nothing understood"
        if finding is not None:
            what = f"{finding.protocol}, which was not asked for"
        tell(f"{baud} baud {frame}: {f'{len(data)} bytes, {what}' if data else 'silent'}")
    return None


def _hear(line: Line, listen_s: float) -> tuple[bytes, Finding | None]:
    """Listen at one speed; shorter where all is known, longer where it begins to be understood."""
    data, finding = b"", None
    began_s = time.monotonic()
    while line.left_s and len(data) < MAX_HEARD:
        since_s = time.monotonic() - began_s
        promising = finding is not None or readable(data)
        longest_s = listen_s + (LONGER * min(listen_s, EPOCH_S) if promising else 0)
        known = finding is not None and finding.whole
        if since_s >= (min(listen_s, EPOCH_S) if known else longest_s):
            break
        piece = line.hear(min(_MORE_S, max(0.01, longest_s - since_s)))
        if piece:
            data += piece
            finding = recognise(data)
    return data, finding


def _ask(line: Line, asked: Asked, tell: Callable[[str], None]) -> Finding | None:
    for protocol in ASKED:
        if asked.protocol not in ("", protocol):
            continue
        for baud, frame in _places(protocol, asked):
            if not line.left_s:
                return None
            if line.tune(baud, frame):
                continue
            tell(f"{baud} baud {frame}: asking for {protocol}")
            finding = _question(line, protocol, asked, tell)
            if finding is not None:
                return replace(finding, frame=frame)
    return None


def _places(protocol: str, asked: Asked) -> Sequence[tuple[int, str]]:
    """Give the speeds at which a protocol is asked for."""
    known = {"tw1": TW1_PLACES, "sdi12": SDI12_PLACES, "modbus": MODBUS_PLACES}[protocol]
    if asked.bauds:
        frames = sorted({frame for _, frame in known})
        known = tuple((baud, frame) for baud in asked.bauds for frame in frames)
    if asked.frame:
        known = tuple(dict.fromkeys((baud, asked.frame) for baud, _ in known))
    return known[:_TOGETHER] if asked.quick else known


def _question(
    line: Line, protocol: str, asked: Asked, tell: Callable[[str], None]
) -> Finding | None:
    if protocol == "tw1":
        return ask_tw1(line, 0.6)
    if protocol == "sdi12":
        return ask_sdi12(line, tell, thorough=asked.protocol == "sdi12")
    addresses = asked.addresses[:4] if asked.quick else asked.addresses
    return ask_modbus(line, tell, addresses)
