"""A configuration or a package signed as an update that gateways take from afar."""

from __future__ import annotations

import hashlib
import io
import tarfile
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
    subject = _gateway(path) if kind == CONFIG else _version(path, content)
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


def _version(path: Path, content: bytes) -> str:
    """Return the version of a package of ours that can be taken back."""
    try:
        control = _control(content)
        fields = dict(line.split(": ", 1) for line in control["control"].splitlines()
                      if ": " in line and not line.startswith(" "))  # fmt: skip
        name, version = fields["Package"], fields["Version"]
    except (ValueError, KeyError, OSError, tarfile.TarError, EOFError) as error:
        raise TalusError(f"{path}: not a whole .deb: {error!r}") from error
    if name != NAME:
        raise TalusError(f"{path}: is {name}, not {NAME}: make it with talus-export deb")
    if ASKED not in control.get("postinst", ""):
        raise TalusError(f"{path}: too old to be taken back from afar: make it anew")
    return version


def _control(content: bytes) -> dict[str, str]:
    """Return the texts of a package's control archive. Raises ValueError, tarfile.TarError."""
    if content[:8] != b"!<arch>\n":
        raise ValueError("no ar archive")
    place = 8
    while place + 60 <= len(content):
        name, size = content[place : place + 16].decode().strip(), int(content[place + 48 :][:10])
        data = content[place + 60 : place + 60 + size]
        if len(data) < size:
            raise ValueError("cut off")
        place += 60 + size + size % 2
        if name.startswith("control.tar"):
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                files = [member for member in tar.getmembers() if member.isfile()]
                return {m.name.removeprefix("./"): _text(tar, m) for m in files}
    raise ValueError("no control.tar")


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    return "" if file is None else file.read(1 << 20).decode("utf-8", "replace")
