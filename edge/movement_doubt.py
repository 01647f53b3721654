"""A jump that no neighbour could confirm: real, or a knock on the instrument.

It counts at once, for it may be real. But how fast the slope then seemed must not be what is usual
of it from then on, or one knock would keep the sensor from telling of an end for good. So what a
doubtful jump did to the record is taken back once no window shows it any more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from edge.evidence import Bools
    from edge.movement_onset import Onset
    from edge.movement_usual import Usual

FADED, GONE = 2.0, 3.0
"""Base windows after which a jump hardly shows, and after which it is forgotten."""


class Doubts:
    """Of ``n`` channels; ``look_ms`` between two looks, ``base_ms`` the base window."""

    def __init__(self, n: int, look_ms: int, base_ms: int) -> None:
        self._look_ms, self._base_ms = look_ms, base_ms
        self.doubted: Bools = np.zeros(n, dtype=bool)
        """Where a jump may still show."""
        self._since: dict[int, tuple[float, float]] = {}
        """(time_ms of the first jump, of the last one) by channel."""

    def reset(self) -> None:
        """Forget all."""
        self._since.clear()
        self.doubted.fill(False)

    def begin(self, channel: int, time_ms: float) -> None:
        """Take that a channel jumped, and that nobody could confirm it."""
        first, last = self._since.get(channel, (time_ms, time_ms))
        if last - first > GONE * self._base_ms:  # it jumps on and on: then that is usual
            first = time_ms
        self._since[channel] = first, max(last, time_ms)
        self.doubted[channel] = True

    def settle(self, now_ms: float, usual: Usual, onset: Onset) -> None:
        """Take back what jumps did that no longer show."""
        for i, (first_ms, last_ms) in list(self._since.items()):
            ago = (now_ms - last_ms) / self._base_ms
            if ago < FADED:
                continue
            usual.forgive(i, first_ms - self._look_ms)
            onset.forgive(i)
            if ago >= GONE:
                del self._since[i]
                self.doubted[i] = False

    def snapshot(self) -> list[Any]:
        """Return the state as JSON-ready values."""
        return [[i, first, last] for i, (first, last) in self._since.items()]

    def restore(self, state: list[Any]) -> None:
        """Continue from a snapshot of the same channels."""
        since = {int(i): (float(first), float(last)) for i, first, last in state}
        if not all(0 <= i < len(self.doubted) and math.isfinite(a + b)
                   for i, (a, b) in since.items()):  # fmt: skip
            raise ValueError("doubts of other channels")
        self.reset()
        self._since = since
        self.doubted[list(since)] = True
