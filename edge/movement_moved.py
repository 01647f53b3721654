"""How far a channel has moved over a window: now against then, from at most BLOCKS values kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from edge.evidence import Floats

BLOCKS = 24
"""A window is kept in so many parts: "then" is right to a part of it."""


class Moved:
    """|now - then| of ``n`` channels; until the window has passed, since the first reading."""

    def __init__(self, n: int, window_ms: int) -> None:
        self.values = np.full(n, np.nan)
        self._block_ms = max(1, window_ms // BLOCKS)
        self._now = np.full(n, np.nan)
        self._kept = np.full((BLOCKS, n), np.nan)
        self._then = np.full(n, np.nan)
        self._block: int | None = None

    def reset(self) -> None:
        """Forget the past."""
        for array in (self.values, self._now, self._kept, self._then):
            array.fill(np.nan)
        self._block = None

    def push(self, time_ms: int, row: Floats) -> None:
        """Take one step (NaN missing)."""
        block = time_ms // self._block_ms
        ahead = 0 if self._block is None else block - self._block
        if self._block is None or ahead > 0:
            self._block = block
        for _ in range(min(ahead, BLOCKS)):
            oldest = self._kept[0]
            self._then = np.where(oldest == oldest, oldest, self._then)
            self._kept[:-1] = self._kept[1:]
            self._kept[-1] = self._now
        here = row == row
        self._now = np.where(here, row, self._now)
        self._then = np.where(self._then == self._then, self._then, self._now)
        self.values[:] = np.abs(self._now - self._then)

    def take_back(self, channel: int, by: float, since_ms: int) -> None:
        """Take out that a channel has read ``by`` more since a time, and had not moved."""
        if self._block is None:
            return
        ago = self._block - since_ms // self._block_ms
        if ago < 0:
            return
        self._now[channel] -= by
        if ago > 0:
            self._kept[-ago:, channel] -= by
        if ago > BLOCKS:
            self._then[channel] -= by
        self.values[channel] = abs(self._now[channel] - self._then[channel])

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {**{name: _list(getattr(self, name)) for name in _KEPT}, "block": self._block}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels and window."""
        for name in _KEPT:
            array = getattr(self, name)
            array[...] = np.array(state[name], dtype=float).reshape(array.shape)
        self._block = state["block"]


_KEPT = ("values", "_now", "_kept", "_then")


def _list(array: Floats) -> list[Any]:
    return [None if v != v else v for v in array.ravel().tolist()]
