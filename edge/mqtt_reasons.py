"""What a broker says, and what goes wrong on the way to it, in plain words."""

from __future__ import annotations

import ssl
from typing import Any

NOT_AUTHORIZED = 0x87
QUOTA_EXCEEDED = 0x97
_WORDS = {
    0x8D: "the broker heard nothing from this gateway for too long",
    0x8E: "another client took over the name of this gateway: is it configured twice?",
    0x93: "more messages on the air than the broker takes",
    0x95: "a message larger than the broker takes",
    NOT_AUTHORIZED: "not authorized (the broker's access list does not let this gateway do it)",
    QUOTA_EXCEEDED: "quota exceeded (the broker takes no more from this gateway for now)",
    0x9C: "the broker names another server; only configured ones are used",
    0x9D: "the broker names another server; only configured ones are used",
}
MAX_WORDS = 300
"""Characters kept of what a peer says."""


def plain(reason: Any) -> str:
    """Return a reason code of paho in words; what came with it from the peer is cut short."""
    value = getattr(reason, "value", None)
    words = _WORDS.get(value) if isinstance(value, int) else None
    return clean(words or str(reason))


def clean(text: str) -> str:
    """Return one printable line of bounded length."""
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_WORDS])


def error_words(error: BaseException | None) -> str:
    """Return an error of the connection in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return clean(f"certificate verify failed: {error.verify_message}")
    if isinstance(error, ssl.SSLError) and error.reason:
        words = error.reason.lower().replace("_", " ")
        if error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
            words += " (it does not speak TLS on this port, and plain is never tried)"
        return clean(f"TLS: {words}")
    if isinstance(error, TimeoutError):
        return "no answer in time: is this the right port, TLS or plain?"
    return clean(str(error) or type(error).__name__)
