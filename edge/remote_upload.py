"""A bundle that comes in by chunks, into a folder aside: nothing is taken that is not on its list.

The manifest and its signature come first. Once they hold, name, size and sha256 of every other
file are known, and a chunk that does not fit is refused. One bundle at a time; a file that is
whole stays over a restart, and need not be sent again.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge.bundle_install import FOLDER, MANIFEST, RUNNING, in_use, read_index
from edge.counters import older, read_counters
from edge.errors import BundleError, ConfigError, TalusError
from edge.parse_manifest import parse_manifest
from edge.remote_command import CHUNK_BYTES
from edge.trust import SIGNATURE_FILE, signer

if TYPE_CHECKING:
    from pathlib import Path

    from edge.config import Config
    from edge.remote_command import Chunk

STAGING = ".staging"
MAX_UNTRUSTED_BYTES = 1024 * 1024
"""Of manifest and signature, before the signature could be verified."""
MAX_BUNDLE_BYTES = 64 * 1024 * 1024
MAX_FILES = 256
FREE_BYTES = 64 * 1024 * 1024
"""So much of the disk is left to alarms."""
MAX_TOLD = 64
"""Names of files still to come that an answer holds."""
_FIRST = (MANIFEST, SIGNATURE_FILE)


@dataclass(slots=True)
class _File:
    sha256: str
    total: int
    size: int
    """-1: not known yet."""
    got: set[int] = field(default_factory=set)
    whole: bool = False


class Upload:
    """The bundle that is coming in. Methods raise TalusError and OSError: nothing is taken."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.folder: Path = config.data_dir / FOLDER / STAGING
        self.bundle = ""
        self._files: dict[str, _File] = {}
        self._listed = False
        self._manifest = ""

    def take(self, chunk: Chunk) -> tuple[bool, tuple[str, ...]]:
        """Take one chunk: gives whether all is there, and files of which something is missing."""
        again = self._manifest not in ("", chunk.sha256) and chunk.name == MANIFEST
        if chunk.bundle != self.bundle or again:
            self._begin(chunk.bundle)
        file = None if self._listed and chunk.name in _FIRST else self._expected(chunk)
        if file is None:
            self._again(chunk)
        elif not file.whole:
            self._write(chunk)
            file.got.add(chunk.index)
            if len(file.got) == file.total:
                self._close(chunk.name, file)
        missing = [name for name, each in self._files.items() if not each.whole]
        if not self._listed:
            missing += [name for name in self._needed() if name not in self._files]
        return not missing, tuple(missing[:MAX_TOLD])

    def end(self) -> None:
        """Forget the bundle, with all that came of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.bundle, self._files, self._listed, self._manifest = "", {}, False, ""

    def _again(self, chunk: Chunk) -> None:
        """Take manifest or signature once more; where none is asked for a signature comes last."""
        path = self.folder / SIGNATURE_FILE
        if chunk.name == SIGNATURE_FILE and chunk.total == 1 and not path.exists():
            path.write_bytes(chunk.data)

    def _needed(self) -> tuple[str, ...]:
        return _FIRST[:1] if self._config.trust.allow_unsigned else _FIRST

    def _begin(self, bundle: str) -> None:
        if bundle in (RUNNING, *in_use(read_index(self._config.data_dir))):
            raise TalusError(f"{bundle!r} is the name of a bundle in use: choose another")
        mark = self.folder / ".bundle"
        if not mark.is_file() or mark.read_text(encoding="utf-8") != bundle:
            self.end()
            self.folder.mkdir(parents=True, mode=0o700)
            mark.write_text(bundle, encoding="utf-8")
        self.bundle, self._files, self._listed, self._manifest = bundle, {}, False, ""

    def _expected(self, chunk: Chunk) -> _File:
        """Return the file that a chunk is of."""
        if not self._listed and chunk.name not in _FIRST:
            raise TalusError(f"{chunk.name}: {' and '.join(self._needed())} must come first")
        file = self._files.get(chunk.name)
        if file is None:
            if self._listed:
                raise TalusError(f"{chunk.name}: is not in the manifest")
            if chunk.total * CHUNK_BYTES > MAX_UNTRUSTED_BYTES:
                raise TalusError(f"{chunk.name}: {MAX_UNTRUSTED_BYTES} bytes at most")
            file = self._files[chunk.name] = _File(chunk.sha256, chunk.total, -1)
        if (chunk.sha256, chunk.total) != (file.sha256, file.total):
            if not self._listed:
                del self._files[chunk.name]  # it was begun wrongly, or this is: begin anew
            raise TalusError(f"{chunk.name}: another sha256 or size than before")
        last = chunk.index == file.total - 1
        size = file.size - chunk.index * CHUNK_BYTES if file.size >= 0 else len(chunk.data)
        if len(chunk.data) != (size if last else CHUNK_BYTES):
            raise TalusError(f"{chunk.name}: chunk {chunk.index} is not of its size")
        return file

    def _write(self, chunk: Chunk) -> None:
        if shutil.disk_usage(self.folder).free < FREE_BYTES:
            raise TalusError("too little room on this gateway's disk")
        path = self.folder / f"{chunk.name}.part"
        with path.open("r+b" if path.exists() else "w+b") as out:
            out.seek(chunk.index * CHUNK_BYTES)
            out.write(chunk.data)
            if chunk.index == chunk.total - 1:
                out.truncate()

    def _close(self, name: str, file: _File) -> None:
        """Take a file whose chunks are all there for whole, or have all of it sent again."""
        path = self.folder / f"{name}.part"
        if _sha256(path) != file.sha256:
            path.unlink()
            del self._files[name]
            if self._listed:
                self._files[name] = _File(file.sha256, file.total, file.size)
            raise TalusError(f"{name}: its chunks do not give its sha256: send it again")
        path.replace(self.folder / name)
        file.whole = True
        if not self._listed and all(
            n in self._files and self._files[n].whole for n in self._needed()
        ):
            try:
                self._list()
            except TalusError:
                self.end()
                raise

    def _list(self) -> None:
        """Verify the signature, and only then read which files there are."""
        text = (self.folder / MANIFEST).read_bytes()
        signed_by = signer(self.folder, text, self._config.trust)
        try:
            manifest = parse_manifest(text, MANIFEST)
        except ConfigError as error:
            raise BundleError(str(error)[:1000]) from error
        counters, _ = read_counters(self._config.data_dir)
        if signed_by and (why := older(manifest, counters)):
            raise BundleError(why)
        sizes = [size for _, _, size in manifest.files]
        if len(sizes) > MAX_FILES or min(sizes, default=0) < 0 or sum(sizes) > MAX_BUNDLE_BYTES:
            raise BundleError(f"over {MAX_FILES} files or {MAX_BUNDLE_BYTES} bytes")
        files = {}
        for name, sha256, size in manifest.files:
            if "/" in name or name.startswith(".") or not name.isprintable():
                raise BundleError(f"files: {name[:100]!r} is not a plain file name")
            if name not in _FIRST:
                files[name] = _File(sha256.lower(), max(1, -(-size // CHUNK_BYTES)), size)
        if shutil.disk_usage(self.folder).free < FREE_BYTES + sum(sizes):
            raise TalusError("too little room on this gateway's disk")
        for name, file in files.items():  # what came whole before a restart
            path = self.folder / name
            file.whole = path.is_file() and path.stat().st_size == file.size and (
                _sha256(path) == file.sha256
            )  # fmt: skip
        self._manifest = self._files[MANIFEST].sha256
        self._files, self._listed = files, True

    def tidy(self) -> None:
        """Take away what is not of the bundle."""
        for path in self.folder.iterdir():
            if path.name not in (*self._files, *_FIRST):
                path.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
