"""Archives that are the same bytes whenever and wherever they are made: tar, ar, zip. Pure."""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a link where ``link`` says to what."""

    content: bytes = b""
    executable: bool = False
    link: str = ""
    mode: int = 0
    """0: as usual."""


def make_tar(entries: dict[str, Entry], time_s: int) -> bytes:
    """Return a tar of root's files, sorted, with all folders before what is in them."""
    folders = {parent for path in entries for parent in _parents(path)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folders | entries.keys()):
            info = tarfile.TarInfo(f"./{path}" if path else "./")
            info.mtime, info.uname, info.gname = time_s, "root", "root"
            entry = entries.get(path)
            if entry is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            elif entry.link:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
                tar.addfile(info)
            else:
                info.size = len(entry.content)
                info.mode = entry.mode or (0o755 if entry.executable else 0o644)
                tar.addfile(info, io.BytesIO(entry.content))
    return out.getvalue()


def _parents(path: str) -> Iterable[str]:
    yield ""
    parts = path.split("/")
    for i in range(1, len(parts)):
        yield "/".join(parts[:i])


def make_xz(data: bytes) -> bytes:
    """Return it compressed: a few hundredths less would take twice as long."""
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, preset=4)


def make_ar(members: Iterable[tuple[str, bytes]], time_s: int) -> bytes:
    """Return an ar archive, which a .deb is."""
    out = [b"!<arch>\n"]
    for name, data in members:
        head = f"{name:<16}{time_s:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n"
        out += [head.encode("ascii"), data, b"\n" if len(data) % 2 else b""]
    return b"".join(out)


def make_zip(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a zip archive, which a wheel is, in the order given."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            info.create_system = 3
            archive.writestr(info, data)
    return out.getvalue()
