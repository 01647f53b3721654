"""From when until when an X.509 certificate holds: enough of DER for that, and nothing more."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime, timezone

MAX_CERT_BYTES = 64 * 1024
_SEQUENCE, _VERSION, _UTC, _GENERAL = 0x30, 0xA0, 0x17, 0x18


@dataclass(frozen=True, slots=True)
class Validity:
    """Both ends, seconds since 1970."""

    begins_s: float
    ends_s: float


def validity_of_pem(text: bytes) -> Validity | None:
    """Return the validity of the first certificate of a PEM file, None if there is none."""
    _, found, rest = text[:MAX_CERT_BYTES].partition(b"-----BEGIN CERTIFICATE-----")
    body, ended, _ = rest.partition(b"-----END")
    if not (found and ended):
        return None
    try:
        return validity(base64.b64decode(body))
    except (binascii.Error, ValueError):
        return None


def validity(der: bytes) -> Validity | None:
    """Return the validity of a certificate, None where it is not one."""
    try:
        _, certificate, _ = _element(der[:MAX_CERT_BYTES], _SEQUENCE)
        _, fields, _ = _element(certificate, _SEQUENCE)
        tag, _, rest = _element(fields)
        if tag == _VERSION:
            _, _, rest = _element(rest)  # the serial number
        _, _, rest = _element(rest)  # the algorithm
        _, _, rest = _element(rest)  # the issuer
        _, both, _ = _element(rest, _SEQUENCE)
        tag, begins, both = _element(both)
        begins_s = _time_s(tag, begins)
        tag, ends, _ = _element(both)
        return Validity(begins_s, _time_s(tag, ends))
    except (IndexError, ValueError, OverflowError):
        return None


def _element(data: bytes, wanted: int | None = None) -> tuple[int, bytes, bytes]:
    """Return the tag and content of the first element, and what follows it."""
    tag, size, at = data[0], data[1], 2
    if size & 0x80:
        width = size & 0x7F
        size, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
    if at + size > len(data) or wanted not in {None, tag}:
        raise ValueError("not DER as expected")
    return tag, data[at : at + size], data[at + size :]


def _time_s(tag: int, text: bytes) -> float:
    digits = text.decode("ascii")
    if tag == _UTC:
        digits = ("19" if digits >= "50" else "20") + digits
    elif tag != _GENERAL:
        raise ValueError("not a time")
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()


def date_text(time_s: float) -> str:
    """Return a date for a person."""
    return datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
