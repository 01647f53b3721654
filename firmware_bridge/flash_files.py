"""What `talus-flash` is given to write: a manifest, its signature, an image, and whom to trust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_bridge.minisign import (
    MAX_SIGNATURE_BYTES,
    PublicKey,
    parse_public_key,
    parse_signature,
    verify_content,
)
from firmware_bridge.update_manifest import (
    MAX_IMAGE_BYTES,
    MAX_MANIFEST_BYTES,
    FirmwareManifest,
    ManifestError,
    check_image,
    read_manifest,
)
from firmware_bridge.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.json.minisig"
IMAGE_FILE = "image.bin"
KEY_FILE = "key.pub"
MAX_KEYS = 2
"""Two, so that a key can be replaced."""
_MAX_KEY_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Firmware:
    """An image that may be written: its signature holds, and it is the one that was signed."""

    manifest: FirmwareManifest
    key_id: str
    image: bytes
    content: bytes
    """Of the manifest file, as it was signed."""
    signature: bytes
    keys: tuple[PublicKey, ...]


def read_firmware(
    manifest: Path, signature: Path, image: Path, keys: tuple[PublicKey, ...]
) -> Firmware:
    """Read and verify all of it. ManifestError says what is wrong."""
    content = _read(manifest, MAX_MANIFEST_BYTES)
    signed = _read(signature, MAX_SIGNATURE_BYTES)

    def verify(content: bytes, signed: bytes) -> str:
        name = str(signature)
        return verify_content(content, parse_signature(signed, name), keys, name).id

    found, key_id = read_manifest(content, signed, verify)
    data = _read(image, MAX_IMAGE_BYTES)
    check_image(found, data)
    return Firmware(found, key_id, data, content, signed, keys)


def read_keys(given: Sequence[str], folder: Path) -> tuple[PublicKey, ...]:
    """Read public keys, each the line RW... or the name of a file. ManifestError if it is none."""
    if not 1 <= len(given) <= MAX_KEYS:
        raise ManifestError("--key: one public key, or two while one replaces the other")
    keys: list[PublicKey] = []
    for text in given:
        lines = [text]
        path = folder / text
        if not text.startswith("RW") or path.is_file():
            lines = _read(path, _MAX_KEY_BYTES).decode("utf-8", "replace").splitlines()
        lines = [line for line in lines if line.strip() and not line.startswith("untrusted")]
        try:
            keys += [parse_public_key(line) for line in lines[:MAX_KEYS] or [""]]
        except ValueError as error:
            raise ManifestError(f"--key {text[:80]}: {error}") from error
    return tuple(keys)


def keep_firmware(folder: Path, firmware: Firmware) -> None:
    """Put it beside the journal, from where `kept_firmware` takes it. OSError: no room."""
    texts = "".join(f"{key.text}\n" for key in firmware.keys)
    write_whole(folder / KEY_FILE, texts.encode())
    write_whole(folder / MANIFEST_FILE, firmware.content)
    write_whole(folder / SIGNATURE_FILE, firmware.signature)
    write_whole(folder / IMAGE_FILE, firmware.image)


def kept_firmware(folder: Path) -> Firmware:
    """Read what an unfinished update was writing. ManifestError if it is damaged."""
    keys = read_keys([str(folder.absolute() / KEY_FILE)], folder)
    return read_firmware(folder / MANIFEST_FILE, folder / SIGNATURE_FILE, folder / IMAGE_FILE, keys)


def _read(path: Path, most: int) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ManifestError(f"{path}: is no file")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}") from error
    if len(data) > most:
        raise ManifestError(f"{path}: larger than {most} bytes: not one of ours")
    return data
