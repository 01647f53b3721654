"""What a .deb says of itself: read without dpkg, so that any PC can check it."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge.errors import TalusError
from export.package.targets import RELEASES

if TYPE_CHECKING:
    from pathlib import Path

MAX_CONTROL_BYTES = 1024 * 1024
_MAX_FILES = 64
_MAGIC = b"!<arch>\n"
_HEADER = 60
_PACKED: dict[str, Literal["r:", "r:gz", "r:xz"]] = {
    "control.tar": "r:", "control.tar.gz": "r:gz", "control.tar.xz": "r:xz",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Deb:
    """The fields of the control file that matter here."""

    package: str
    version: str
    architecture: str
    depends: str

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the packages it depends on, one of each list of alternatives, by name."""
        each = (part.split("|")[0].split("(")[0] for part in self.depends.split(","))
        return tuple(name for part in each if (name := part.partition(":")[0].strip()))

    @property
    def python(self) -> str:
        """Return the one Python minor that it depends on, "" for any."""
        found = re.search(r"python3(?::any)? \(>= (3\.\d+)[^)]*\)", self.depends)
        below = re.search(r"python3(?::any)? \(<< (3\.\d+)[^)]*\)", self.depends)
        return found[1] if found and below else ""


def read_deb(path: Path) -> Deb:
    """Read a package's control file. Raises TalusError."""
    return deb_of(read_control(path), path)


def deb_of(control: dict[str, str], path: Path) -> Deb:
    """Return what the control file among these texts says. Raises TalusError."""
    fields = _fields(control.get("control", ""))
    try:
        return Deb(fields["package"], fields["version"], fields["architecture"],
                   fields.get("depends", ""))  # fmt: skip
    except KeyError as error:
        raise TalusError(f"{path}: its control file has no {error.args[0]}") from error


def read_control(path: Path) -> dict[str, str]:
    """Read the control file and the scripts of a package, by name. Raises TalusError."""
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise TalusError(f"{path}: not a .deb")
            return _control(file, path)
    except OSError as error:
        raise TalusError(f"{path}: {error.strerror or error}") from error


def _control(file: io.BufferedReader, path: Path) -> dict[str, str]:
    """Walk through the ar archive to the control files, and to the end: it may be truncated."""
    texts, size = None, path.stat().st_size
    while len(header := file.read(_HEADER)) == _HEADER:
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        try:
            length = int(header[48:58])
        except ValueError:
            break
        end = file.tell() + length
        if end > size or header[58:] != b"`\n":
            break
        if name in _PACKED and length <= MAX_CONTROL_BYTES:
            texts = _members(file.read(length), _PACKED[name], path)
        if name.startswith("data.tar") and texts is not None and length:
            return texts
        file.seek(end + length % 2)
    raise TalusError(f"{path}: damaged or cut short: build or copy it again")


def _members(packed: bytes, how: Literal["r:", "r:gz", "r:xz"], path: Path) -> dict[str, str]:
    import lzma
    import zlib

    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode=how) as tar:
            texts: dict[str, str] = {}
            for member in tar:
                found = tar.extractfile(member) if member.isfile() else None
                if found is not None and len(texts) < _MAX_FILES:
                    text = found.read(MAX_CONTROL_BYTES).decode("utf-8", "replace")
                    texts[member.name.removeprefix("./")] = text
            return texts
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise TalusError(f"{path}: damaged: {error}") from error


def _fields(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith((" ", "\t")))
    return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}


def check_deb(deb: Deb, path: Path, arch: str, suite: str) -> None:
    """Refuse a package that a gateway of this kind cannot run. Raises TalusError.

    A package's modules are built for one minor version of Python.
    """
    if deb.architecture not in {arch, "all"}:
        raise TalusError(f"{path}: is for {deb.architecture}, and gateway.arch says {arch}: "
                         f"talus-export deb --arch {arch}")  # fmt: skip
    wanted = RELEASES[suite].python
    if deb.python and deb.python != wanted:
        raise TalusError(f"{path}: is for Python {deb.python}, {suite} has {wanted}: "
                         f"talus-export deb --suite {suite}")  # fmt: skip
