"""The time of day, and whether it was set: a wall clock that leaves the monotonic one."""

from __future__ import annotations

import time

CLOCK_STEP_MS = 2000
"""A difference of more was a step, and less is drift."""


class WallClock:
    """Reads the time of day."""

    def __init__(self) -> None:
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000

    def read(self) -> tuple[int, int]:
        """Give the time, ms since 1970, and by how many ms it was set since the last look, or 0."""
        wall_ms = time.time() * 1000
        offset_ms = wall_ms - time.monotonic() * 1000
        step_ms = offset_ms - self._offset_ms
        self._offset_ms = offset_ms
        return int(wall_ms), round(step_ms) if abs(step_ms) > CLOCK_STEP_MS else 0
