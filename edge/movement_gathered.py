"""Steps gathered into one look: their mean is one reading of the movement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge.movement_velocity import listed, refill

if TYPE_CHECKING:
    from edge.evidence import Bools, Floats


class Gathered:
    """The steps of ``n`` channels since the last look."""

    def __init__(self, n: int, step_ms: int) -> None:
        self._step_ms = step_ms
        self._sum, self._count = np.zeros(n), np.zeros(n)
        self.first_ms, self.last_ms = 0, 0
        """Of the steps gathered, or gathered last."""
        self.any = False

    def reset(self) -> None:
        """Forget all."""
        self.first_ms, self.last_ms = 0, 0
        self._clear()

    def _clear(self) -> None:
        self._sum.fill(0.0)
        self._count.fill(0.0)
        self.any = False

    def add(self, time_ms: int, row: Floats) -> None:
        """Take one step (NaN missing)."""
        if not self.any:
            self.any, self.first_ms = True, time_ms
        self.last_ms = time_ms
        here: Bools = row == row
        if here.all():
            self._sum += row
        else:
            self._sum += np.where(here, row, 0.0)
        self._count += here

    def take(self) -> tuple[float, Floats, Floats]:
        """Give the time, the mean and how many readings it holds (both NaN where none)."""
        count = np.where(self._count == 0.0, np.nan, self._count)
        row = self._sum / count
        self._clear()
        return 0.5 * (self.first_ms + self.last_ms), row, count

    def lessen(self, channel: int, by: float) -> None:
        """Take out of a step of a channel that it was so much too high."""
        self._sum[channel] -= by

    def forget(self, channel: int) -> None:
        """Forget what was gathered of a channel."""
        self._sum[channel] = self._count[channel] = 0.0

    def lessen_since(self, channel: int, by: float, since_ms: int) -> None:
        """Take out that a channel was so much too high in all steps from one on."""
        steps = self.last_ms // self._step_ms - since_ms // self._step_ms + 1
        self._sum[channel] -= by * min(float(self._count[channel]), max(0, steps))

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "first_ms": self.first_ms, "last_ms": self.last_ms, "gathered": self.any,
            "_sum": listed(self._sum), "_count": listed(self._count),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        self.first_ms, self.last_ms = int(state["first_ms"]), int(state["last_ms"])
        self.any = bool(state["gathered"])
        refill(self._sum, state["_sum"])
        refill(self._count, state["_count"])
