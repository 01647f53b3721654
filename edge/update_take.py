"""An update taken from where it lies into root's own folder, and believed there alone.

`talus run` gathers what comes over MQTT in ``DATA_DIR/updates``, which is its own folder and not
root's: nothing in it is followed, waited for, or believed. What is verified is the copy.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.update_item import MAX_BYTES, SUFFIX, UpdateError, check_file, older, read_item
from edge.update_place import flush, read_counters, read_site
from edge.update_state import State
from firmware_bridge.minisign import MAX_SIGNATURE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from edge.update_item import Item
    from edge.update_place import Place

FOLDER, REQUEST = "updates", "request"
MAX_REQUEST_BYTES = 4096
FREE_BYTES = 64 * 1024 * 1024
"""So much of the disk is left, beside what an update needs."""
_ROOM = {"config": 4, "package": 6}
"""What an update needs of the disk, in sizes of its file: a package is unpacked."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be put in. ``id`` of the command; ``kind`` "": whatever the signature says."""

    id: str = ""
    who: str = ""
    kind: str = ""
    skip: str = ""


def read_request(place: Place) -> Request | None:
    """Read the request of `talus run`, None where none is there; one of no kind: unreadable.

    Raises UpdateError.
    """
    folder = _folder(read_site(place).data_dir)
    if folder is None:
        return None
    try:
        data = _read(folder, REQUEST, MAX_REQUEST_BYTES)
    except FileNotFoundError:
        return None
    except UpdateError:
        return Request()
    finally:
        os.close(folder)
    try:
        values = json.loads(data)
        texts = [str(values[key])[:200] for key in ("id", "who", "kind")]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Request()
    return Request(*texts) if texts[2] in MAX_BYTES else Request()


def drop_request(place: Place, request: Request) -> None:
    """Take it out of its folder: it would be asked for for ever. Raises UpdateError, OSError.

    One that has come meanwhile is another, and stays.
    """
    if read_request(place) != request:
        return
    folder = _folder(read_site(place).data_dir)
    if folder is not None:
        try:
            _remove(folder, REQUEST)
        finally:
            os.close(folder)


def take(place: Place, request: Request, by_hand: Path | None = None) -> State:
    """Copy an update, believe the copy or not. Raises UpdateError, OSError; nothing has changed."""
    site = read_site(place)
    if by_hand is None:
        folder, name = _folder(site.data_dir), request.kind
    else:
        folder, name = os.open(by_hand.parent, os.O_RDONLY | os.O_DIRECTORY), by_hand.name
    if folder is None:
        raise UpdateError(f"{site.data_dir}: no updates there")
    try:
        document = f"{name}{SUFFIX}"
        data = _read(folder, document, MAX_SIGNATURE_BYTES + 1)
        item, signature, key = read_item(data, site.keys, document)
        if request.kind not in ("", item.kind):
            raise UpdateError(f"signed as {item.kind}, sent as {request.kind}")
        if why := older(item, read_counters(place)):
            raise UpdateError(why)
        _make_room(place, item)
        size, sha256, blake2b = _copy(folder, name, place.file, item.size)
    except FileNotFoundError as error:
        raise UpdateError(f"{name}, {name}{SUFFIX}: both must be there") from error
    finally:
        os.close(folder)
    check_file(item, signature, key, size, sha256, blake2b)
    flush(place.file)
    flush(place.work)
    return State(item, request.id, request.who, request.skip)


def _make_room(place: Place, item: Item) -> None:
    place.make()
    for path in (place.work, place.opt if place.opt.is_dir() else place.work):
        if shutil.disk_usage(path).free < FREE_BYTES + _ROOM[item.kind] * item.size:
            raise UpdateError(f"too little room on this gateway's disk for {item.label}")


def _folder(data_dir: Path) -> int | None:
    """Open the folder of `talus run`; a link in its place is not followed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        base = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return os.open(FOLDER, flags, dir_fd=base)
        finally:
            os.close(base)
    except OSError:
        return None


def _open(folder: int, name: str) -> int:
    """Open a plain file there: no link, no pipe. Raises UpdateError, FileNotFoundError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UpdateError(f"{name}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UpdateError(f"{name}: is no file")
    return handle


def _read(folder: int, name: str, most: int) -> bytes:
    with open(_open(folder, name), "rb") as file:
        return file.read(most)


def _remove(folder: int, name: str) -> None:
    """Remove a name, whatever it is; where a folder bears it, that is renamed out of the way."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        aside = f".{name}.{secrets.token_hex(8)}"
        os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)


def _copy(folder: int, name: str, to: Path, most: int) -> tuple[int, str, bytes]:
    """Copy a file, no more of it than was signed; gives its size and sums."""
    sha256, blake2b, size = hashlib.sha256(), hashlib.blake2b(), 0
    to.unlink(missing_ok=True)
    with open(_open(folder, name), "rb") as source, to.open("wb") as out:
        while data := source.read(_CHUNK):
            size += len(data)
            if size > most:
                break
            for each in (sha256, blake2b):
                each.update(data)
            out.write(data)
    return size, sha256.hexdigest(), blake2b.digest()
