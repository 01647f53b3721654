"""What a person tells a running gateway: acknowledge, shelve, drill, rezero. Pure.

The same values come from the command line and, signed, over the air; each has an id, so that one
that comes twice is carried out once.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

WHATS = ("acknowledge", "shelve", "drill", "rezero")
MAX_ORDER_BYTES = 4096
MAX_SHELF_MS = 7 * 86_400_000
"""Nothing is shelved for longer: it must be decided anew."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TEXTS = ("who", "why", "rule", "channel")
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class Order:
    """One order for one station."""

    id: str
    what: str
    """One of `WHATS`."""
    station: str
    who: str
    """Who says so, for the audit."""
    why: str = ""
    level: int = 0
    """Of a drill."""
    rule: str = ""
    """What is shelved: a rule, or "models"."""
    until_ms: int = 0
    """Until when it is shelved; in the past: no longer."""
    channel: str = ""
    """What is set to zero."""


class OrderError(ValueError):
    """An order that cannot be carried out; the text says why."""


def encode_order(order: Order) -> str:
    """Write an order as one line of JSON, ASCII."""
    return json.dumps(asdict(order), separators=(",", ":"), ensure_ascii=True)


def decode_order(text: bytes | str) -> Order:
    """Read an order. Raises OrderError."""
    if len(text) > MAX_ORDER_BYTES:
        raise OrderError(f"longer than {MAX_ORDER_BYTES} bytes")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OrderError(f"not JSON: {error}") from None
    if not isinstance(values, dict):
        raise OrderError("not an object")
    return _checked(values)


def _checked(values: dict[str, Any]) -> Order:
    unknown = sorted(set(values) - set(Order.__slots__))
    if unknown:
        raise OrderError(f"unknown key {unknown[0][:40]!r}")
    for key in ("id", "what", "station", *_TEXTS):
        value = values.get(key, "")
        if not isinstance(value, str) or len(value) > _MAX_TEXT or not value.isprintable():
            raise OrderError(f"{key}: a printable text of at most {_MAX_TEXT} characters")
    for key in ("level", "until_ms"):
        if type(values.get(key, 0)) is not int or not 0 <= values.get(key, 0) < 2**53:
            raise OrderError(f"{key}: a whole number")
    for key in ("id", "what", "station", "who"):
        if not values.get(key):
            raise OrderError(f"{key}: missing")
    order = Order(**values)
    if not _ID.fullmatch(order.id):
        raise OrderError("id: letters, digits, '_' and '-' only, 64 at most")
    if order.what not in WHATS:
        raise OrderError(f"what: {order.what[:40]!r} is not one of {', '.join(WHATS)}")
    if order.what == "drill" and not 1 <= order.level <= 4:
        raise OrderError("level: 1 to 4")
    if order.what == "shelve" and not order.rule:
        raise OrderError("rule: which rule, or 'models'?")
    if order.what == "rezero" and not order.channel:
        raise OrderError("channel: which?")
    return order
