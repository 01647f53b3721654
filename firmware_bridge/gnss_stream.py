"""The line of a GNSS receiver, where UBX frames and NMEA sentences mix. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_bridge.nmea import FalseStart, Sentence, cut_sentence
from firmware_bridge.ubx import MAX_FRAME, Fletcher, UbxMessage, cut_message

if TYPE_CHECKING:
    from collections.abc import Callable

_START = re.compile(rb"\$(?=[A-Z]|\Z)|\xb5(?=\x62|\Z)")


@dataclass(frozen=True, slots=True)
class BadBytes:
    """Bytes of the stream that are no frame: a damaged one, or between frames."""

    reason: str
    """"crc", "short", "partial" or "truncated": see `reading.ROW_REASONS`."""
    detail: str
    size: int


class GnssStream:
    """Push decoder of a line that mixes UBX and NMEA. Holds at most `MAX_FRAME` bytes.

    What begins as a frame and is none is searched again from its second byte, so a damaged length
    hides no frame behind it. Bytes between two frames that are none give one `BadBytes` for each
    damaged frame in them (one that lost its first bytes counts to its neighbour), or one for every
    `MAX_FRAME` bytes of noise.
    """

    __slots__ = ("_began", "_claimed", "_found", "_held", "_joined", "_lost")

    def __init__(self) -> None:
        self._held = b""
        self._lost = 0  # bytes so far of the bad ones that are not yet given
        self._began = False  # they begin as a frame does
        self._claimed = 0  # how many of those to come belong to the same damaged frame
        self._joined = False  # nothing has been found since the port was opened
        self._found: list[UbxMessage | Sentence | BadBytes] = []

    @property
    def unsettled(self) -> bool:
        """Whether something is held that more bytes, or `give_up`, would settle."""
        return bool(self._held or self._lost or self._found)

    def reset(self) -> None:
        """Forget the half frame, as the port was opened anew; the next call tells of it."""
        self._give_lost()
        if self._held:
            bad = BadBytes("truncated", "the port vanished within a frame", len(self._held))
            self._found.append(bad)
        self._held = b""
        self._joined = True

    def receive(self, data: bytes) -> list[UbxMessage | Sentence | BadBytes]:
        """Take any bytes; gives what ended in them."""
        self._scan(self._held + data)
        found, self._found = self._found, []
        return found

    def give_up(self) -> list[UbxMessage | Sentence | BadBytes]:
        """Take it that the frame that has begun never ends, as the line is silent."""
        while self._held:
            held = self._held
            self._give_lost()
            self._began = True
            self._lose(held[:1])
            self._scan(held[1:])
        self._give_lost("short", "the line fell silent within a frame")
        found, self._found = self._found, []
        return found

    def _scan(self, buffer: bytes) -> None:
        at = 0
        checks: Callable[[int, int], bytes] | None = None
        while at < len(buffer):
            start = _START.search(buffer, at)
            next_at = len(buffer) if start is None else start.start()
            if next_at > at:
                self._lose(buffer[at:next_at])
                at = next_at
                continue
            if buffer[at] == ord("$"):
                item: UbxMessage | Sentence | FalseStart | None = cut_sentence(buffer, at)
            else:
                item = cut_message(buffer, at, checks)
                if isinstance(item, FalseStart) and checks is None:
                    checks = Fletcher(buffer).of  # bytes that all begin long frames are added once
            if item is None:
                break
            if isinstance(item, FalseStart):
                if item.claimed and not self._claimed:
                    self._give_lost()
                    self._began, self._claimed = True, item.claimed
                self._lose(buffer[at : at + 1])
                at += 1
                continue
            self._give_lost()
            self._joined = False
            self._found.append(item)
            at += item.size
        self._held = buffer[at:]

    def _lose(self, run: bytes) -> None:
        while True:
            if not self._lost:
                run = run.lstrip(b"\r\n")  # the end of a sentence
            if not run:
                return
            size = min(len(run), MAX_FRAME - self._lost)
            self._lost += size
            self._claimed = max(0, self._claimed - size)
            run = run[size:]
            if self._lost == MAX_FRAME:
                self._give_lost()

    def _give_lost(self, reason: str = "crc", detail: str = "the checksum does not match") -> None:
        if self._lost:
            if not self._began:
                reason, detail = "crc", "no frame in these bytes"
                if self._joined:
                    reason = "partial"
            self._joined = False
            self._found.append(BadBytes(reason, detail, self._lost))
        self._lost = self._claimed = 0
        self._began = False
