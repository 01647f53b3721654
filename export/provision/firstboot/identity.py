"""Who this gateway is to the broker: a key that it makes itself and never gives away.

Until its certificate is signed one of its own making stands in its place: the service starts,
reads, and keeps what it has to say; the broker lets it in from the next connection on after the
signed one has come.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from export.provision.firstboot.install import USER
from export.provision.firstboot.place import Place, StepError, command, scrub, write
from export.provision.firstboot.request import RequestError, csr_name, parse_ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.provision.firstboot.card import Card, Trusted
    from export.provision.firstboot.request import Ticket

TICKET = "enrol.json"
MADE = ("tls/gateway.crt", "tls/gateway.key")
CA = "tls/ca.crt"
REQUEST = "request"
_SETTLED, _ENROLLED = "settled", "enrolled"
_EARLY_S = 86400
_NEW = (
    "talus-export enrol --token NAME makes a new one: put its file on the card as talus/enrol.json"
)


class WaitsError(StepError):
    """Not yet: it is tried again, and meanwhile the gateway watches."""


def is_plausible(now_s: float, card: Card) -> bool:
    """Whether a clock can be right: a card is written before it is read."""
    return now_s >= card.made_s - _EARLY_S


def settle(place: Place, card: Card) -> str:
    """Put keys and certificates in place, so that the service can start. Raises StepError."""
    tls = card.tls
    if tls is None:
        return "no TLS asked for"
    if place.did(_SETTLED, card.id):
        scrub(place.card / MADE[1])  # a power cut while it was overwritten
        return "in place since the first boot"  # and perhaps renewed since
    owner = place.owner(USER)
    _put(place, tls.ca, (place.card / CA).read_bytes(), 0o644, owner)
    if tls.made:
        _take_over(place, tls, owner)
    else:
        _make_key(place, card, tls, owner)
    place.note(_SETTLED, card.id)  # before the card's is overwritten: it is not taken again
    scrub(place.card / MADE[1])
    return "key and certificate of the card" if tls.made else "key made here"


def _make_key(place: Place, card: Card, tls: Trusted, owner: tuple[int, int] | None) -> None:
    """Make a key, and a certificate of its own making for the while."""
    key, cert = place.target(tls.key), place.target(tls.cert)
    if not key.exists():
        made = command("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                       "ec_paramgen_curve:P-256")  # fmt: skip
        _put(place, tls.key, made.encode(), 0o600, owner)
    if not cert.exists():
        own = command("openssl", "req", "-x509", "-new", "-key", str(key), "-days", "3650",
                      "-subj", f"/CN={card.gateway}/O=not yet signed")  # fmt: skip
        _put(place, tls.cert, own.encode(), 0o644, owner)


def _put(place: Place, path: str, content: bytes, mode: int, owner: tuple[int, int] | None) -> None:
    target = place.target(path)
    if not target.parent.is_dir():
        target.parent.mkdir(mode=0o755, parents=True)
    write(target, content, mode, owner)


def _take_over(place: Place, tls: Trusted, owner: tuple[int, int] | None) -> None:
    """Take key and certificate from the card."""
    for name, path, mode in zip(MADE, (tls.cert, tls.key), (0o644, 0o600), strict=True):
        source = place.card / name
        if source.exists():
            _put(place, path, source.read_bytes(), mode, owner)
        elif not place.target(path).exists():
            raise StepError(f"talus/{name} is not on the card", "write the card again")
    _same_key(place.target(tls.cert), place.target(tls.key))


def enrol(
    place: Place, card: Card, ask: Callable[[Place, Ticket, bytes, str], str], now_s: float
) -> str:
    """Have the certificate signed, once. ``ask`` brings it from the broker. Raises StepError."""
    tls = card.tls
    if tls is None or tls.made:
        return "not asked for"
    ticket_path = place.card / TICKET
    if place.did(_ENROLLED, card.id):
        scrub(ticket_path)
        return "signed"
    ticket = _ticket(ticket_path, card)
    if not is_plausible(now_s, card):
        clock = time.strftime("%Y-%m-%d", time.gmtime(now_s))
        raise WaitsError(f"the clock says {clock}: no TLS before it is right",
                         "nothing, if network or an RTC will set the clock")  # fmt: skip
    if now_s > ticket.expires_s:
        ended = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(ticket.expires_s))
        raise StepError(f"the token expired on {ended}", _NEW)
    csr = _request(place, ticket, place.target(tls.key))
    signed = ask(place, ticket, csr, str(place.card / CA))
    _check(place, tls, signed)
    _put(place, tls.cert, signed.encode("ascii"), 0o644, place.owner(USER))
    place.note(_ENROLLED, card.id)
    scrub(ticket_path)
    (place.state / REQUEST).unlink(missing_ok=True)
    return f"signed ({csr_name(csr)[:8]}), token scrubbed"


def _request(place: Place, ticket: Ticket, key: Path) -> bytes:
    """Return the request for this token and key: each time the same, or no answer would fit it.

    A signature is random, and the answer that waits at the broker names the request it is to.
    """
    path = place.state / REQUEST
    public = command("openssl", "pkey", "-in", str(key), "-pubout")
    belongs = hashlib.sha256(f"{ticket.token}\n{ticket.gateway}\n{public}".encode()).hexdigest()
    kept = path.read_bytes() if path.exists() else b""
    to, _, csr = kept.partition(b"\n")
    if to != belongs.encode():
        subject = f"/CN={ticket.gateway}"
        csr = command("openssl", "req", "-new", "-key", str(key), "-subj", subject).encode("ascii")
        write(path, f"{belongs}\n".encode() + csr, 0o600, None)
    return csr


def _ticket(path: Path, card: Card) -> Ticket:
    try:
        with path.open("rb") as file:
            ticket = parse_ticket(file.read(65536))
    except OSError as error:
        raise StepError(f"talus/{TICKET}: {error.strerror}", _NEW) from error
    except RequestError as error:
        raise StepError(f"talus/{TICKET}: {error}", _NEW) from error
    if ticket.gateway != card.gateway:
        raise StepError(f"the token is for {ticket.gateway}, not for {card.gateway}", _NEW)
    return ticket


def _check(place: Place, tls: Trusted, signed: str) -> None:
    """Take only what this card's CA signed, for the key of this gateway."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signed.crt"
        path.write_text(signed, encoding="ascii", errors="replace")
        command("openssl", "verify", "-CAfile", str(place.target(tls.ca)), str(path))
        _same_key(path, place.target(tls.key))


def _same_key(cert: Path, key: Path) -> None:
    theirs = command("openssl", "x509", "-in", str(cert), "-pubkey", "-noout")
    if theirs != command("openssl", "pkey", "-in", str(key), "-pubout"):
        raise StepError(f"{cert.name} is a certificate of another key", "write the card again")
