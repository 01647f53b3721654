"""What watches where a bundle that came over MQTT does not hold at a start: the one before it.

An installed bundle was proven when it came, and is proven again at each start: a file may have
rotted, a runtime may have been exchanged. Then the bundle before it is taken, or the configured
one; a slope is not left unwatched for it, and it is told. No bundle is taken that is older than
what has run here (`edge.counters`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge.bundle_install import FOLDER, read_index, write_index
from edge.bundles import open_bundles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edge.bundles import Opened
    from edge.config import Config

MAX_TOLD = 500
"""Characters told of why a bundle does not hold."""


@dataclass(frozen=True, slots=True)
class Armed:
    """The bundles that are armed, the configuration that names them, and what gave way, by station.

    ``gave_way``: in words, for people.
    """

    config: Config
    opened: dict[str, Opened]
    gave_way: dict[str, str]


def give_way(config: Config, blamed: Mapping[str, str], why: str) -> Config:
    """Let installed bundles, by station, give way to those before them, or to rules alone.

    Where there are no rules and nothing before it holds, it is armed once more: a slope that is
    watched now and then is better than one that never is.
    """
    place = config.data_dir / FOLDER
    stations = []
    for s in config.stations:
        found = s
        if s.name in blamed and config.folder / s.bundle == place / blamed[s.name]:
            order = (*s.fallback, "" if s.decision.rules else s.bundle)
            found = replace(
                s, bundle=order[0], fallback=order[1:], passed_over=(*s.passed_over, why)
            )
        stations.append(found)
    return replace(config, stations=tuple(stations))


def arm(config: Config) -> Armed:
    """Open the bundle of each station, or the first that holds of those to fall back to."""
    opened = open_bundles(config)
    found, tried = config, config
    gave_way = {s.name: list(s.passed_over) for s in config.stations if s.passed_over}
    while failed := [s for s in tried.stations if s.fallback and isinstance(opened[s.name], str)]:
        for station in failed:
            gave_way.setdefault(station.name, []).append(str(opened[station.name]))
        names = {station.name for station in failed}
        tried = replace(tried, stations=tuple(
            replace(s, bundle=s.fallback[0], fallback=s.fallback[1:]) if s.name in names else s
            for s in tried.stations
        ))  # fmt: skip
        again = open_bundles(tried)
        # None at all is its rules alone, where it gave way to them.
        held = {
            name
            for name in names
            if not (isinstance(again[name], str) and tried.station(name).bundle)
        }
        opened |= {name: again[name] for name in names if name in held or not _more(tried, name)}
        found = _taken(found, tried, held)
    told = {
        name: _words(whys, found, opened, name)
        for name, whys in gave_way.items()
        if not (isinstance(opened[name], str) and found.station(name).bundle)
    }
    return Armed(found, opened, told)


def _more(config: Config, name: str) -> bool:
    return bool(config.station(name).fallback)


def _taken(found: Config, tried: Config, names: set[str]) -> Config:
    """Take over the bundles of some stations."""
    stations = zip(found.stations, tried.stations, strict=True)
    return replace(found, stations=tuple(t if t.name in names else s for s, t in stations))


def _words(whys: list[str], config: Config, opened: dict[str, Opened], name: str) -> str:
    bundle = opened[name]
    why = "; ".join(whys).replace("\n", "; ")[:MAX_TOLD]
    if isinstance(bundle, str):
        return f"the bundle installed over MQTT is passed over, its rules alone watch: {why}"
    folder = config.folder / config.station(name).bundle
    if bundle_of(config, name) == folder:
        return f"{bundle.manifest.label} watches on, for nothing before it holds: {why}"
    kind = "installed before" if folder.parent == config.data_dir / FOLDER else "configured"
    return (f"the bundle installed over MQTT does not hold at this start, and "
            f"{bundle.manifest.label}, {kind}, watches instead: {why}")  # fmt: skip


def bundle_of(config: Config, name: str) -> Path | None:
    """Return the folder that was committed last for a station."""
    entry = read_index(config.data_dir)["armed"].get(name)
    return None if entry is None else config.data_dir / FOLDER / str(entry["bundle"])


def revert(armed: Armed) -> None:
    """Let what watches now also watch at the next start. Raises OSError."""
    config, index = armed.config, read_index(armed.config.data_dir)
    for name in armed.gave_way:
        folder = config.folder / config.station(name).bundle
        if bundle_of(config, name) == folder:
            continue
        entry = index["armed"].pop(name, None)
        if entry is not None and folder.parent == config.data_dir / FOLDER:
            index["armed"][name] = entry | {"bundle": folder.name, "before": None}
    write_index(config.data_dir, index)
