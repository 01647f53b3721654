"""The bundles of all stations: what cannot be armed is told, and does not stop the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.bundle import Bundle, load_bundle
from edge.counters import older, read_counters
from edge.errors import TalusError
from edge.station import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edge.config import Config, StationConfig

Opened = Bundle | str
"""A bundle, or why there is none."""


def open_bundles(config: Config) -> dict[str, Opened]:
    """Load and prove the bundle of each station; a text says why one cannot be armed.

    The counters kept in the data folder are read, not raised.
    """
    kept, _ = read_counters(config.data_dir)
    by_folder: dict[str, Opened] = {}
    for station in config.stations:
        if station.bundle and station.bundle not in by_folder:
            by_folder[station.bundle] = _load(config, station.bundle, kept)
    # Of two of one name the older is refused now, and not only after the next start.
    armed = signed_counters(by_folder.values())
    return {s.name: _for(s, by_folder.get(s.bundle), armed) for s in config.stations}


def signed_counters(opened: Iterable[Opened]) -> dict[str, int]:
    """Return the highest counter by bundle name of those whose signature was verified."""
    found: dict[str, int] = {}
    for bundle in opened:
        if isinstance(bundle, Bundle) and bundle.signer:
            m = bundle.manifest
            found[m.name] = max(m.counter, found.get(m.name, 0))
    return found


def _load(config: Config, name: str, kept: Mapping[str, int]) -> Opened:
    try:
        return load_bundle(config.folder / name, config.runtime, config.trust, kept)
    except TalusError as error:
        return str(error)


def _for(station: StationConfig, found: Opened | None, armed: Mapping[str, int]) -> Opened:
    if found is None:
        return "no bundle configured"
    if isinstance(found, str):
        return found
    if found.signer and (why := older(found.manifest, armed)):
        return why
    try:
        check_schema(station, found.manifest)
    except TalusError as error:
        return str(error)
    return found
