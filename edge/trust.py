"""Whose bundles a gateway arms: those of one or two public keys, unless told to arm any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.errors import BundleError
from firmware_bridge.minisign import (
    MAX_SIGNATURE_BYTES,
    PublicKey,
    Signature,
    SignatureError,
    parse_signature,
    verify_content,
)

if TYPE_CHECKING:
    from pathlib import Path

MAX_KEYS = 2
"""Two, so that a key can be replaced: first trust both, then sign with the new one."""
SIGNATURE_FILE = "manifest.json.minisig"
NO_TRUST = (
    'not armed: nothing says whose bundles to trust: put keys = ["RW..."] into [trust] of the '
    "configuration (talus-export keygen prints the line), or allow_unsigned = true for a trial"
)


@dataclass(frozen=True, slots=True)
class Trust:
    """The table [trust]. With neither keys nor ``allow_unsigned`` no bundle is armed."""

    keys: tuple[PublicKey, ...] = ()
    allow_unsigned: bool = False


ANY_SIGNER = Trust(allow_unsigned=True)
"""For a workstation and its own bundles; a gateway takes what its configuration says."""


def signer(folder: Path, manifest: bytes, trust: Trust) -> str:
    """Return the id of the trusted key that signed these bytes; "" where none is asked for.

    Raises BundleError: unsigned, signed by another, changed since, or nothing is trusted.
    """
    if trust.allow_unsigned:
        return ""
    if not trust.keys:
        raise BundleError(f"{folder}: {NO_TRUST}")
    signature = read_signature(folder)
    if signature is None:
        raise BundleError(
            f"{folder}: not armed: unsigned: there is no {SIGNATURE_FILE}: copy the whole bundle, "
            "or sign it with talus-export sign"
        )
    path = str(folder / SIGNATURE_FILE)
    try:
        return verify_content(manifest, signature, trust.keys, path).id
    except SignatureError as error:
        raise BundleError(str(error)) from error


def read_signature(folder: Path) -> Signature | None:
    """Return the signature of a bundle, None where there is no such file. Raises BundleError."""
    path = folder / SIGNATURE_FILE
    try:
        if not path.exists():
            return None
        if not path.is_file():  # a pipe would be waited for
            raise BundleError(f"{path}: is no file: remove it, and copy the bundle again")
        with path.open("rb") as file:
            data = file.read(MAX_SIGNATURE_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}: copy the bundle again") from error
    try:
        return parse_signature(data, str(path))
    except SignatureError as error:
        raise BundleError(str(error)) from error


def signature_text(key_id: str) -> str:
    """Return what log, check and health say of a bundle that was signed by this key ("": any)."""
    return f"signed by {key_id}" if key_id else "not verified (trust.allow_unsigned)"
