"""Public keys and signature files of minisign (https://jedisct1.github.io/minisign/), verified.

A signature file has four lines: an untrusted comment, the signature, a trusted comment, and the
global signature over signature and trusted comment. ``ED`` signs the BLAKE2b-512 of the content,
the older ``Ed`` the content itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_bridge.ed25519 import is_sound_key, verify

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SIGNATURE_BYTES = 16 * 1024
MAX_KEY_CHARACTERS = 1024
UNTRUSTED = "untrusted comment: "
TRUSTED = "trusted comment: "
LEGACY, PREHASHED = b"Ed", b"ED"
ID_BYTES = 8


class SignatureError(ValueError):
    """A key or signature that must not be used; the text says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: ``number`` tells which one it is, ``key`` is the Ed25519 key itself."""

    number: bytes
    key: bytes

    @property
    def id(self) -> str:
        """The key id, 16 hex digits."""
        return key_id(self.number)

    @property
    def text(self) -> str:
        """The one line that stands in a configuration and in a .pub file."""
        return base64.b64encode(LEGACY + self.number + self.key).decode()


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature file that was read, and not verified yet."""

    prehashed: bool
    number: bytes
    signature: bytes
    trusted_comment: str
    global_signature: bytes

    @property
    def id(self) -> str:
        """The id of the key that it says it was made with."""
        return key_id(self.number)


def key_id(number: bytes) -> str:
    """Return the 16 hex digits of a key number (little endian)."""
    return number[::-1].hex().upper()


def parse_public_key(text: str) -> PublicKey:
    """Parse the base64 line of a public key. Raises SignatureError that says what is wrong."""
    text = text.strip()
    if len(text) > MAX_KEY_CHARACTERS:
        raise SignatureError("far too long for a public key: the one line RW... of the .pub file")
    if not text.startswith("RW"):
        what = "is not a minisign public key: it starts with RW (the second line of the .pub file)"
        raise SignatureError(f"{text[:12]!r} {what}")
    data = _decoded(text, 2 + ID_BYTES + 32)
    if data is None or data[:2] != LEGACY:
        raise SignatureError(f"'{text[:12]}...' is cut off or mistyped: copy the whole line again")
    key = PublicKey(data[2:10], data[10:])
    if not is_sound_key(key.key):
        raise SignatureError(f"'{text[:12]}...' is no key that can sign anything: copy it again")
    return key


def parse_signature(data: bytes, document: str) -> Signature:
    """Parse a .minisig file. Raises SignatureError that names ``document`` and what is wrong."""
    if len(data) > MAX_SIGNATURE_BYTES:
        raise _unfit(document, f"larger than {MAX_SIGNATURE_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _unfit(document, f"byte {error.start} is not UTF-8") from error
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if len(lines) != 4:
        raise _unfit(document, f"has {len(lines)} lines, a signature has 4")
    for number, start in ((0, UNTRUSTED), (2, TRUSTED)):
        if not lines[number].startswith(start):
            raise _unfit(document, f"line {number + 1} does not start with {start!r}")
    comment = lines[2].removeprefix(TRUSTED)
    if not comment.replace("\t", "").isprintable():
        raise _unfit(document, "the trusted comment holds control characters")
    first = _decoded(lines[1], 2 + ID_BYTES + 64)
    if first is None or first[:2] not in (LEGACY, PREHASHED):
        raise _unfit(document, "line 2 is not a signature")
    last = _decoded(lines[3], 64)
    if last is None:
        raise _unfit(document, "line 4 is not a signature")
    return Signature(first[:2] == PREHASHED, first[2:10], first[10:], comment, last)


def verify_content(
    content: bytes, signature: Signature, keys: Iterable[PublicKey], document: str
) -> PublicKey:
    """Return the key of ``keys`` that signed content and comment. Raises SignatureError if none."""
    known = tuple(keys)
    named = [key for key in known if key.number == signature.number]
    if not named:
        trusted = " and ".join(key.id for key in known) or "no key"
        raise SignatureError(
            f"{document}: signed by key {signature.id}, trusted is {trusted}: "
            "sign it with a trusted key, or trust the new one ([trust] keys; talus-flash --key)"
        )
    signed = hashlib.blake2b(content).digest() if signature.prehashed else content
    comment = signature.signature + signature.trusted_comment.encode()
    for key in named:
        if verify(key.key, signed, signature.signature):
            if verify(key.key, comment, signature.global_signature):
                return key
            raise SignatureError(
                f"{document}: the trusted comment was changed after signing: "
                "copy it again, or sign it again"
            )
    raise SignatureError(
        f"{document}: is not the signature of this content: it was changed after signing, or the "
        f"key is not {signature.id}: copy it again, or sign it again"
    )


def _decoded(text: str, size: int) -> bytes | None:
    """Return base64 of just this size. None if not: one value has one text, spare bits are 0."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) == size and base64.b64encode(data).decode() == text else None


def _unfit(document: str, why: str) -> SignatureError:
    return SignatureError(
        f"{document}: not a minisign signature: {why}: copy it again, or sign it again"
    )
