"""A running counter (tips of a rain gauge, pulses of a meter) into what was counted since before.

A counter only rises, but it can be set back (a power cut, a person) or wrap round (65,535 -> 0),
and one damaged reading must not look like a cloudburst. So what does not follow from the reading
before is held back until the next reading follows from it: nothing is lost by that, and a single
wrong count is gone by then. The state lives on the board, which is kept over a restart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.calibration import Board

_REFUSED = math.inf  # the calibrator counts it as "range"
_NONE = -1.0  # no count is negative; NaN would not go into a snapshot


@dataclass(frozen=True, slots=True)
class Counter:
    """y = x - the x before it; the first gives none. Times gain, a `Linear` stage after it."""

    max_step: float = 1000.0
    """More between two readings is not believed."""
    wraps_at: int = 0
    """After the count wraps_at - 1 comes 0, as 65536 for 16 bits; 0: a fall is a reset to 0."""


class Counted:
    """The counter of one channel. ``name`` is its place on the board."""

    def __init__(self, stage: Counter, board: Board, name: str) -> None:
        self._stage = stage
        self._board = board
        self._last, self._doubted = f"{name} counted", f"{name} doubted"

    def __call__(self, x: float, time_ms: int) -> float:
        """Return what was counted since the reading before; NaN where that is not known (yet)."""
        if x < 0:
            return _REFUSED
        last_ms, last = self._board.latest(self._last, (0, _NONE))
        if last < 0:
            self._board.post(self._last, time_ms, x)
            return math.nan
        if last_ms - self._board.max_age_ms <= time_ms < last_ms:
            return math.nan  # it comes late: a later one has counted it
        if 0 <= x - last <= self._stage.max_step:
            return self._accept(x, time_ms, x - last)
        _, doubted = self._board.latest(self._doubted, (0, _NONE))
        if doubted < 0 or not 0 <= x - doubted <= self._stage.max_step:
            self._board.post(self._doubted, time_ms, x)
            return _REFUSED
        return self._accept(x, time_ms, self._since_break(x, last, doubted))

    def _since_break(self, x: float, last: float, doubted: float) -> float:
        """Return what was counted where the count stepped from ``last`` to ``doubted``."""
        wrapped = x + self._stage.wraps_at - last
        if self._stage.wraps_at and 0 <= wrapped <= 2 * self._stage.max_step:
            return wrapped
        if doubted < last and x <= 2 * self._stage.max_step:
            return x  # it began anew at 0
        return x - doubted  # another counter: what it had counted before is not ours

    def _accept(self, x: float, time_ms: int, counted: float) -> float:
        self._board.post(self._last, time_ms, x)
        self._board.post(self._doubted, time_ms, _NONE)
        return counted
