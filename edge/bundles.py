"""The bundles of all stations: what cannot be armed is told, and does not stop the others."""

from __future__ import annotations

from logging import ERROR, INFO, WARNING
from typing import TYPE_CHECKING

from edge.bundle import Bundle, load_bundle
from edge.bundle_fit import check_schema
from edge.counters import older, read_counters
from edge.errors import TalusError
from edge.trust import signature_text

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


def told(config: Config, opened: Mapping[str, Opened]) -> list[tuple[int, str]]:
    """Say of each station what watches it: (urgency as in logging, line)."""
    found: list[tuple[int, str]] = []
    for station in config.stations:
        bundle = opened[station.name]
        ruled = f"{len(station.decision.rules)} rules" if station.decision.rules else ""
        if isinstance(bundle, str):
            if station.bundle or not ruled:
                what = f"NOT WATCHED by models, {ruled} watch" if ruled else "NOT WATCHED"
                found.append((ERROR, f"station {station.name} is {what}: {bundle}"))
            else:
                found.append((INFO, f"station {station.name}: {ruled}, no bundle"))
            continue
        notes = [f"station {station.name}: passed over: {note}" for note in bundle.notes]
        found += [(WARNING, note) for note in notes]
        loaded = bundle.forecaster
        line = (
            f"station {station.name}: {bundle.manifest.label}, {signature_text(bundle.signer)}: "
            f"{loaded.artifact.file} in {loaded.runtime}, golden error {loaded.golden_error:.3g}"
        )
        found.append((INFO, line + (f"; {ruled}" if ruled else "")))
    return found


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
