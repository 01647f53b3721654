"""Where updates are kept, root's alone, and how a file gets there: the old one or the new, whole.

``/var/lib/talus-update``: ``work/`` (what is being put in), ``journal.json`` (a step), and, for
all to read, ``counters.json`` and ``outcome.json``. All below one root, so that it can be run
anywhere (TALUS_ROOT).
"""

from __future__ import annotations

import errno
import json
import os
import tomllib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.update_item import Item, UpdateError
from edge.update_state import Phase, State
from firmware_bridge.minisign import PublicKey, SignatureError, parse_public_key

MAX_STORE_BYTES = 64 * 1024
MAX_CONFIG_BYTES = 1024 * 1024
BALLAST_BYTES = 64 * 1024
"""Given up when the disk is full, so that an update can still be taken back and told."""
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Place:
    """The root of the system, and what is where below it."""

    root: Path = Path("/")

    @property
    def is_system(self) -> bool:
        """Whether this is the system that runs, not a folder."""
        return self.root == Path("/")

    def at(self, path: str) -> Path:
        """Return where a whole path of the gateway is."""
        return self.root / path.lstrip("/")

    @property
    def folder(self) -> Path:
        """Return where updates are kept."""
        return self.at("var/lib/talus-update")

    @property
    def work(self) -> Path:
        """Return where the one that is being put in lies, readable by root alone."""
        return self.folder / "work"

    @property
    def file(self) -> Path:
        """Return the copy that was verified."""
        return self.work / "file"

    @property
    def journal(self) -> Path:
        """Return where the step is stored."""
        return self.folder / "journal.json"

    @property
    def config(self) -> Path:
        """Return the configuration of the service."""
        return self.at("etc/talus/gateway.toml")

    @property
    def opt(self) -> Path:
        """Return where releases are."""
        return self.at("opt/talus")

    def owner(self, name: str) -> tuple[int, int] | None:
        """Return uid and gid of a user of that root, None where there is none."""
        try:
            lines = self.at("etc/passwd").read_text(encoding="utf-8").splitlines()
        except OSError:
            return None
        for line in lines:
            fields = line.split(":")
            if fields[0] == name and len(fields) > 3:
                return int(fields[2]), int(fields[3])
        return None

    def make(self) -> None:
        """Make the folders, and put the ballast in where there is room. Raises OSError."""
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.work.mkdir(mode=0o700, exist_ok=True)
        with suppress(OSError):  # given up on a full disk: the way back must not wait for it
            if not self._ballast.exists():
                _write(self._ballast, bytes(BALLAST_BYTES), 0o600, None)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def write(
        self, path: Path, content: bytes, mode: int, owner: tuple[int, int] | None = None
    ) -> None:
        """Write aside, flush, rename. Raises OSError."""
        try:
            _write(path, content, mode, owner)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._ballast.exists():
                raise
            self._ballast.unlink()
            _write(path, content, mode, owner)


def find_place() -> Place:
    """Return the place told by TALUS_ROOT, or this system."""
    return Place(Path(os.environ.get("TALUS_ROOT") or "/"))


def _write(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None) -> None:
    aside = path.with_name(f".{path.name}.aside")
    aside.unlink(missing_ok=True)
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123  (a descriptor has no path)
            file.write(content)
            file.flush()
            if owner is not None and os.geteuid() == 0:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    flush(path.parent)


def flush(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save(place: Place, state: State) -> None:
    """Store a step. Raises OSError."""
    values = asdict(state) | {"phase": state.phase.value, "format": _FORMAT}
    place.write(place.journal, json.dumps(values, indent=1).encode(), 0o600)


def load(place: Place) -> State | None:
    """Return the step that was stored, None where no update is at work. Raises UpdateError."""
    values = read_json(place.journal)
    if values is None:
        return None
    try:
        if values.pop("format") != _FORMAT:
            raise ValueError("another format")
        item = Item(**values.pop("item"))
        return State(**values | {"item": item, "phase": Phase(values["phase"])})
    except (KeyError, TypeError, ValueError) as error:
        raise UpdateError(f"{place.journal}: cannot be used ({error!r})") from error


def read_json(path: Path) -> dict[str, Any] | None:
    """Return what is stored there, None where nothing is. Raises UpdateError."""
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(MAX_STORE_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UpdateError(f"{path}: cannot be used ({error!r})") from error
    if not isinstance(values, dict):
        raise UpdateError(f"{path}: cannot be used: another form")
    return values


def read_counters(place: Place) -> dict[str, tuple[int, str]]:
    """Return the newest counter of each kind that stayed, and its sha256. Raises UpdateError.

    Damaged ones are not taken for none: no slope is unwatched without an update.
    """
    path = place.folder / "counters.json"
    try:
        found = {}
        for kind, (counter, sha256) in (read_json(path) or {}).items():
            if type(counter) is not int or not isinstance(sha256, str):
                raise ValueError(kind)
            found[kind] = counter, sha256
    except (TypeError, ValueError) as error:
        raise UpdateError(f"{path}: damaged: a person must say what runs here, and remove it"
                          ) from error  # fmt: skip
    return found


def keep_counter(place: Place, item: Item) -> None:
    """Raise the counter of a kind. Raises UpdateError, OSError."""
    kept = read_counters(place)
    if item.counter >= kept.get(item.kind, (0, ""))[0]:
        values = kept | {item.kind: (item.counter, item.sha256)}
        place.write(place.folder / "counters.json", json.dumps(values).encode(), 0o644)


@dataclass(frozen=True, slots=True)
class Site:
    """What the root-owned configuration says, and no other file is believed for."""

    name: str
    data_dir: Path
    keys: tuple[PublicKey, ...]


def read_site(place: Place) -> Site:
    """Read it, without the rest of the configuration. Raises UpdateError."""
    try:
        with place.config.open("rb") as file:
            found = os.fstat(file.fileno())
            if place.is_system and (found.st_uid or found.st_mode & 0o022):
                raise UpdateError(f"{place.config}: others than root may write it: chown, chmod it")
            values = tomllib.loads(file.read(MAX_CONFIG_BYTES).decode("utf-8-sig"))
        texts = values.get("trust", {}).get("keys", [])
        keys = tuple(parse_public_key(text) for text in texts)
        data_dir = place.config.parent / str(values["gateway"].get("data_dir", "talus-data"))
        return Site(str(values["gateway"]["name"]), data_dir, keys)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SignatureError) as error:
        raise UpdateError(f"{place.config}: cannot be read ({error!r}): talus check") from error
