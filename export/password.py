"""The password of a secret key: typed, or the first line of a file; never on a command line."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

from edge.errors import TalusError
from export.secret_key import MAX_PASSWORD_BYTES

if TYPE_CHECKING:
    from pathlib import Path


def from_file(path: Path) -> bytes:
    """Return the first line of a file, as minisign would take it. Raises TalusError, OSError."""
    with path.open("rb") as file:
        line = file.readline(MAX_PASSWORD_BYTES + 3)
    return _checked(line.rstrip(b"\r\n"), f"--password-file {path}: its first line")


def typed(what: str) -> bytes:
    """Ask a person. Raises TalusError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise TalusError("nobody here to type a password: give --password-file FILE")
    try:
        return _checked(getpass.getpass(f"{what}: ").encode(), "the password")
    except EOFError as error:
        raise TalusError("no password was typed") from error


def typed_twice(what: str) -> bytes:
    """Ask for a new password, twice. Raises TalusError if the two differ."""
    first = typed(what)
    if typed("once more") != first:
        raise TalusError("the two passwords differ: nothing was written")
    return first


def _checked(password: bytes, where: str) -> bytes:
    if not 1 <= len(password) <= MAX_PASSWORD_BYTES:
        raise TalusError(f"{where} must hold 1 to {MAX_PASSWORD_BYTES} bytes")
    return password
