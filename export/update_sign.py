"""A configuration or a package signed as an update that gateways take from afar."""

from __future__ import annotations

import hashlib
import tomllib
from typing import TYPE_CHECKING

from edge.errors import TalusError
from edge.update_item import (
    CONFIG,
    MAX_BYTES,
    MAX_COUNTER,
    SUFFIX,
    Item,
    check_file,
    comment_of,
    read_item,
)
from edge.update_package import ASKED, NAME
from export.provision.deb import deb_of, read_control
from export.signing import put, sign_content

if TYPE_CHECKING:
    from pathlib import Path

    from export.secret_key import SecretKey


def sign_update(path: Path, kind: str, key: SecretKey, counter: int) -> Item:
    """Write FILE.minisig beside FILE. Raises TalusError, OSError; nothing is written then."""
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES[kind]:
        raise TalusError(f"{path}: a {kind} has 1 to {MAX_BYTES[kind]} bytes, not {size}")
    if not 0 < counter <= MAX_COUNTER:
        raise TalusError(f"the counter must be 1 .. {MAX_COUNTER}, not {counter}")
    content = path.read_bytes()
    subject = _gateway(path) if kind == CONFIG else _version(path)
    item = Item(kind, subject, counter, len(content), hashlib.sha256(content).hexdigest())
    signature = sign_content(content, key, comment_of(item))
    # Proven as a gateway proves it, before it is written.
    read, found, by = read_item(signature, (key.public,), path.name)
    check_file(read, found, by, len(content), item.sha256, hashlib.blake2b(content).digest())
    put(path.parent, {f"{path.name}{SUFFIX}": signature}, 0o644)
    return item


def _gateway(path: Path) -> str:
    """Return whose configuration it is; every mistake but a missing bundle is told here."""
    from edge.config import load_config

    load_config(path, site=True)
    return str(tomllib.loads(path.read_bytes().decode("utf-8-sig"))["gateway"]["name"])


def _version(path: Path) -> str:
    """Return the version of a package of ours that can be taken back."""
    control = read_control(path)
    deb = deb_of(control, path)
    if deb.package != NAME:
        raise TalusError(f"{path}: is {deb.package}, not {NAME}: make it with talus-export deb")
    if ASKED not in control.get("postinst", ""):
        raise TalusError(f"{path}: too old to be taken back from afar: make it anew")
    return deb.version
