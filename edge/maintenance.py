"""What this gateway and `talus-flash` leave for each other in `data_dir`.

A port whose firmware is being updated is let go of, and its silence is expected; in return it is
told here which alarms are raised, so that no node is updated while it is needed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from firmware_bridge.update_notes import in_maintenance, note_alarms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from edge.station import Station

log = logging.getLogger("talus")

LOOK_MS = 500
TELL_MS = 240_000
"""How often the alarms are told though nothing changed; they are believed for 5 minutes. Each time
wears the card by some 20 kB."""


class Maintenance:
    """The notes of one gateway, looked at now and then."""

    def __init__(self, folder: Path, ports: AbstractSet[str]) -> None:
        self._folder = folder
        self._ports = ports
        self._looked_ms: int | None = None
        self._told_ms: int | None = None
        self._told: list[str] | None = None
        self._strangers: frozenset[str] = frozenset()
        self._mute = False

    def look(self, now_ms: int, held: AbstractSet[str]) -> list[tuple[str, bool]]:
        """Give the ports whose maintenance has begun (True) or ended (False) beside those held."""
        if not _due(now_ms, self._looked_ms, LOOK_MS):
            return []
        self._looked_ms = now_ms
        noted = in_maintenance(self._folder, now_ms)
        strangers = noted - self._ports
        for name in sorted(strangers - self._strangers):
            log.warning("maintenance of port %s: there is no such port here", name)
        self._strangers = strangers
        known = noted & self._ports
        begun = [(name, True) for name in sorted(known - held)]
        return begun + [(name, False) for name in sorted(held - known)]

    def tell(self, stations: Mapping[str, Station], now_ms: int) -> None:
        """Say which have an alarm raised, at once when it changes."""
        raised = [
            f"{name} (level {station.alarm.level})"
            for name, station in stations.items()
            if station.alarm.level
        ]
        if raised == self._told and not _due(now_ms, self._told_ms, TELL_MS):
            return
        self._told, self._told_ms = raised, now_ms
        try:
            note_alarms(self._folder, raised, now_ms)
        except OSError as error:
            if not self._mute:
                log.error("alarms.json: %s: talus-flash will update nothing", error)
            self._mute = True
        else:
            self._mute = False


def _due(now_ms: int, last_ms: int | None, every_ms: int) -> bool:
    """Say whether it is time again; also where the clock was set back."""
    return last_ms is None or not 0 <= now_ms - last_ms < every_ms
