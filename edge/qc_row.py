"""One row under judgement: how far each value is from the last, and from what was accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edge.evidence import Floats
    from edge.qc_track import Track


class Judged:
    """A row against the track of its channels."""

    __slots__ = (
        "first",
        "found",
        "grown",
        "here",
        "known",
        "off",
        "passed",
        "size",
        "time_ms",
        "wider",
    )

    def __init__(self, time_ms: int, found: Floats, track: Track) -> None:
        self.time_ms, self.found = time_ms, found
        self.here = found == found
        self.known = self.here & (track.raw == track.raw)
        """It has a value, and had one before."""
        self.passed = np.where(self.known, time_ms - track.raw_ms, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            usual = np.maximum(1.0, self.passed / track.interval)
        self.grown = np.where(track.interval > 0, usual, 1.0)
        """How many usual intervals the last value is ago, 1.0 at least."""
        self.wider = np.sqrt(self.grown)
        """So much further a value may be off: noise does not grow with time, a trend does."""
        self.measure(track)

    def measure(self, track: Track) -> None:
        """Take the differences; once more after channels were exchanged."""
        self.first = np.where(self.known, self.found - track.raw, 0.0)
        self.size = np.abs(np.stack((self.first, self.first - track.step)))
        self.off = np.where(self.known, np.abs(self.found - track.last), 0.0)
