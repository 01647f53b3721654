"""A command to a gateway, made and signed as the gateway verifies it (`edge.remote_command`)."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError
from edge.remote_command import CHUNK_BYTES, Command, canonical, decode_command
from edge.update_item import SUFFIX
from firmware_bridge.minisign import LEGACY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from export.secret_key import SecretKey


def make_command(values: dict[str, Any], key: SecretKey | None, now_ms: int) -> bytes:
    """Return a command as it is published, under a new id, signed where there is a key.

    Raises TalusError where the gateway would not read it.
    """
    values = {"id": uuid.uuid4().hex, **values}
    if key is not None:
        values |= {"nonce": uuid.uuid4().hex, "time_ms": now_ms}
        signature = LEGACY + key.number + key.sign(canonical(values))
        values["signature"] = base64.b64encode(signature).decode()
    data = json.dumps(values, separators=(",", ":")).encode()
    found = decode_command(data)
    if not isinstance(found, Command):
        raise TalusError(found.text)
    return data


def chunks(bundle: str, path: Path) -> Iterator[dict[str, Any]]:
    """Give the commands that carry one file of a bundle."""
    for part in _parts(path):
        yield {"what": "install_bundle", "bundle": bundle} | part


def update_chunks(kind: str, path: Path) -> Iterator[dict[str, Any]]:
    """Give the commands that carry a configuration or a package, or its signature."""
    name = f"{kind}{SUFFIX}" if path.name.endswith(SUFFIX) else kind
    for part in _parts(path):
        yield {"what": f"install_{kind}"} | part | {"name": name}


def _parts(path: Path) -> Iterator[dict[str, Any]]:
    data = path.read_bytes()
    total = max(1, -(-len(data) // CHUNK_BYTES))
    sha256 = hashlib.sha256(data).hexdigest()
    for index in range(total):
        part = data[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        yield {
            "name": path.name, "index": index, "total": total,
            "sha256": sha256, "data": base64.b64encode(part).decode(),
        }  # fmt: skip
