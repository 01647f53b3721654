"""TW1 requests and their answers: SYNC, PING, GET, SET, REBOOT, ENTER_UPDATE, RESEND.

The wire is described in docs/tw1.md. Decoding never raises: a payload that makes no sense gives
`Malformed`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from firmware_bridge.messages import Malformed

SYNC = 0x10
PING = 0x20
GET_SET = 0x21
REBOOT = 0x22
ENTER_UPDATE = 0x23
RESEND = 0x32

MAX_RESEND = 256
"""Samples asked for at once, at most."""
_GET, _SET = 0, 1
_T1 = struct.Struct("<Q")
_SYNC = struct.Struct("<QQQ")
_SETTING = struct.Struct("<BBI")
_REBOOT = struct.Struct("<I")
_UPDATE = struct.Struct("<IB")
_RANGE = struct.Struct("<II")
_WRAP = 1 << 32


class Key(IntEnum):
    """Settings that every node has; from 128 on they are the node's own."""

    PERIOD_MS = 1
    SAMPLES_PER_FRAME = 2
    SAMPLES_PER_STATS = 3
    KEPT_SAMPLES = 4


class Refusal(IntEnum):
    """Why a node did not do what it was asked for."""

    UNKNOWN = 1
    SIZE = 2
    KEY = 3
    RANGE = 4
    READ_ONLY = 5
    NOT_NOW = 6
    OTHER_BOOT = 7
    GONE = 8

    @property
    def text(self) -> str:
        """The reason for people."""
        return _REFUSALS[self]


_REFUSALS = {
    Refusal.UNKNOWN: "it does not know this command: older firmware?",
    Refusal.SIZE: "the command has the wrong size",
    Refusal.KEY: "it has no such setting",
    Refusal.RANGE: "the value is out of range",
    Refusal.READ_ONLY: "the setting can only be read",
    Refusal.NOT_NOW: "not now: battery low, or busy",
    Refusal.OTHER_BOOT: "it has restarted since",
    Refusal.GONE: "it no longer has these samples",
}


def refusal_text(payload: bytes) -> str:
    """Say why, from the payload of an answer with the flag ERROR."""
    code = payload[0] if payload else 0
    return Refusal(code).text if code in _REFUSALS else f"code {code}"


@dataclass(frozen=True, slots=True)
class Exchange:
    """The answer to a SYNC: our time it carried, and the node's at receipt and at sending."""

    t1_us: int
    """Gateway time of the request, as the node gives it back, us."""
    t2_us: int
    """Node time of its receipt, us since boot."""
    t3_us: int
    """Node time of the answer, us since boot."""

    def encode(self) -> bytes:
        """Give the payload (what the node does)."""
        return _SYNC.pack(self.t1_us, self.t2_us, self.t3_us)


def sync_request(t1_us: int) -> bytes:
    """Give the payload of a SYNC request."""
    return _T1.pack(t1_us)


def decode_sync_request(payload: bytes) -> int | Malformed:
    """Decode the request: t1 (what the node does)."""
    if len(payload) != _T1.size:
        return Malformed(f"SYNC request of {len(payload)} bytes, not {_T1.size}")
    return int(_T1.unpack(payload)[0])


def decode_sync(payload: bytes) -> Exchange | Malformed:
    """Decode the answer to a SYNC."""
    if len(payload) != _SYNC.size:
        return Malformed(f"SYNC of {len(payload)} bytes, not {_SYNC.size}")
    return Exchange(*_SYNC.unpack(payload))


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a node; ``value`` None is a question (GET)."""

    key: int
    value: int | None
    written: bool = False
    """A SET, or the answer to one."""

    def encode(self) -> bytes:
        """Give the payload; ValueError if key or value do not fit."""
        if self.value is None:
            if not 0 <= self.key < 256:
                raise ValueError(f"key {self.key}: 0..255")
            return bytes((_GET, self.key))
        try:
            return _SETTING.pack(_SET if self.written else _GET, self.key, self.value)
        except struct.error as error:
            raise ValueError(f"key {self.key}, value {self.value}: {error}") from None


def decode_setting(payload: bytes) -> Setting | Malformed:
    """Decode GET, SET or the answer to either."""
    if len(payload) == 2 and payload[0] == _GET:
        return Setting(payload[1], None)
    if len(payload) == _SETTING.size and payload[0] in (_GET, _SET):
        op, key, value = _SETTING.unpack(payload)
        return Setting(key, value, op == _SET)
    return Malformed(f"GET or SET of {len(payload)} bytes")


def reboot_request(boot_id: int) -> bytes:
    """Give the payload of REBOOT: it ends that boot and no other."""
    return _REBOOT.pack(boot_id)


def update_request(boot_id: int, mode: int = 0) -> bytes:
    """Give the payload of ENTER_UPDATE: it ends that boot, into the boot loader."""
    return _UPDATE.pack(boot_id, mode)


def boot_of_request(payload: bytes, size: int) -> int | Malformed:
    """Decode which boot a REBOOT (4 bytes) or ENTER_UPDATE (5) ends (what the node does)."""
    if len(payload) != size:
        return Malformed(f"{len(payload)} bytes, not {size}")
    return int(_REBOOT.unpack_from(payload)[0])


@dataclass(frozen=True, slots=True)
class Span:
    """Sample indices, both included, modulo 2^32."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """Samples in it."""
        return (self.last - self.first) % _WRAP + 1

    def encode(self) -> bytes:
        """Give the payload of RESEND, and of its answer."""
        return _RANGE.pack(self.first, self.last)


def decode_span(payload: bytes) -> Span | Malformed:
    """Decode RESEND or its answer."""
    if len(payload) != _RANGE.size:
        return Malformed(f"RESEND of {len(payload)} bytes, not {_RANGE.size}")
    span = Span(*_RANGE.unpack(payload))
    if span.count > MAX_RESEND:
        return Malformed(f"RESEND of {span.count} samples, at most {MAX_RESEND}")
    return span
