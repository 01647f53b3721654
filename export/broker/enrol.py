"""New gateways: a token each, good for one certificate; and what a request with it comes to.

The file of tokens holds what proves a request, not the token: that stands on the card alone, and
in the file it was written to.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import secrets
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge.errors import TalusError
from export.broker.mosquitto import ENROL
from export.broker.write import admit, open_authority, remove
from export.provision.firstboot.request import (
    Answer,
    RequestError,
    Ticket,
    broker_word,
    csr_name,
    parse_request,
    proof,
    proof_key,
    ticket_bytes,
    token_text,
)
from export.signing import put

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from export.broker.write import Plan

FILE, FORMAT = "tokens.json", 1
_ROUNDS = 1000
"""The word has 256 random bits: no number of rounds is needed against guessing."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token, as the CA knows it. ``used_by``: sha256 of the key it was used for, or ""."""

    gateway: str
    proof_key: str
    password: str
    """As it stands in Mosquitto's password file."""
    expires_s: int
    used_by: str = ""
    certificate: str = ""


def make_token(out: Path, gateway: str, port: int, days: int, now_s: float) -> tuple[Plan, bool]:
    """Let a gateway in once: its token into ``enrol/NAME.json``, its word to the broker.

    An earlier token of that gateway is worth nothing from then on. Returns the plan, and whether
    the broker must be started again. Raises TalusError, OSError.
    """
    plan, is_new = admit(out, gateway, port, days=825)
    text = token_text(secrets.token_bytes(32))
    expires_s = int(now_s) + days * 86400
    token = Token(gateway, proof_key(text), _password(broker_word(text)), expires_s)
    with _tokens(out) as tokens:
        # What was used is kept for --list: it tells of a card that was copied.
        kept = [each for each in tokens if each.gateway != gateway or each.used_by]
        tokens[:] = sorted([*kept, token], key=lambda each: each.gateway)
        _let_ask(out, plan, tokens, now_s)
    ticket = Ticket(gateway, plan.hosts[0], plan.enrol_port, plan.topic, expires_s, text)
    put(out / ENROL, {f"{gateway}.json": ticket_bytes(ticket)}, 0o600)
    return plan, is_new


def shut_out(out: Path, names: Sequence[str], now_s: float) -> Plan:
    """Take gateways out of the access list for good, and their tokens. Raises TalusError, OSError.

    What they were signed stays in the file of tokens.
    """
    plan = remove(out, names)
    if (out / ENROL).is_dir():
        with _tokens(out) as tokens:
            tokens[:] = [each for each in tokens if each.gateway not in names or each.used_by]
            _let_ask(out, plan, tokens, now_s)
        for name in names:
            (out / ENROL / f"{name}.json").unlink(missing_ok=True)
    return plan


def _let_ask(out: Path, plan: Plan, tokens: Sequence[Token], now_s: float) -> None:
    """Write whose token the broker lets in: the last one of each gateway, until it expires."""
    last = {each.gateway: each for each in tokens}
    lines = [
        f"{ENROL}/{name}:{token.password}\n"
        for name, token in last.items()
        if name in plan.gateways and token.expires_s > now_s
    ]
    put(out / "mosquitto", {"enrol.passwd": "".join(lines).encode()}, 0o600)


def answer(out: Path, gateway: str, payload: bytes, days: int, now_s: float) -> Answer:
    """Judge one request; what it is signed for is on disk before it is answered.

    Raises OSError, and TalusError where the CA or the file of tokens is not in order.
    """
    name = ""
    try:
        csr, mac = parse_request(payload)
        name = csr_name(csr)
        with _tokens(out) as tokens:
            at = max((i for i, t in enumerate(tokens) if t.gateway == gateway), default=-1)
            if at < 0:
                raise RequestError("there is no token for this gateway")
            tokens[at] = _used(out, tokens[at], csr, mac, days, now_s)
            return Answer(name, tokens[at].certificate, "")
    except RequestError as error:
        return Answer(name, "", str(error))


def _used(out: Path, token: Token, csr: bytes, mac: str, days: int, now_s: float) -> Token:
    """Return a token with the certificate it was used for. Raises RequestError."""
    if not hmac.compare_digest(proof(token.proof_key, token.gateway, csr), mac):
        raise RequestError("not with the token that was made last for this gateway")
    key = _key(csr)
    used_by = _digest(key)
    if token.used_by == used_by:  # the answer was lost on the way: it is the same again
        return token
    if token.used_by:
        raise RequestError("this token was used already, for another key")
    if now_s > token.expires_s:
        ended = time.strftime("%Y-%m-%d", time.gmtime(token.expires_s))
        raise RequestError(f"this token expired on {ended}")
    signed = open_authority(out).certify(token.gateway, key, days).decode("ascii")
    return replace(token, used_by=used_by, certificate=signed)


def read_tokens(out: Path) -> tuple[Token, ...]:
    """Return all tokens. Raises TalusError, OSError."""
    with _tokens(out) as tokens:
        return tuple(tokens)


def _key(csr: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a request; the name in it says nothing. Raises RequestError."""
    try:
        request = x509.load_pem_x509_csr(csr)
        key = request.public_key()
        valid = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise RequestError("not a certificate signing request") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RequestError("a key of another kind than P-256")
    if not valid:
        raise RequestError("the request is not signed by its own key")
    return key


def _digest(key: ec.EllipticCurvePublicKey) -> str:
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, info)).hexdigest()


def _password(word: str) -> str:
    """Return a password as mosquitto_passwd writes it."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", word.encode(), salt, _ROUNDS)
    return f"$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


@contextmanager
def _tokens(out: Path) -> Iterator[list[Token]]:
    """Hand out the tokens, alone with them; what was changed is written, if nothing was raised."""
    folder = out / ENROL
    try:
        lock = (folder / ".lock").open("w")
    except FileNotFoundError as error:
        what = "no token was made there yet: talus-export enrol --token NAME"
        raise TalusError(f"{folder}: {what}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tokens = _read(folder / FILE)
        before = list(tokens)
        yield tokens
        if tokens != before:
            values: dict[str, Any] = {"format": FORMAT, "tokens": [asdict(t) for t in tokens]}
            put(folder, {FILE: json.dumps(values, indent=1).encode() + b"\n"}, 0o600)


def _read(path: Path) -> list[Token]:
    try:
        values = json.loads(path.read_bytes())
        if values["format"] != FORMAT:
            raise ValueError("of another Talus")
        return [Token(**each) for each in values["tokens"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise TalusError(f"{path}: not what this command writes: {error}") from error
