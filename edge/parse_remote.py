"""The table [remote] of gateway.toml: whose commands over MQTT are obeyed, and what is tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_bridge.minisign import PublicKey, SignatureError, parse_public_key

if TYPE_CHECKING:
    from edge.fields import Table

MAX_REMOTE_KEYS = 8
"""One a person who may command, or one a shift."""
TRIAL_H, MAX_TRIAL_H = 24.0, 720.0
"""A day: what differs by the hour of it has been seen. Rain has not: for that make it longer."""


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """With neither keys nor ``allow_unsigned`` every command over MQTT is refused.

    ``trial_ms``: for how long a bundle is tried before it watches, 0: not at all.
    """

    keys: tuple[PublicKey, ...] = ()
    allow_unsigned: bool = False
    trial_ms: int = round(3_600_000 * TRIAL_H)


NO_REMOTE = RemoteConfig()


def parse_remote(t: Table) -> RemoteConfig:
    """Parse public keys, or leave it to the broker alone; both would say two things."""
    allow_unsigned = t.flag("allow_unsigned_commands", default=False)
    given = t.has("keys")
    texts = t.texts("keys", [])
    keys = []
    for i, text in enumerate(texts[:MAX_REMOTE_KEYS]):
        try:
            keys.append(parse_public_key(text))
        except SignatureError as error:
            t.mistakes.add(f"{t.at('keys')}[{i}]", str(error))
    if given and not 1 <= len(texts) <= MAX_REMOTE_KEYS:
        t.wrong("keys", f"one to {MAX_REMOTE_KEYS} keys; holds {len(texts)}")
    if len({key.key for key in keys}) != len(keys):
        t.wrong("keys", "holds the same key twice")
    if given and allow_unsigned:
        what = "true beside keys would make them worthless: leave one out"
        t.wrong("allow_unsigned_commands", what)
    trial_h = t.number("trial_h", TRIAL_H, low=0.0, high=MAX_TRIAL_H)
    t.done()
    return RemoteConfig(tuple(keys), allow_unsigned, round(3_600_000 * trial_h))
