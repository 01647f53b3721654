"""The calibrators of one station, one a layout that its nodes send."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edge.calibrator import Calibrator

if TYPE_CHECKING:
    from edge.calibration import Board
    from edge.config import StationConfig
    from firmware_bridge.reading import Reading

MAX_LAYOUTS = 16
"""Layouts remembered: a node that changes more often costs time, not memory."""


class Layouts:
    """Makes calibrators as layouts come. ``rejected`` is shared by all of them."""

    def __init__(
        self,
        config: StationConfig,
        board: Board,
        shared: frozenset[str],
        rejected: dict[tuple[str, str], int],
    ) -> None:
        self._config, self._board, self._shared, self._rejected = config, board, shared, rejected
        self._known: dict[tuple[str, tuple[str, ...]], Calibrator] = {}
        self._last: tuple[str, tuple[str, ...]] = "", ()
        self._found: Calibrator | None = None

    def of(self, reading: Reading) -> Calibrator:
        """Return the calibrator of a layout; a node that sends a new layout gets a new one."""
        source, channels = self._last
        # The names of one layout are one object: most often it is the layout of the last reading.
        if self._found is not None and channels is reading.channels and source == reading.source:
            return self._found
        key = (reading.source, reading.channels)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_LAYOUTS:
                self._known.clear()
            found = self._known[key] = self._made(reading)
        self._last, self._found = key, found
        return found

    def _made(self, reading: Reading) -> Calibrator:
        plans = tuple(
            channel.plan
            if channel.port == reading.source
            else replace(channel.plan, column="\0")  # it comes from another port
            for channel in self._config.channels
        )
        found = Calibrator(self._config.name, plans, reading.channels, self._board, self._shared)
        found.rejected = self._rejected
        return found
