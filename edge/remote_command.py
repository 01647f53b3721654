"""What the operations room tells a gateway over MQTT: one JSON object a command. Pure.

``{"id", "gateway", "what", "who", ...}`` and, where it is signed, ``nonce``, ``time_ms`` and
``signature``. Keys are known, each stands once, values are texts and whole numbers: so there is one
text that is signed (`canonical`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

from edge.order import WHATS, Order, OrderError, decode_order

MAX_COMMAND_BYTES = 64 * 1024
CHUNK_BYTES = 32 * 1024
"""Every chunk of a file holds so many bytes, but for its last."""
MAX_CHUNKS = 2048
MAX_TEXT = 200
MAX_BACKFILL_MS = 31 * 86_400_000
MIN_EVERY_MS, MAX_EVERY_MS = 100, 3_600_000
_DOMAIN = b"talus command 1\n"
"""Stands before what is signed: no signature of anything else is one of a command."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UPDATE = re.compile(r"config|package")
_PROOF = ("nonce", "time_ms", "signature")
_NUMBERS = frozenset(
    {"time_ms", "level", "until_ms", "every_ms", "from_ms", "to_ms", "index", "total", "now"}
)
FIELDS = {
    "acknowledge": ("station", "why"),
    "shelve": ("station", "rule", "until_ms", "why"),
    "drill": ("station", "level", "why"),
    "rezero": ("station", "channel", "why"),
    "health_now": (),
    "telemetry_rate": ("every_ms", "until_ms"),
    "backfill": ("from_ms", "to_ms"),
    "install_bundle": ("bundle", "name", "index", "total", "sha256", "data"),
    "commit_bundle": ("station", "bundle", "now"),
    "install_config": ("name", "index", "total", "sha256", "data"),
    "install_package": ("name", "index", "total", "sha256", "data"),
    "commit_update": ("update",),
}
"""What each command says besides id, gateway, what and who."""
_OPTIONAL = ("why", "now")


@dataclass(frozen=True, slots=True)
class HealthNow:
    """Publish a health message at once."""


@dataclass(frozen=True, slots=True)
class TelemetryRate:
    """Gather rows for so long into one message, until then."""

    every_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Backfill:
    """Publish again what was measured from ``from_ms`` to ``to_ms``, both included."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of one file of a bundle; ``sha256`` is of the whole file."""

    bundle: str
    name: str
    index: int
    total: int
    sha256: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """Let a staged bundle be tried at a station, and then watch it; ``now``: without a trial."""

    station: str
    bundle: str
    now: bool = False


@dataclass(frozen=True, slots=True)
class UpdateChunk:
    """A part of a configuration or a package, or of its signature; ``sha256`` of that file."""

    kind: str
    name: str
    index: int
    total: int
    sha256: str
    data: bytes


@dataclass(frozen=True, slots=True)
class CommitUpdate:
    """Let what came be put in now; it is taken back by itself where it does not serve."""

    kind: str


Body = (
    Order | HealthNow | TelemetryRate | Backfill | Chunk | Commit | UpdateChunk | CommitUpdate
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Command:
    """One command as it was read; nothing of its signature was verified."""

    id: str
    gateway: str
    what: str
    who: str
    nonce: str
    """ "" where it is not signed."""
    time_ms: int
    signature: str
    signed: bytes
    """What the signature is over."""
    body: Body


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not done: ``reason`` is one word to count by. ``id`` "": it has none."""

    id: str
    reason: str
    text: str


class _WrongError(ValueError):
    """What is wrong with a command; stays in this module."""


def canonical(values: dict[str, Any]) -> bytes:
    """Return what is signed of a command: all but its signature, keys sorted, ASCII."""
    rest = {key: value for key, value in values.items() if key != "signature"}
    return _DOMAIN + json.dumps(
        rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True
    ).encode("ascii")


def decode_command(data: bytes) -> Command | Refusal:
    """Read a command. Never raises: what is none is a Refusal that says why."""
    if len(data) > MAX_COMMAND_BYTES:
        return Refusal("", "oversized", f"longer than {MAX_COMMAND_BYTES} bytes")
    found = ""
    try:
        values = json.loads(data.decode(), object_pairs_hook=_once)
        if not isinstance(values, dict):
            raise _WrongError("not an object")
        named = values.get("id")
        if isinstance(named, str) and _ID.fullmatch(named):
            found = named
        return _read(values)
    except _WrongError as error:
        return Refusal(found, "malformed", str(error))
    except OrderError as error:
        return Refusal(found, "malformed", str(error))
    except (ValueError, RecursionError) as error:  # JSON, UTF-8, a number of 5000 digits
        return Refusal("", "malformed", f"not JSON: {ascii(str(error))[:100]}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _WrongError("a key stands twice")
    return values


def _read(values: dict[str, Any]) -> Command:
    what = values.get("what")
    if not isinstance(what, str) or what not in FIELDS:
        raise _WrongError(f"what: one of {', '.join(FIELDS)}")
    fields = FIELDS[what]
    known = {"id", "gateway", "what", "who", *_PROOF, *fields}
    if unknown := sorted(set(values) - known):
        raise _WrongError(f"{what}: unknown key {unknown[0][:40]!a}")
    for key in ("id", "gateway", "who", *fields):
        if key not in values and key not in _OPTIONAL:
            raise _WrongError(f"{what}: {key}: missing")
    for key, value in values.items():
        _check(key, value)
    given = [key for key in _PROOF if values.get(key)]
    if given and len(given) != len(_PROOF):
        raise _WrongError("nonce, time_ms and signature go together")
    return Command(
        id=_match("id", values["id"], _ID),
        gateway=values["gateway"],
        what=what,
        who=values["who"],
        nonce=_match("nonce", values["nonce"], _NONCE) if given else "",
        time_ms=values.get("time_ms", 0),
        signature=values.get("signature", ""),
        signed=canonical(values),
        body=_body(what, values),
    )


def _check(key: str, value: object) -> None:
    if key in _NUMBERS:
        if type(value) is not int or not 0 <= value < 2**53:
            raise _WrongError(f"{key}: a whole number")
        return
    longest = MAX_COMMAND_BYTES if key == "data" else MAX_TEXT
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise _WrongError(f"{key}: a printable text of at most {longest} characters")


def _match(key: str, value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(value):
        raise _WrongError(f"{key}: must match {pattern.pattern}")
    return value


def _body(what: str, values: dict[str, Any]) -> Body:
    if what in WHATS:
        keys = ("id", "what", "who", *FIELDS[what])
        return decode_order(json.dumps({key: values[key] for key in keys if key in values}))
    if what == "telemetry_rate":
        if not MIN_EVERY_MS <= values["every_ms"] <= MAX_EVERY_MS:
            raise _WrongError(f"every_ms: {MIN_EVERY_MS} to {MAX_EVERY_MS}")
        return TelemetryRate(values["every_ms"], values["until_ms"])
    if what == "backfill":
        if not 0 <= values["to_ms"] - values["from_ms"] <= MAX_BACKFILL_MS:
            raise _WrongError(f"from_ms to to_ms: {MAX_BACKFILL_MS // 86_400_000} days at most")
        return Backfill(values["from_ms"], values["to_ms"])
    return HealthNow() if what == "health_now" else _transfer(what, values)


def _transfer(what: str, values: dict[str, Any]) -> Body:
    """Read what is sent to be put in: a bundle, a configuration, a package."""
    if what == "commit_update":
        return CommitUpdate(_match("update", values["update"], _UPDATE))
    if what == "commit_bundle":
        if values.get("now", 0) > 1:
            raise _WrongError("now: 0 or 1")
        bundle = _match("bundle", values["bundle"], _NAME)
        return Commit(values["station"], bundle, now=values.get("now") == 1)
    if what == "install_bundle":
        return Chunk(_match("bundle", values["bundle"], _NAME), *_part(values))
    return UpdateChunk(what.removeprefix("install_"), *_part(values))


def _part(values: dict[str, Any]) -> tuple[str, int, int, str, bytes]:
    """Read the part of a file: its name, which one of how many, its sha256, and the bytes."""
    if not values["index"] < values["total"] <= MAX_CHUNKS:
        raise _WrongError(f"index: below total, which is {MAX_CHUNKS} at most")
    try:
        data = base64.b64decode(values["data"].encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise _WrongError("data: not base64") from None
    if len(data) > CHUNK_BYTES:
        raise _WrongError(f"data: {CHUNK_BYTES} bytes at most")
    return (
        _match("name", values["name"], _NAME),
        values["index"],
        values["total"],
        _match("sha256", values["sha256"], _SHA256),
        data,
    )
