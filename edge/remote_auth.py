"""Whether a command may be obeyed: for this gateway, signed, of now, and never seen before. Pure.

What was seen is remembered in a ring of SLOTS, a small row of the outbox's state each, so that a
restart forgets nothing and a command costs a row. A command that is older than what the ring has
let go of is refused: a clock that is set back does not make an old command a new one.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from edge.remote_command import Command, Refusal
from firmware_bridge.ed25519 import verify
from firmware_bridge.minisign import ID_BYTES, LEGACY

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.parse_remote import RemoteConfig

WINDOW_MS = 300_000
"""A command is obeyed this long before and after the time it bears, by the gateway's clock."""
SLOTS = 4096
_HEAD = len(LEGACY) + ID_BYTES


class Nonces:
    """The commands seen: `seen` says whether this is one, `remember` takes it in."""

    def __init__(self, floor_ms: int) -> None:
        self._floor_ms = floor_ms
        """What bears this time or an earlier one counts as seen."""
        self._next = 0
        self._ring: dict[int, tuple[str, int]] = {}
        self._known: set[str] = set()

    def seen(self, nonce: str, time_ms: int) -> bool:
        """Whether such a command was obeyed, or may have been and is forgotten."""
        return nonce in self._known or time_ms <= self._floor_ms

    def remember(self, nonce: str, time_ms: int) -> dict[str, bytes]:
        """Take a command in; returns the row to be stored before it is obeyed."""
        slot = self._next % SLOTS
        if slot in self._ring:
            old, old_ms = self._ring[slot]
            self._known.discard(old)
            self._floor_ms = max(self._floor_ms, old_ms)
        self._ring[slot] = (nonce, time_ms)
        self._known.add(nonce)
        row = json.dumps([self._next, nonce, time_ms, self._floor_ms]).encode()
        self._next += 1
        return {_name(slot): row}


def load_nonces(read: Callable[[str], bytes | None], now_ms: int) -> Nonces:
    """Read what was remembered.

    Where there is nothing, or it is damaged, nothing that was signed before now is obeyed.
    """
    rows = []
    for slot in range(SLOTS):
        text = read(_name(slot))
        if text is None:
            break
        try:
            number, nonce, time_ms, floor_ms = json.loads(text)
            rows.append((int(number), str(nonce), int(time_ms), int(floor_ms)))
        except (ValueError, TypeError, RecursionError):
            return Nonces(now_ms)
    if not rows:
        return Nonces(now_ms)
    found = Nonces(max(row[3] for row in rows))
    for number, nonce, time_ms, _ in sorted(rows):
        found._ring[number % SLOTS] = (nonce, time_ms)  # noqa: SLF001  (its other constructor)
        found._known.add(nonce)  # noqa: SLF001
        found._next = number + 1  # noqa: SLF001
    return found


def _name(slot: int) -> str:
    return f"remote.{slot}"


def authenticate(
    command: Command, config: RemoteConfig, gateway: str, nonces: Nonces, now_ms: int
) -> str | Refusal:
    """Return the id of the key that signed ("": none is asked for), or why it is not obeyed.

    What costs nothing is looked at first, the signature last.
    """
    reason, text = "", ""
    if command.gateway != gateway:
        reason, text = "other_gateway", f"this is gateway {gateway!r}"
    elif not config.keys:
        if config.allow_unsigned:
            return ""
        reason = "not_allowed"
        text = "this gateway takes no commands over MQTT: its [remote] keys are not set"
    elif not command.signature:
        reason, text = "unsigned", "unsigned: sign it with talus-export command --key"
    elif abs(command.time_ms - now_ms) > WINDOW_MS:
        away_s = (command.time_ms - now_ms) / 1000
        reason = "expired"
        text = (f"its time is {away_s:+.0f} s from this gateway's clock, "
                f"{WINDOW_MS // 1000} s are allowed")  # fmt: skip
    elif nonces.seen(command.nonce, command.time_ms):
        reason, text = "replayed", "its nonce was used, or it is from before the last one forgotten"
    else:
        return _signer(command, config)
    return Refusal(command.id, reason, text)


def _signer(command: Command, config: RemoteConfig) -> str | Refusal:
    try:
        signature = base64.b64decode(command.signature.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if len(signature) != _HEAD + 64 or not signature.startswith(LEGACY):
        return Refusal(command.id, "bad_signature", "signature: not one of minisign")
    named = [key for key in config.keys if key.number == signature[len(LEGACY) : _HEAD]]
    if not named:
        return Refusal(command.id, "unknown_key", "signed by a key that is not in [remote] keys")
    for key in named:
        if verify(key.key, command.signed, signature[_HEAD:]):
            return key.id
    return Refusal(command.id, "bad_signature", "is not the signature of this command")
