"""Updates of configuration and package that come over MQTT: gathered, handed over, and told.

This process may not put them in, and nobody has to believe it: it gathers the file and its
signature in ``DATA_DIR/updates`` and asks; `talus-update`, which is root's, verifies and does, and
writes what came of it where this one reads it. The signature comes first, and bounds what follows.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

from edge.bundle_install import sync
from edge.errors import TalusError
from edge.remote_command import CHUNK_BYTES
from edge.update_item import SUFFIX, Item, UpdateError, older, read_item
from edge.update_place import Place, find_place, read_counters, read_json
from edge.update_take import FOLDER, FREE_BYTES, REQUEST
from firmware_bridge.minisign import MAX_SIGNATURE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from edge.config import Config
    from edge.remote_command import UpdateChunk

LOOK_MS = 2000
_TOLD = "told"
_OUTCOME = ("id", "kind", "counter", "outcome", "text", "time_ms")


class Updates:
    """What comes in for one gateway. Methods raise TalusError, OSError: nothing is taken."""

    def __init__(self, config: Config, place: Place | None = None) -> None:
        self._config = config
        self._place = place or find_place()
        self.folder = config.data_dir / FOLDER
        self._item: Item | None = None
        self._got: set[int] = set()
        self._looked_ms: int | None = None
        self._seen = 0
        self.last: dict[str, Any] | None = None
        """What came of the last one."""

    def take(self, chunk: UpdateChunk) -> int:
        """Take a part; gives the first part that is still to come, -1: all of it is here."""
        if chunk.name.endswith(SUFFIX):
            self._begin(chunk.kind, chunk.data, chunk.total)
        else:
            self._write(chunk)
        item = self._item
        assert item is not None
        total = _parts(item)
        return next((index for index in range(total) if index not in self._got), -1)

    def _begin(self, kind: str, data: bytes, total: int) -> None:
        """Believe what the signature says of its file; go on with what came of that one."""
        if total != 1 or len(data) > MAX_SIGNATURE_BYTES:
            raise TalusError(f"a signature has {MAX_SIGNATURE_BYTES} bytes at most")
        item, _, _ = read_item(data, self._config.trust.keys, f"{kind}{SUFFIX}")
        if item.kind != kind:
            raise TalusError(f"signed as {item.kind}, sent as {kind}")
        if why := older(item, read_counters(self._place)):
            raise TalusError(why)
        signature = self.folder / f"{kind}{SUFFIX}"
        if not (signature.is_file() and signature.read_bytes() == data):
            self._room(item)
            self.end()
            signature.write_bytes(data)
        self._item, self._got = item, _read_got(self.folder / f"{kind}.got", _parts(item))
        if not (self.folder / kind).is_file():
            self._got = set()

    def _room(self, item: Item) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if shutil.disk_usage(self.folder).free < FREE_BYTES + item.size:
            raise TalusError("too little room on this gateway's disk")

    def _write(self, chunk: UpdateChunk) -> None:
        item = self._item
        if item is None or item.kind != chunk.kind:
            raise TalusError(f"{chunk.name}: its signature ({chunk.name}{SUFFIX}) must come first")
        total = _parts(item)
        if (chunk.sha256, chunk.total) != (item.sha256, total):
            raise TalusError(f"{chunk.name}: is not the file that was signed")
        last = chunk.index == total - 1
        size = item.size - chunk.index * CHUNK_BYTES if last else CHUNK_BYTES
        if len(chunk.data) != size:
            raise TalusError(f"{chunk.name}: chunk {chunk.index} is not of its size")
        if chunk.index in self._got:
            return
        self._room(item)
        path = self.folder / item.kind
        with path.open("r+b" if path.exists() else "w+b") as out:
            out.seek(chunk.index * CHUNK_BYTES)
            out.write(chunk.data)
        with (self.folder / f"{item.kind}.got").open("a", encoding="ascii") as out:
            out.write(f"{chunk.index}\n")
        self._got.add(chunk.index)

    def commit(self, kind: str, identity: str, who: str) -> str:
        """Ask for what was gathered to be put in; gives what to say of it."""
        if not self._place.folder.is_dir():
            raise TalusError("nobody here puts updates in: talus-update comes with the package")
        item = self._item
        if item is None or item.kind != kind or len(self._got) < _parts(item):
            raise TalusError(f"no whole {kind} is here: install it first")
        sync(self.folder / kind)
        with (self.folder / kind).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != item.sha256:
                self.end()
                raise TalusError(f"{kind}: its chunks do not give its sha256: send it again")
        values = {"format": 1, "id": identity, "kind": kind, "who": who}
        aside = self.folder / f".{REQUEST}"
        aside.write_text(json.dumps(values), encoding="utf-8")
        aside.replace(self.folder / REQUEST)
        return f"{item.label} is handed to talus-update"

    def end(self) -> None:
        """Forget what came in."""
        for path in self.folder.iterdir():
            if path.name != _TOLD and path.is_file():
                path.unlink()
        self._item, self._got = None, set()

    def look(self, now_ms: int) -> dict[str, Any] | None:
        """Give what came of an update, once."""
        if self._looked_ms is not None and 0 <= now_ms - self._looked_ms < LOOK_MS:
            return None
        self._looked_ms = now_ms
        path = self._place.folder / "outcome.json"
        try:
            changed = path.stat().st_mtime_ns
            if changed == self._seen:
                return None
            self._seen, values = changed, read_json(path) or {}
            self.last = {key: values[key] for key in _OUTCOME}
            return self.last if self._is_news(self.last) else None
        except (OSError, UpdateError, KeyError):
            return None

    def _is_news(self, values: dict[str, Any]) -> bool:
        """Whether it was not told yet, also before a restart; what was put in may go."""
        mark = f"{values['id']} {values['time_ms']}"
        told = self.folder / _TOLD
        if told.is_file() and told.read_text(encoding="utf-8") == mark:
            return False
        self.folder.mkdir(mode=0o700, exist_ok=True)
        told.write_text(mark, encoding="utf-8")
        if self._came(values["kind"]) == values["counter"]:
            self.end()  # not what has come since
        return True

    def _came(self, kind: str) -> int:
        """Return the counter of what came last of a kind, 0 where nothing did."""
        try:
            data = (self.folder / f"{kind}{SUFFIX}").read_bytes()
            return read_item(data, self._config.trust.keys, kind)[0].counter
        except (OSError, UpdateError):
            return 0


def _parts(item: Item) -> int:
    return max(1, -(-item.size // CHUNK_BYTES))


def _read_got(path: Path, total: int) -> set[int]:
    """Return which parts came before a restart; a line that a power cut has bitten counts not."""
    try:
        lines = path.read_text(encoding="ascii").split("\n")[:-1]
        return {int(line) for line in lines if line.isdigit() and int(line) < total}
    except (OSError, ValueError):
        return set()
