"""Updates of configuration and package that come over MQTT: gathered, handed over, and told.

This process may not put them in, and nobody has to believe it: it gathers the file and its
signature in ``DATA_DIR/updates`` and asks; `talus-update`, which is root's, verifies and does, and
writes what came of it where this one reads it. The signature comes first, and bounds what follows.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
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
"""Longer than the outbox keeps an answer in memory: at the next look it is on disk."""
_SYNC_PARTS = 32
_SUM_PARTS = 8
"""At once, while parts come: alarms wait for no more than that."""
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
        self._sha256, self._summed = hashlib.sha256(), 0
        self._looked_ms: int | None = None
        self._seen = 0
        self._telling = b""
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
        self._sum(_SUM_PARTS)
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
            self._only_one()
            self._room(item)
            self.end()
            signature.write_bytes(data)
        self._sha256, self._summed = hashlib.sha256(), 0
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
            if chunk.index % _SYNC_PARTS == 0:  # else commit waits for all of them
                out.flush()
                os.fsync(out.fileno())
        with (self.folder / f"{item.kind}.got").open("a", encoding="ascii") as out:
            out.write(f"{chunk.index}\n")
        self._got.add(chunk.index)

    def _sum(self, most: int) -> None:
        """Go on with the sha256 of the parts that are here without a gap."""
        item = self._item
        if item is None or self._summed not in self._got:
            return
        with (self.folder / item.kind).open("rb") as file:
            file.seek(self._summed * CHUNK_BYTES)
            while most and self._summed in self._got:
                self._sha256.update(file.read(CHUNK_BYTES))
                self._summed += 1
                most -= 1

    def _only_one(self) -> None:
        """Leave alone what waits for root: its asker would never be answered."""
        if self._waiting():
            raise TalusError("one is handed over and not taken yet: wait for what comes of it")

    def _waiting(self) -> str:
        """Return the id of the request that waits, "" where none does that can be read."""
        try:
            return str(json.loads((self.folder / REQUEST).read_bytes())["id"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""

    def commit(self, kind: str, identity: str, who: str) -> str:
        """Ask for what was gathered to be put in; gives what to say of it."""
        if not self._place.folder.is_dir():
            raise TalusError("nobody here puts updates in: talus-update comes with the package")
        item = self._item
        if item is None or item.kind != kind or len(self._got) < _parts(item):
            raise TalusError(f"no whole {kind} is here: install it first")
        self._only_one()
        sync(self.folder / kind)
        self._sum(_parts(item))  # nothing is left to do, unless it came before a restart
        if self._sha256.hexdigest() != item.sha256:
            self.end()
            raise TalusError(f"{kind}: its chunks do not give its sha256: send it again")
        values = {"format": 1, "id": identity, "kind": kind, "who": who}
        aside = self.folder / f".{REQUEST}"
        aside.write_text(json.dumps(values), encoding="utf-8")
        aside.replace(self.folder / REQUEST)
        handed = f"{item.label} is handed to talus-update"
        if self.folder.resolve() != (self._place.at("var/lib/talus") / FOLDER).resolve():
            handed += "; data_dir is not /var/lib/talus: where talus-update.path does not name it, "
            handed += "systemctl start talus-update"
        return handed

    def end(self) -> None:
        """Forget what came in; not that root was asked, and has not looked yet."""
        for path in self.folder.iterdir():
            if path.name not in (_TOLD, REQUEST) and path.is_file():
                path.unlink()
        self._item, self._got = None, set()

    def look(self, now_ms: int) -> dict[str, Any] | None:
        """Give what came of an update, once."""
        if self._looked_ms is not None and 0 <= now_ms - self._looked_ms < LOOK_MS:
            return None
        self._looked_ms = now_ms
        with suppress(OSError):  # a full disk: with the next look
            self._settle()
        try:
            return self._news()
        except (OSError, UpdateError, KeyError, TypeError, ValueError):
            return None

    def _settle(self) -> None:
        """Remember that it was told. Twice is better than never, so not before it is stored."""
        if self._telling:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            (self.folder / _TOLD).write_bytes(self._telling)
            self._telling = b""

    def _news(self) -> dict[str, Any] | None:
        """Give what was not told yet, also before a restart; what was put in may go."""
        path = self._place.folder / "outcome.json"
        changed = path.stat().st_mtime_ns
        if changed == self._seen:
            return None
        values = read_json(path) or {}
        self.last = {key: values[key] for key in _OUTCOME}
        mark = f"{values['id']} {values['time_ms']}".encode()
        try:
            is_told = (self.folder / _TOLD).read_bytes() == mark
        except OSError:
            is_told = False
        self._seen = changed
        if is_told:
            return None
        self._telling = mark
        is_over = self._waiting() in ("", values["id"])
        if is_over and values["counter"] and self._came(values["kind"]) == values["counter"]:
            with suppress(OSError):
                self.end()  # not what has come since
        return self.last

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
