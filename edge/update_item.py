"""What is signed of an update: a configuration or a package, and which counter it has. Pure.

Beside FILE stands FILE.minisig. Its trusted comment says all that must be known before a byte of
FILE is taken: kind, what it is for, counter, size and sha256. The global signature covers that
comment, so that it can be believed before FILE is there; the signature covers FILE itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.errors import TalusError
from firmware_bridge.ed25519 import verify
from firmware_bridge.minisign import PublicKey, Signature, SignatureError, parse_signature

if TYPE_CHECKING:
    from collections.abc import Iterable

CONFIG, PACKAGE = "config", "package"
MAX_BYTES = {CONFIG: 1024 * 1024, PACKAGE: 64 * 1024 * 1024}
"""Of each kind, at most; a full package has 30 MB."""
SUFFIX = ".minisig"
MAX_COUNTER = 2**53
_HEAD = "talus update 1"
_FIELDS = ("kind", "for", "counter", "size", "sha256")
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+~:-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class UpdateError(TalusError):
    """An update that is not taken, or a step of it that cannot be done."""


@dataclass(frozen=True, slots=True)
class Item:
    """What a signature says of its file."""

    kind: str
    subject: str
    """Of a configuration the name of its gateway, of a package its version."""
    counter: int
    size: int
    sha256: str

    @property
    def label(self) -> str:
        """Return what people call it."""
        return f"{self.kind} {self.subject} (counter {self.counter})"


def comment_of(item: Item) -> str:
    """Return the trusted comment. Raises UpdateError where a gateway would not read it."""
    values = (item.kind, item.subject, str(item.counter), str(item.size), item.sha256)
    pairs = zip(_FIELDS, values, strict=True)
    comment = "\t".join([_HEAD, *(f"{key}:{value}" for key, value in pairs)])
    parse_comment(comment)
    return comment


def parse_comment(comment: str) -> Item:
    """Read a trusted comment. Raises UpdateError."""
    head, *parts = comment.split("\t")
    pairs = [part.partition(":")[::2] for part in parts]
    if head != _HEAD or tuple(key for key, _ in pairs) != _FIELDS:
        raise UpdateError("signed, but not as an update: sign it with talus-export sign-update")
    kind, subject, counter, size, sha256 = (value for _, value in pairs)
    if kind not in MAX_BYTES:
        raise UpdateError(f"kind {kind[:40]!a}: there are {', '.join(MAX_BYTES)}")
    if not _SUBJECT.fullmatch(subject) or not _SHA256.fullmatch(sha256):
        raise UpdateError("what is signed of this update cannot be read: sign it again")
    item = Item(kind, subject, _number(counter), _number(size), sha256)
    if not 0 < item.counter <= MAX_COUNTER:
        raise UpdateError(f"counter {counter}: 1 to {MAX_COUNTER}")
    if not 0 < item.size <= MAX_BYTES[kind]:
        raise UpdateError(f"a {kind} has 1 to {MAX_BYTES[kind]} bytes, not {item.size}")
    return item


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 17 and str(int(text)) == text):
        raise UpdateError(f"{text[:40]!a} is no number")
    return int(text)


def read_item(
    data: bytes, keys: Iterable[PublicKey], document: str
) -> tuple[Item, Signature, PublicKey]:
    """Believe the comment of a signature, and nothing of its file yet. Raises UpdateError."""
    try:
        signature = parse_signature(data, document)
    except SignatureError as error:
        raise UpdateError(str(error)) from error
    known = tuple(keys)
    named = [key for key in known if key.number == signature.number]
    if not named:
        trusted = " and ".join(key.id for key in known) or "no key: [trust] names none"
        raise UpdateError(f"{document}: signed by key {signature.id}, trusted is {trusted}")
    over = signature.signature + signature.trusted_comment.encode()
    for key in named:
        if signature.prehashed and verify(key.key, over, signature.global_signature):
            return parse_comment(signature.trusted_comment), signature, key
    raise UpdateError(f"{document}: its trusted comment does not hold: copy it again, or sign anew")


def check_file(
    item: Item, signature: Signature, key: PublicKey, size: int, sha256: str, blake2b: bytes
) -> None:
    """Raise UpdateError unless size and sums of a file are those that were signed."""
    if size < item.size:
        raise UpdateError(f"{item.label}: cut off: {size} of {item.size} bytes: send it again")
    if size > item.size:
        text = f"has more than the {item.size} bytes that were signed: send it again"
        raise UpdateError(f"{item.label}: {text}")
    if sha256 != item.sha256 or not verify(key.key, blake2b, signature.signature):
        raise UpdateError(f"{item.label}: is not the file that was signed: send it again")


def older(item: Item, kept: dict[str, tuple[int, str]]) -> str:
    """Return why an update is refused as one from before, "" when it is not."""
    counter, sha256 = kept.get(item.kind, (0, ""))
    if item.counter > counter or (item.counter == counter and item.sha256 == sha256):
        return ""
    return (
        f"{item.label}: this gateway has had counter {counter}: signed, but not newer; to go back "
        "on purpose, sign it again"
    )
