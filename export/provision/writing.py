"""An image onto a card, and every byte of it read back."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING, Protocol

from edge.errors import TalusError

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 4 * 1024 * 1024
_BLKFLSBUF = 0x1261
_GONE = frozenset({errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM, errno.EREMOTEIO})
_AGAIN = "nothing on it can be relied on: write it again"


class Progress(Protocol):
    """What is told while it goes on: a stage with its bytes, and bytes done."""

    def stage(self, name: str, total: int) -> None:
        """Begin."""

    def step(self, count: int) -> None:
        """Tell of so many bytes more."""


def write_and_verify(image: Path, target: Path, progress: Progress) -> int:
    """Write an image over a device, flush, read all back and compare. Returns the bytes.

    Raises TalusError in words for a person: too small, pulled out, or not what was written.
    """
    total = image.stat().st_size
    at = 0
    try:
        flags = os.O_RDWR | (os.O_EXCL if _is_device(target) else 0)  # EXCL: nobody mounts it now
        handle = os.open(target, flags)
    except OSError as error:
        what = "belongs to root: sudo" if error.errno == errno.EACCES else error.strerror
        raise TalusError(f"{target}: {what}") from error
    try:
        with open(handle, "r+b", buffering=0) as card, image.open("rb") as source:  # noqa: PTH123
            room = _room(card.fileno(), target)
            if room is not None and room < total:
                what = f"the image has {total / 1e9:.2f} GB, the card {room / 1e9:.2f}"
                raise TalusError(f"{target}: {what}: take a larger one; nothing was written")
            progress.stage("write", total)
            while chunk := source.read(CHUNK):
                _write_all(card.fileno(), chunk)
                at += len(chunk)
                progress.step(len(chunk))
            os.fsync(card.fileno())
            _forget(card.fileno(), total)
            progress.stage("verify", total)
            source.seek(0)
            card.seek(0)
            at = 0
            while wanted := source.read(CHUNK):
                found = _read_all(card.fileno(), len(wanted))
                if found != wanted:
                    raise _differs(target, wanted, found, at)
                at += len(wanted)
                progress.step(len(wanted))
    except OSError as error:
        raise _told(error, target, at, total) from error
    return total


def _is_device(target: Path) -> bool:
    return stat.S_ISBLK(target.stat().st_mode)


def _room(handle: int, target: Path) -> int | None:
    """Return how many bytes a device holds, None where only trying will tell."""
    if not _is_device(target) and not os.fstat(handle).st_size:
        return None
    room = os.lseek(handle, 0, os.SEEK_END)
    os.lseek(handle, 0, os.SEEK_SET)
    return room


def _write_all(handle: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(handle, view) :]


def _read_all(handle: int, size: int) -> bytes:
    parts = []
    while size and (part := os.read(handle, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _forget(handle: int, total: int) -> None:
    """Have the card read, not what this PC still remembers of it."""
    with contextlib.suppress(OSError):  # a file of the tests has no such call
        fcntl.ioctl(handle, _BLKFLSBUF)
    os.posix_fadvise(handle, 0, total, os.POSIX_FADV_DONTNEED)


def _differs(target: Path, wanted: bytes, found: bytes, at: int) -> TalusError:
    pairs = enumerate(zip(wanted, found, strict=False))
    first = next((i for i, (a, b) in pairs if a != b), len(found))
    return TalusError(f"{target}: byte {at + first} reads back as another than was written: the "
                      "card is worn out or a forgery: take another one")  # fmt: skip


def _told(error: OSError, target: Path, at: int, total: int) -> TalusError:
    where = f"at {at / 1e6:.0f} of {total / 1e6:.0f} MB"
    if error.errno == errno.ENOSPC:
        return TalusError(f"{target}: is full {where}: take a larger card; {_AGAIN}")
    if error.errno in _GONE:
        return TalusError(f"{target}: was pulled out, or is failing, {where}: {_AGAIN}")
    return TalusError(f"{target}: {error.strerror} {where}: {_AGAIN}")
