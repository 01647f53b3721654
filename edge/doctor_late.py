"""Rows that came after their grid step was closed: published, and seen by no decision. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.doctor_diagnosis import WARN, Diagnosis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.config import Config

MANY = 10
"""So few are chance: a clock that was set, a node that started anew."""


def late(config: Config, states: dict[str, dict[str, Any]]) -> Iterator[Diagnosis]:
    """Tell of stations whose rows come late; ``states``: what was saved of each, by its name."""
    for station in config.stations:
        count = late_rows(states.get(station.name, {}))
        if count < MANY:
            continue
        held = f"lateness_s = {station.lateness_ms / 1000:g}"
        text = f"{count} rows came after their step was closed ({held}): no decision has seen them"
        fix = (
            "give lateness_s of the station as long as rows may be late (what a radio or a logger "
            "keeps, and sends after newer ones); decisions then wait for them as long"
        )
        yield Diagnosis("values", station.name, WARN, text, fix, float(count), "rows")


def late_rows(state: dict[str, Any]) -> int:
    """Return how many there were, of what was saved of a station; 0 where that cannot be read."""
    counts = []
    for part in ("watch", "rules"):
        saved = state.get(part)
        grid = saved.get("grid") if isinstance(saved, dict) else None
        count = grid.get("late") if isinstance(grid, dict) else None
        counts.append(count if isinstance(count, int) else 0)
    return max(counts)
