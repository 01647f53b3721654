"""The bundles of all stations: what cannot be armed is told, and does not stop the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.bundle import Bundle, load_bundle
from edge.errors import TalusError
from edge.station import check_schema

if TYPE_CHECKING:
    from edge.config import Config


def open_bundles(config: Config) -> dict[str, Bundle | str]:
    """Load and prove the bundle of each station; a text says why one cannot be armed."""
    opened: dict[str, Bundle | str] = {}
    by_folder: dict[str, Bundle | str] = {}
    for station in config.stations:
        if not station.bundle:
            opened[station.name] = "no bundle configured"
            continue
        if station.bundle not in by_folder:
            try:
                by_folder[station.bundle] = load_bundle(
                    config.folder / station.bundle, config.runtime
                )
            except TalusError as error:
                by_folder[station.bundle] = str(error)
        found = by_folder[station.bundle]
        if not isinstance(found, str):
            try:
                check_schema(station, found.manifest)
            except TalusError as error:
                found = str(error)
        opened[station.name] = found
    return opened
