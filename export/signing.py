"""A bundle signed: its counter raised, manifest.json and its minisign signature put in place."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.bundle import read_manifest
from edge.errors import TalusError
from edge.trust import ANY_SIGNER, SIGNATURE_FILE
from firmware_bridge.minisign import (
    ID_BYTES,
    PREHASHED,
    TRUSTED,
    UNTRUSTED,
    key_id,
    parse_signature,
    verify_content,
)

if TYPE_CHECKING:
    from export.secret_key import SecretKey

MAX_COUNTER = 2**53


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed: name and version, the counter before and now, and with which key."""

    label: str
    was: int
    counter: int
    key_id: str


def raised(counter: int, now_s: int) -> int:
    """Return the counter to sign with: the time of signing, s since 1970, but always higher.

    So it rises from any workstation, and when a bundle is trained anew from 0, with nothing to
    remember.
    """
    return max(counter + 1, now_s)


def sign_content(content: bytes, key: SecretKey, comment: str) -> bytes:
    """Return the .minisig file of content, with a trusted comment (one line)."""
    if not comment.replace("\t", "").isprintable():
        raise TalusError("a trusted comment is one line of printable text")
    signature = key.sign(hashlib.blake2b(content).digest())
    over_both = key.sign(signature + comment.encode())
    assert len(key.number) == ID_BYTES
    first = base64.b64encode(PREHASHED + key.number + signature).decode()
    last = base64.b64encode(over_both).decode()
    lines = (f"{UNTRUSTED}signed by talus-export", first, f"{TRUSTED}{comment}", last)
    return "".join(f"{line}\n" for line in lines).encode()


def sign_bundle(folder: Path, key: SecretKey, now_s: int, counter: int | None = None) -> Signed:
    """Raise the counter of a bundle (``raised``, or as given) and sign its manifest.

    Both files are written aside and then renamed. After a power cut between the two renames the
    old signature does not fit the new manifest: no gateway arms it, and signing again mends it.
    Raises TalusError, leaving the bundle as it was.
    """
    manifest = read_manifest(folder, ANY_SIGNER)
    wanted = raised(manifest.counter, now_s) if counter is None else counter
    if not 0 <= wanted <= MAX_COUNTER:
        raise TalusError(f"{folder}: the counter must be 0 .. {MAX_COUNTER}, not {wanted}")
    path = folder / "manifest.json"
    values = json.loads(path.read_bytes())
    values["counter"] = wanted
    content = json.dumps(values, indent=1).encode() + b"\n"
    signature = sign_content(content, key, f"timestamp:{now_s}\tfile:{path.name}\thashed")
    # Proven as a gateway proves it, before anything is replaced.
    found = parse_signature(signature, SIGNATURE_FILE)
    verify_content(content, found, (key.public,), SIGNATURE_FILE)
    put(folder, {"manifest.json": content, SIGNATURE_FILE: signature}, 0o644)
    return Signed(manifest.label, manifest.counter, wanted, key_id(key.number))


def put(folder: Path, files: dict[str, bytes], mode: int) -> None:
    """Write all files aside and flush them, then rename each into place. Raises OSError."""
    aside: list[tuple[Path, Path]] = []
    try:
        for name, data in files.items():
            handle, path = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
            aside.append((Path(path), folder / name))
            with open(handle, "wb") as file:  # noqa: PTH123  (a descriptor has no path)
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
        for path_aside, path_final in aside:
            path_aside.replace(path_final)
    finally:
        for path_aside, _ in aside:
            path_aside.unlink(missing_ok=True)
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
