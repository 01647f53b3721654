"""What watches from now on, in the place of what did: as the loop, the desk and others take it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.alarm import AlarmChange
    from edge.bundles import Opened
    from edge.config import Config
    from edge.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Taken:
    """What watches from now on, in the place of what did."""

    config: Config
    pipeline: Pipeline
    opened: dict[str, Opened]
    stations: tuple[str, ...]
    """Those that are watched by another."""
    notes: tuple[str, ...]
    """What of the state was lost."""
    now_ms: int

    def told(self, now_ms: int) -> list[AlarmChange]:
        """Say so, with what watches now named in it and in the state that stands."""
        found = [
            self.pipeline.stations[name].alarm.note(now_ms, words)
            for name, _, words in (note.partition(": ") for note in self.notes)
            if name in self.pipeline.stations
        ]
        for name in self.stations:
            bundle = self.opened[name]
            label = bundle if isinstance(bundle, str) else bundle.manifest.label
            change = self.pipeline.stations[name].alarm.note(now_ms, f"{label} watches from now on")
            found.append(replace(change, kind="bundle"))
        return found
