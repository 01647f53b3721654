"""By which files a broker is trusted and this gateway known: TLS 1.2 at least, never plain."""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import TYPE_CHECKING

from edge.errors import TalusError
from edge.mqtt_dates import MAX_CERT_BYTES, Validity, date_text, validity, validity_of_pem

if TYPE_CHECKING:
    from pathlib import Path

    from edge.parse_mqtt import Broker

MAX_PASSWORD_BYTES = 4096
_EXPIRED, _NOT_YET = 10, 9  # X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID


def check_secret(path: Path, name: str) -> None:
    """Refuse a file that others can read, or that belongs to somebody else. Raises TalusError."""
    try:
        found = path.stat()
    except OSError as error:
        raise TalusError(f"{name}: {path}: {error.strerror}") from error
    if found.st_mode & 0o077:
        raise TalusError(f"{name}: {path} can be read by others; chmod 600 {path}")
    us = os.geteuid()
    if us and found.st_uid not in {0, us}:
        raise TalusError(f"{name}: {path} belongs to another user (uid {found.st_uid}); chown it")


def password(broker: Broker, folder: Path) -> str | None:
    """Return what the password file holds. Raises TalusError."""
    if not broker.password_file:
        return None
    path, name = folder / broker.password_file, f"{broker.path}.password_file"
    check_secret(path, name)
    try:
        with path.open("rb") as file:
            return file.read(MAX_PASSWORD_BYTES).decode("utf-8").strip()
    except OSError as error:
        raise TalusError(f"{name}: {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise TalusError(f"{name}: {path}: not UTF-8 text") from None


def tls_context(broker: Broker, folder: Path) -> ssl.SSLContext | None:
    """Return the context for a broker with a CA, None for one without. Raises TalusError."""
    if not broker.ca_file:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the name and the chain
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    named = [f for f in (broker.ca_file, broker.cert_file, broker.key_file) if f]
    absent = ", ".join(str(folder / f) for f in named if not (folder / f).is_file())
    what = f"{broker.path}.ca_file, cert_file, key_file"
    if absent:
        raise TalusError(f"{what}: no such file: {absent}")
    if broker.key_file:
        check_secret(folder / broker.key_file, f"{broker.path}.key_file")
    try:
        context.load_verify_locations(folder / broker.ca_file)
        if broker.cert_file:
            context.load_cert_chain(
                folder / broker.cert_file, folder / broker.key_file, password=_no_password
            )
    except (OSError, ValueError) as error:
        raise TalusError(f"{what}: cannot be used: {error}") from error
    return context


def _no_password() -> str:
    raise ValueError("the key is locked by a password, and a gateway has nobody to type it")


def own_validity(broker: Broker, folder: Path) -> Validity | None:
    """Return from when until when the certificate of this gateway holds."""
    if not broker.cert_file:
        return None
    try:
        with (folder / broker.cert_file).open("rb") as file:
            return validity_of_pem(file.read(MAX_CERT_BYTES))
    except OSError:
        return None


def out_of_date(found: Validity | None, whose: str, now_s: float) -> str:
    """Say that a certificate does not hold now, "" where it does or nothing is known."""
    clock = f"the clock of this gateway says {date_text(now_s)}"
    if found is not None and now_s > found.ends_s:
        return f"{whose} expired on {date_text(found.ends_s)} ({clock})"
    if found is not None and now_s < found.begins_s:
        return f"{whose} is not valid before {date_text(found.begins_s)} ({clock})"
    return ""


def certificate_words(
    broker: Broker, folder: Path, error: BaseException | None, wait_s: float
) -> str:
    """Say which certificate is out of date, and when it ended; "" where none is."""
    now_s = time.time()
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in {
        _EXPIRED,
        _NOT_YET,
    }:
        words = out_of_date(_served(broker, wait_s), "the broker's certificate", now_s)
        return words or f"a certificate of the broker's: {error.verify_message}"
    own = own_validity(broker, folder)
    return out_of_date(own, f"the certificate {broker.cert_file} of this gateway", now_s)


def _served(broker: Broker, wait_s: float) -> Validity | None:
    """Ask for the broker's certificate once more to read its dates; nothing is sent to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = context.wrap_bio(incoming, outgoing, server_hostname=broker.host)
    end_s = time.monotonic() + wait_s
    try:
        with socket.create_connection((broker.host, broker.port), wait_s) as peer:
            while (left_s := end_s - time.monotonic()) > 0:  # however slowly it answers
                try:
                    hello.do_handshake()
                    return validity(hello.getpeercert(binary_form=True) or b"")
                except ssl.SSLWantReadError:
                    peer.settimeout(left_s)
                    peer.sendall(outgoing.read())
                    incoming.write(peer.recv(16384))
    except (OSError, ValueError):
        pass
    return None
