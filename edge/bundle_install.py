"""Bundles that came over MQTT: gathered aside, proven, and only then put in the place of another.

``data_dir/bundles/`` holds a folder for each that was proven, ``.staging`` for the one that comes
in, and ``index.json``: what was proven, and which stations it watches instead of the configured
bundle, from the next start on. The configured folder is never written to, and it is taken again
where the installed one does not hold, or where a person has since put another into it.
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
from edge.bundle_fit import check_schema
from edge.config import INDEX
from edge.counters import older, read_counters
from edge.errors import TalusError
from edge.manifest import MAX_MANIFEST_BYTES
from edge.trust import ANY_SIGNER

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
"""``proven``: bundle -> sha256 of its manifest; ``armed``: station -> what was committed for it."""


def read_index(data_dir: Path) -> Index:
    """Read what was proven and committed; an index that is damaged counts as empty."""
    empty: Index = {"proven": {}, "armed": {}}
    try:
        with (data_dir / INDEX).open("rb") as file:
            values = json.loads(file.read(MAX_INDEX_BYTES))
        proven, armed = dict(values["proven"]), dict(values["armed"])
    except FileNotFoundError:
        return empty
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.error("%s: cannot be used (%r): bundles are as configured", data_dir / INDEX, error)
        return empty
    sound = all(isinstance(v, dict) and isinstance(v.get("bundle"), str) for v in armed.values())
    plain = all("/" not in name and not name.startswith(".") for name in proven)
    return {"proven": proven, "armed": armed} if sound and plain else empty


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
            _hold(folder, index["proven"][name], config)
        except TalusError as error:
            log.error("station %s: the bundle installed over MQTT is passed over: %s",
                      station.name, error)  # fmt: skip
            passed_over += [] if found else [str(error)]
            continue
        found.append(str(folder))
    first, *others = [*found, station.bundle]
    fallback = tuple(other for other in others if other)
    return replace(station, bundle=first, fallback=fallback, passed_over=tuple(passed_over))


def _hold(folder: Path, sha256: object, config: Config) -> None:
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
        for entry in index["armed"].values()
        for name in (entry["bundle"], entry.get("before"))
        if isinstance(name, str)
    }


def commit(config: Config, name: str, wanted: str, now_ms: int) -> str:
    """Let a proven bundle watch a station from the next start on; returns what to say of it.

    Station "*": each whose bundle is of the same name. Raises TalusError and OSError, and then
    nothing has changed.
    """
    index = read_index(config.data_dir)
    if name == RUNNING:
        return _take_back(config, wanted, index)
    if name not in index["proven"]:
        raise TalusError(f"no bundle {name!r} is staged: install it first")
    folder = config.data_dir / FOLDER / name
    _hold(folder, index["proven"][name], config)
    manifest = read_manifest(folder, config.trust)
    alike = {s.name for s in config.stations if _next(config, s, index)[0] == manifest.name}
    chosen = alike if wanted == "*" else {wanted} & {s.name for s in config.stations}
    if not chosen:
        raise TalusError(f"no station {wanted!r}" if wanted != "*" else
                         f"no station runs a bundle named {manifest.name!r}")  # fmt: skip
    for station in config.stations:
        if station.name in chosen:
            check_schema(station, manifest)
        elif station.name in alike and _next(config, station, index)[1] < manifest.counter:
            # Under one name only the newest is armed: that one would be left without models.
            what = "runs an older bundle of the same name, which the next start would refuse"
            raise TalusError(f"station {station.name} {what}: commit it for station '*'")
    for station in config.stations:
        if station.name in chosen:
            last = index["armed"].get(station.name)
            index["armed"][station.name] = _entry(config, station, last, name) | {"time_ms": now_ms}
    write_index(config.data_dir, index)
    return (f"{manifest.label} (counter {manifest.counter}) watches {', '.join(sorted(chosen))} "
            "from the next start on; what watches now is kept")  # fmt: skip


def _take_back(config: Config, wanted: str, index: Index) -> str:
    chosen = [s for s in config.stations if wanted in ("*", s.name)]
    if not chosen:
        raise TalusError(f"no station {wanted!r}")
    for station in chosen:
        last = index["armed"].pop(station.name, None)
        running = (config.folder / station.bundle).name
        if last is not None and _is_installed(config, station):
            index["armed"][station.name] = last | {"bundle": running, "before": None}
    write_index(config.data_dir, index)
    return "what watches now goes on at the next start"


def _is_installed(config: Config, station: StationConfig) -> bool:
    """Whether what runs now came over MQTT."""
    running = config.folder / station.bundle
    return bool(station.bundle) and running.parent == config.data_dir / FOLDER


def _next(config: Config, station: StationConfig, index: Index) -> tuple[str, int]:
    """Return name and counter of the bundle a station would run at the next start."""
    entry = index["armed"].get(station.name)
    place = config.data_dir / FOLDER
    folder = place / entry["bundle"] if entry else config.folder / station.bundle
    try:
        manifest = read_manifest(folder, ANY_SIGNER)
    except TalusError:
        return "", 0  # it is not armed, whatever happens here
    return manifest.name, manifest.counter


def _entry(
    config: Config, station: StationConfig, last: dict[str, Any] | None, name: str
) -> dict[str, Any]:
    """Return what is committed: also what runs now, and whether a person changes it meanwhile."""
    running = config.folder / station.bundle if station.bundle else None
    if running is not None and _is_installed(config, station):
        before = running.name if running.name != name else (last or {}).get("before")
        return {"bundle": name, "before": before, "instead_of": (last or {}).get("instead_of", "")}
    instead_of = manifest_sha256(running) if running is not None else ""
    return {"bundle": name, "before": None, "instead_of": instead_of}
