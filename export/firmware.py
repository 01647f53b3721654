"""The manifest of a sensor node's firmware image, made and signed as talus-flash takes it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from edge.errors import TalusError
from export.signing import put, sign_content
from firmware_bridge.minisign import parse_signature, verify_content
from firmware_bridge.update_manifest import MAX_IMAGE_BYTES, ManifestError, parse_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from export.secret_key import SecretKey


def firmware_manifest(image: Path, board: str, version: str, counter: int) -> bytes:
    """Return the manifest of an image. Raises TalusError naming what cannot stand in one."""
    with image.open("rb") as file:
        data = file.read(MAX_IMAGE_BYTES + 1)
    if not 0 < len(data) <= MAX_IMAGE_BYTES:
        raise TalusError(f"{image}: an image has 1 to {MAX_IMAGE_BYTES} bytes")
    values = {
        "board": board,
        "version": version,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "counter": counter,
    }
    content = json.dumps(values, indent=1).encode() + b"\n"
    try:
        parse_manifest(content)  # as talus-flash will
    except ManifestError as error:
        raise TalusError(str(error)) from error
    return content


def sign_firmware(out: Path, content: bytes, key: SecretKey, now_s: int) -> None:
    """Write manifest and signature, each whole; proven first, as talus-flash proves it."""
    name = f"{out.name}.minisig"
    signature = sign_content(content, key, f"timestamp:{now_s}\tfile:{out.name}\thashed")
    verify_content(content, parse_signature(signature, name), (key.public,), name)
    put(out.parent, {out.name: content, name: signature}, 0o644)
