"""The zero of each channel: steps taken out, re-zeroing by order, temperature taken out.

What is taken out is kept, told in health, and never less than what the notes say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.evidence import Floats
    from edge.qc_plan import QcChannel

MAX_DUE = 64


@dataclass(frozen=True, slots=True)
class Rezeroed:
    """What an order to re-zero took out at once, of readings that had passed."""

    by: float
    """0.0: nothing."""
    since_ms: int
    """Time of the first of them; the one before it was held back."""
    each_ms: int
    """Between two of them, usually."""


class Zeros:
    """Offsets of one station, each in the unit of its channel."""

    def __init__(self, channels: Sequence[QcChannel]) -> None:
        n = len(channels)
        self.offset = np.zeros(n)
        """Taken out of what the models get."""
        self.due: dict[int, int] = {}
        """Channels whose next reading from a time on is a new zero."""
        given = np.array([c.coefficient for c in channels])
        self._warm = np.array([c.temperature for c in channels])
        self.compensated = (given == given) & (self._warm >= 0)
        self._coefficient = np.where(self.compensated, given, 0.0)
        self._reference = np.array([c.reference_c for c in channels])
        self._heat = np.zeros(n)
        self._compensates = bool(self.compensated.any())
        self.idle = not self._compensates
        """Nothing is taken out of anything."""

    def move(self, i: int, by: float) -> None:
        """Take so much more out of a channel."""
        self.offset[i] += by
        self.idle = not (self._compensates or self.offset.any())

    def taken(self, values: Floats) -> Floats:
        """Give the values for the models. Without a temperature the last one goes on counting."""
        out = values - self.offset
        if self._compensates:
            warm = values[self._warm]
            here = self.compensated & (warm == warm)
            fresh = here & (self._reference != self._reference)
            self._reference[fresh] = warm[fresh]  # no reference given: the first that is seen
            self._heat[here] = (self._coefficient * (warm - self._reference))[here]
            out = out - self._heat
        return np.asarray(out)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "offset": self.offset.tolist(),
            "heat": self._heat.tolist(),
            "reference": [None if v != v else v for v in self._reference.tolist()],
            "due": [[i, at_ms] for i, at_ms in self.due.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        n = len(self.offset)
        found = [np.array(state[key], dtype=float) for key in ("offset", "heat")]
        if any(len(each) != n for each in found) or len(state["reference"]) != n:
            raise ValueError("zeros of other channels")
        self.offset, self._heat = found
        kept = np.array([np.nan if v is None else v for v in state["reference"]], dtype=float)
        given = self._reference
        self._reference = np.where(given == given, given, kept)
        self.due = {int(i): int(at_ms) for i, at_ms in state["due"]}
        self.idle = not (self._compensates or self.offset.any())
