"""Bundles that came over MQTT: gathered aside, proven, and only then put in the place of another.

``data_dir/bundles/`` holds a folder for each that was proven, ``.staging`` for the one that comes
in, and ``index.json``: what was proven, what is on trial at which station (`edge.bundle_trial`),
and what watches it instead of the configured bundle. The configured folder is never written to, and
it is taken again where the installed one does not hold, or where a person has since put another
into it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edge.bundle import read_manifest
from edge.config import INDEX
from edge.counters import older, read_counters
from edge.errors import TalusError
from edge.manifest import MAX_MANIFEST_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from edge.config import Config, StationConfig

FOLDER = INDEX.partition("/")[0]
MAX_INDEX_BYTES = 1024 * 1024
MANIFEST = "manifest.json"
RUNNING = "running"
"""In the place of a bundle's name: take back what was committed and does not run yet."""
log = logging.getLogger("talus")

Index = dict[str, dict[str, Any]]
"""``proven``: bundle -> sha256 of its manifest; ``trial``: station -> what is tried beside what
watches it; ``armed``: station -> what watches it, ``fresh`` until it has served for a while."""


def read_index(data_dir: Path) -> Index:
    """Read what was proven and committed; an index that is damaged counts as empty."""
    empty: Index = {"proven": {}, "armed": {}, "trial": {}}
    try:
        with (data_dir / INDEX).open("rb") as file:
            values = json.loads(file.read(MAX_INDEX_BYTES))
        proven, armed = dict(values["proven"]), dict(values["armed"])
        trial = _trials(values.get("trial"), data_dir)
    except FileNotFoundError:
        return empty
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.error("%s: cannot be used (%r): bundles are as configured", data_dir / INDEX, error)
        return empty
    sound = all(map(_is_entry, armed.values()))
    plain = all("/" not in name and not name.startswith(".") for name in proven)
    return {"proven": proven, "armed": armed, "trial": trial} if sound and plain else empty


def _trials(values: object, data_dir: Path) -> dict[str, Any]:
    """Return what is on trial; what cannot be read of it costs that alone."""
    if values is None:  # older programs had none
        return {}
    given = values if isinstance(values, dict) else {}
    found = {station: entry for station, entry in given.items() if _is_entry(entry)}
    if len(found) != len(given) or given is not values:
        log.error("%s: trials cannot be used: they are left out", data_dir / INDEX)
    return found


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("bundle"), str)


def write_index(data_dir: Path, index: Index) -> None:
    """Write aside, flush, rename. Raises OSError."""
    path = data_dir / INDEX
    aside = path.with_name(f".{path.name}.new")
    with aside.open("w", encoding="utf-8") as file:
        json.dump({"format": 1, **index}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def manifest_sha256(folder: Path) -> str:
    """Return the sha256 of a bundle's manifest, "" where there is none."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            return hashlib.sha256(file.read(MAX_MANIFEST_BYTES)).hexdigest()
    except OSError:
        return ""


def armed(config: Config) -> Config:
    """Return the configuration with the bundles that were committed, where they still hold."""
    index = read_index(config.data_dir)
    stations = tuple(
        _installed(config, station, index, index["armed"][station.name])
        if station.name in index["armed"]
        else station
        for station in config.stations
    )
    return replace(config, stations=stations)


def _installed(
    config: Config, station: StationConfig, index: Index, entry: dict[str, Any]
) -> StationConfig:
    configured = manifest_sha256(config.folder / station.bundle) if station.bundle else ""
    if configured != entry.get("instead_of"):
        log.warning("station %s: its configured bundle is another than when %r was installed over "
                    "MQTT: the configured one is taken", station.name, entry["bundle"])  # fmt: skip
        return station
    found: list[str] = []
    passed_over: list[str] = []
    for name in (entry["bundle"], entry.get("before")):
        if name not in index["proven"]:
            continue
        folder = config.data_dir / FOLDER / name
        try:
            hold(folder, index["proven"][name], config)
        except TalusError as error:
            log.error("station %s: the bundle installed over MQTT is passed over: %s",
                      station.name, error)  # fmt: skip
            passed_over += [] if found else [str(error)]
            continue
        found.append(str(folder))
    first, *others = [*found, station.bundle]
    fallback = tuple(other for other in others if other)
    return replace(station, bundle=first, fallback=fallback, passed_over=tuple(passed_over))


def hold(folder: Path, sha256: object, config: Config) -> None:
    """Raise TalusError unless this is the bundle that was proven, whole and not older."""
    manifest = read_manifest(folder, config.trust)
    if manifest_sha256(folder) != sha256:
        raise TalusError(f"{folder}: is another than the one that was proven here")
    counters, _ = read_counters(config.data_dir)
    if not config.trust.allow_unsigned and (why := older(manifest, counters)):
        raise TalusError(why)


def settle(config: Config, staging: Path, name: str) -> None:
    """Put a bundle that was proven in its place, flushed; what nobody uses goes. Raises OSError."""
    index = read_index(config.data_dir)
    folder = config.data_dir / FOLDER / name
    used = in_use(index)
    index["proven"] = {k: v for k, v in index["proven"].items() if k in used}
    write_index(config.data_dir, index)
    for old in folder.parent.iterdir():
        if old.is_dir() and old != staging and old.name not in used:
            shutil.rmtree(old)
    staging.rename(folder)
    sync(folder.parent)
    index["proven"][name] = manifest_sha256(folder)
    write_index(config.data_dir, index)


def in_use(index: Index) -> set[str]:
    """Return the installed bundles that are committed, and those they took the place of."""
    return {
        name
        for entry in (*index["armed"].values(), *index["trial"].values())
        for name in (entry["bundle"], entry.get("before"))
        if isinstance(name, str)
    }
