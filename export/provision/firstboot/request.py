"""How a new gateway asks for its certificate, and what proves that it may: one token, used once.

The token goes nowhere. The broker is given one word derived from it, for the password; the request
is proven to the CA with another. So a broker, or who listens there, cannot ask in its place.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

FORMAT = 1
MAX_BYTES = 16 * 1024
TOKEN_CHARS = 52
_BASE32 = frozenset("abcdefghijklmnopqrstuvwxyz234567")


class RequestError(Exception):
    """What came is no request, no answer, or no token."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What stands on the card: where to ask, until when, and the token."""

    gateway: str
    host: str
    port: int
    topic: str
    expires_s: int
    token: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A certificate (PEM), or why there is none. ``request``: sha256 of the request's CSR."""

    request: str
    certificate: str
    refused: str


def token_text(secret: bytes) -> str:
    """Return 32 random bytes as a token."""
    return base64.b32encode(secret).decode().rstrip("=").lower()


def is_token(text: str) -> bool:
    """Whether a text has the form of a token."""
    return len(text) == TOKEN_CHARS and set(text) <= _BASE32


def broker_word(token: str) -> str:
    """Return the password for the broker."""
    return hmac.digest(token.encode(), b"talus enrol broker", "sha256").hex()


def proof_key(token: str) -> str:
    """Return what the CA keeps to check a request: it opens nothing at the broker."""
    return hmac.digest(token.encode(), b"talus enrol request", "sha256").hex()


def topic_of(topic: str, gateway: str) -> str:
    """Return where a gateway asks; the answer comes one level below, under ``certificate``."""
    return f"{topic}/enrol/{gateway}"


def proof(key: str, gateway: str, csr: bytes) -> str:
    """Return what proves a request."""
    return hmac.digest(key.encode(), gateway.encode() + b"\0" + csr, "sha256").hex()


def request_bytes(ticket: Ticket, csr: bytes) -> bytes:
    """Return the message that asks."""
    mac = proof(proof_key(ticket.token), ticket.gateway, csr)
    return json.dumps({"format": FORMAT, "csr": csr.decode("ascii"), "proof": mac}).encode()


def parse_request(payload: bytes) -> tuple[bytes, str]:
    """Return CSR and proof. Raises RequestError."""
    values = _object(payload)
    try:
        csr, mac = values["csr"], values["proof"]
        if not isinstance(csr, str) or not isinstance(mac, str):
            raise RequestError("not a request")
        mac.encode("ascii")
        return csr.encode("ascii"), mac
    except (KeyError, UnicodeEncodeError) as error:
        raise RequestError("not a request") from error


def answer_bytes(answer: Answer) -> bytes:
    """Return the message that answers."""
    values: dict[str, Any] = {"format": FORMAT, "request": answer.request}
    values |= {"refused": answer.refused} if answer.refused else {"certificate": answer.certificate}
    return json.dumps(values).encode()


def parse_answer(payload: bytes) -> Answer:
    """Return what was answered. Raises RequestError."""
    values = _object(payload)
    texts = [values.get(key, "") for key in ("request", "certificate", "refused")]
    if not all(isinstance(text, str) for text in texts) or bool(texts[1]) == bool(texts[2]):
        raise RequestError("not an answer")
    return Answer(*texts)


def csr_name(csr: bytes) -> str:
    """Return by what an answer is known to belong to a request."""
    return hashlib.sha256(csr).hexdigest()


def ticket_bytes(ticket: Ticket) -> bytes:
    """Return the file for the card."""
    values = {name: getattr(ticket, name) for name in Ticket.__slots__}
    return json.dumps({"format": FORMAT, **values}, indent=1).encode() + b"\n"


def parse_ticket(content: bytes) -> Ticket:
    """Read the file of the card. Raises RequestError."""
    values = _object(content)
    try:
        ticket = Ticket(**{name: values[name] for name in Ticket.__slots__})
    except KeyError as error:
        raise RequestError(f"no {error.args[0]} in it") from error
    texts = (ticket.gateway, ticket.host, ticket.topic, ticket.token)
    if not all(isinstance(text, str) and text for text in texts) or not is_token(ticket.token):
        raise RequestError("damaged")
    if any(isinstance(n, bool) or not isinstance(n, int) for n in (ticket.port, ticket.expires_s)):
        raise RequestError("damaged")
    return ticket


def _object(content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content) if len(content) <= MAX_BYTES else None
    except (ValueError, RecursionError) as error:
        raise RequestError("not JSON") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise RequestError("not of this format")
    return values
