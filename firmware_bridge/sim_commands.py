"""What a simulated TW1 node does when it is told to: settings, restarts, each command once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from firmware_bridge.commands import (
    ENTER_UPDATE,
    GET_SET,
    PING,
    REBOOT,
    Key,
    Refusal,
    Setting,
    Span,
    boot_of_request,
    decode_setting,
    decode_span,
)
from firmware_bridge.framing import ERROR, RESPONSE, Frame
from firmware_bridge.messages import Malformed

if TYPE_CHECKING:
    from collections.abc import Container

_RANGES = {
    Key.PERIOD_MS: (1, 86_400_000),
    Key.SAMPLES_PER_FRAME: (1, 255),
    Key.SAMPLES_PER_STATS: (0, 1_000_000),
}
_WRAP = 1 << 32


class Commands:
    """Settings and the last command carried out, with its answer."""

    def __init__(self, settings: dict[Key, int]) -> None:
        self.settings = settings
        self.restarting = False
        """A restart was asked for, and is due once the answer is sent."""
        self.in_boot_loader = False
        self.carried_out = 0
        self._last: tuple[int, int, int] | None = None
        self._answer: tuple[int, bytes] = (0, b"")

    def restarted(self) -> None:
        """Forget the last command: the memory it was kept in is gone."""
        self.restarting = False
        self._last = None

    def answer(self, frame: Frame, boot_id: int) -> tuple[int, bytes]:
        """Carry out a command, unless it is the last one again; gives flags and payload."""
        if frame.type == PING:
            return RESPONSE, frame.payload
        this = frame.type, frame.seq, crc32(frame.payload)
        if this != self._last:
            self._last = this
            self._answer = self._carry_out(frame, boot_id)
        return self._answer

    def _carry_out(self, frame: Frame, boot_id: int) -> tuple[int, bytes]:
        if frame.type == GET_SET:
            found = self._setting(frame.payload)
        elif frame.type in (REBOOT, ENTER_UPDATE):
            found = self._restart(frame, boot_id)
        else:
            found = Refusal.UNKNOWN
        if isinstance(found, Refusal):
            return RESPONSE | ERROR, bytes((found,))
        self.carried_out += 1
        return RESPONSE, found

    def _setting(self, payload: bytes) -> bytes | Refusal:
        setting = decode_setting(payload)
        if isinstance(setting, Malformed):
            return Refusal.SIZE
        if setting.key not in self.settings:
            return Refusal.KEY
        key = Key(setting.key)
        if setting.written and setting.value is not None:
            if key not in _RANGES:
                return Refusal.READ_ONLY
            low, high = _RANGES[key]
            if not low <= setting.value <= high:
                return Refusal.RANGE
            self.settings[key] = setting.value
        return Setting(key, self.settings[key], setting.written).encode()

    def _restart(self, frame: Frame, boot_id: int) -> bytes | Refusal:
        named = boot_of_request(frame.payload, 4 if frame.type == REBOOT else 5)
        if isinstance(named, Malformed):
            return Refusal.SIZE
        if named != boot_id:
            return Refusal.OTHER_BOOT
        self.restarting = True
        self.in_boot_loader = frame.type == ENTER_UPDATE
        return b""

    def span(self, payload: bytes, kept: Container[int]) -> Span | Refusal:
        """Say which of the samples asked for will come: the longest run from the end that is kept.

        What is missing is missing at the beginning: memory forgets the oldest.
        """
        asked = decode_span(payload)
        if isinstance(asked, Malformed):
            return Refusal.SIZE
        count = 0
        while count < asked.count and (asked.last - count) % _WRAP in kept:
            count += 1
        return Span((asked.last - count + 1) % _WRAP, asked.last) if count else Refusal.GONE
