"""A root file system from a folder or a tarball, laid out here; what each entry is beside it."""

from __future__ import annotations

import os
import stat
import tarfile
from typing import TYPE_CHECKING

from edge.errors import TalusError
from export.image.ext4 import Entry
from export.image.tools import run

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = {
    tarfile.REGTYPE: stat.S_IFREG, tarfile.AREGTYPE: stat.S_IFREG, tarfile.LNKTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK, tarfile.DIRTYPE: stat.S_IFDIR,
}  # fmt: skip


_MAX_LINKS = 40
"""As in Linux."""


def lay_out_root(source: Path, tree: Path) -> dict[str, Entry]:
    """Fill ``tree``, return what each path is. Device nodes are left out: the kernel makes them.

    Raises TalusError, OSError.
    """
    tree.mkdir()
    if source.is_dir():
        run(["cp", "-a", "--reflink=auto", f"{source}/.", tree])
        entries = {"": _entry(os.lstat(source))}
        for folder, folders, names in os.walk(source):
            for name in [*folders, *names]:
                path = os.path.join(folder, name)  # noqa: PTH118  (100,000 of them)
                found = os.lstat(path)
                inside = os.path.relpath(path, source)
                if stat.S_IFMT(found.st_mode) in {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
                    entries[inside] = _entry(found)
                else:
                    (tree / inside).unlink()
        return entries
    return _unpack(source, tree)


def _entry(found: os.stat_result) -> Entry:
    return Entry(found.st_mode, found.st_uid, found.st_gid, int(found.st_mtime))


def _unpack(source: Path, tree: Path) -> dict[str, Entry]:
    entries = {"": Entry(stat.S_IFDIR | 0o755)}
    import lzma
    import zlib

    try:
        with tarfile.open(source) as tar:
            for member in tar:
                name = os.path.normpath(member.name).lstrip("/")
                if name == ".":
                    entries[""] = Entry(stat.S_IFDIR | member.mode & 0o7777, member.uid, member.gid)
                    continue
                if member.type not in _KINDS:
                    continue
                mode = _KINDS[member.type] | (0o777 if member.issym() else member.mode & 0o7777)
                if member.islnk():
                    first = entries.get(os.path.normpath(member.linkname).lstrip("/"))
                    mode = first.mode if first else mode
                entries[name] = Entry(mode, member.uid, member.gid, int(member.mtime))
                member.mode |= 0o700 if member.isdir() else 0o600
                tar.extract(member, tree, filter="tar")
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise TalusError(f"{source}: is no tarball, or damaged: {error}") from error
    for folder, folders, _ in os.walk(tree):  # folders that the tarball implies
        for name in folders:
            inside = os.path.relpath(os.path.join(folder, name), tree)  # noqa: PTH118
            if not (tree / inside).is_symlink():
                entries.setdefault(inside, Entry(stat.S_IFDIR | 0o755))
    return entries


def put(
    tree: Path, entries: dict[str, Entry], name: str, content: bytes, mode: int = 0o644
) -> None:
    """Add a file of root's, following the links of folders as the gateway does."""
    inside = folder(tree, entries, os.path.dirname(name))  # noqa: PTH120
    final = os.path.join(inside, os.path.basename(name))  # noqa: PTH118, PTH119
    path = tree / final
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    entries[final] = Entry(stat.S_IFREG | mode)


def folder(tree: Path, entries: dict[str, Entry], name: str) -> str:
    """Make a folder with those above it; returns where it is when links are followed."""
    inside, links = "", 0
    parts = [part for part in reversed(name.split("/")) if part]
    while parts:
        part = parts.pop()
        if part == "..":
            inside = os.path.dirname(inside)  # noqa: PTH120  (above the root is the root)
            continue
        step = os.path.join(inside, part)  # noqa: PTH118
        if (tree / step).is_symlink():
            links += 1
            if links > _MAX_LINKS:
                raise TalusError(f"{name}: its links lead round in a circle")
            to = str((tree / step).readlink())
            inside = "" if to.startswith("/") else inside
            parts += [part for part in reversed(to.split("/")) if part not in {"", "."}]
            continue
        if not (tree / step).is_dir():
            (tree / step).mkdir()
            entries[step] = Entry(stat.S_IFDIR | 0o755)
        inside = step
    return inside


def link(tree: Path, entries: dict[str, Entry], name: str, to: str) -> None:
    """Add a symbolic link of root's."""
    inside = folder(tree, entries, os.path.dirname(name))  # noqa: PTH120
    final = os.path.join(inside, os.path.basename(name))  # noqa: PTH118, PTH119
    (tree / final).unlink(missing_ok=True)
    (tree / final).symlink_to(to)
    entries[final] = Entry(stat.S_IFLNK | 0o777)
