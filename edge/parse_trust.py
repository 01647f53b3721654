"""The table [trust] of gateway.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.trust import MAX_KEYS, Trust
from firmware_bridge.minisign import SignatureError, parse_public_key

if TYPE_CHECKING:
    from edge.fields import Table


def parse_trust(t: Table) -> Trust:
    """Parse public keys, or leave to arm anything; both at once would say two things."""
    allow_unsigned = t.flag("allow_unsigned", default=False)
    given = t.has("keys")
    texts = t.texts("keys", [])
    keys = []
    for i, text in enumerate(texts[:MAX_KEYS]):
        try:
            keys.append(parse_public_key(text))
        except SignatureError as error:
            t.mistakes.add(f"{t.at('keys')}[{i}]", str(error))
    if given and not 1 <= len(texts) <= MAX_KEYS:
        t.wrong("keys", f"one key, or two while one replaces the other; holds {len(texts)}")
    if len({key.key for key in keys}) != len(keys):
        t.wrong("keys", "holds the same key twice")
    if given and allow_unsigned:
        t.wrong("allow_unsigned", "true beside keys would make them worthless: leave one out")
    t.done()
    return Trust(tuple(keys), allow_unsigned)
