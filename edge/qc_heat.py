"""Temperature taken out of a channel for as long as it answers to it otherwise than it used to.

What is new in its answer is taken out, and not what it always did: that the models know. It begins
with nothing, at the temperature at which it was found, and what it has come to when the channel is
as before stays in its zero: neither makes a value jump. An answer that is known better after a
block of the agreement does, by what it was wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.evidence import Floats
    from edge.qc_agree import Agreement
    from edge.qc_plan import QcChannel
    from edge.qc_zero import Zeros


class Heat:
    """What is taken out of the channels of one station, units of each."""

    def __init__(self, channels: Sequence[QcChannel], agreement: Agreement, zeros: Zeros) -> None:
        n = len(channels)
        self._agreement, self._zeros = agreement, zeros
        self._warm = np.array([c.temperature for c in channels])
        self._coefficient = np.zeros(n)
        self._reference = np.full(n, np.nan)
        self._taken = np.zeros(n)
        self.active = False

    @property
    def channels(self) -> tuple[int, ...]:
        """Places of the channels from which something is taken."""
        return tuple(np.flatnonzero(self._coefficient).tolist())

    def look(self) -> None:
        """Follow what the agreement found; asked after each of its blocks."""
        new = np.where(self._zeros.compensated, 0.0, self._agreement.answer())
        over = (self._coefficient != 0.0) & (new == 0.0)
        for i in np.flatnonzero(over).tolist():
            self._zeros.move(i, float(self._taken[i]))
            self._taken[i], self._reference[i] = 0.0, np.nan
        self._coefficient = new
        self.active = bool(new.any())

    def take(self, found: Floats, values: Floats) -> Floats:
        """Give the values less it; without a temperature in the row what was last taken stays."""
        warm = found[self._warm]
        here = (self._coefficient != 0.0) & (warm == warm)
        fresh = here & (self._reference != self._reference)
        self._reference[fresh] = warm[fresh]
        self._taken[here] = (self._coefficient * (warm - self._reference))[here]
        return np.asarray(values - self._taken)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "coefficient": self._coefficient.tolist(),
            "reference": [None if v != v else v for v in self._reference.tolist()],
            "taken": self._taken.tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        n = len(self._taken)
        kept = [
            np.array([np.nan if v is None else v for v in state[key]], dtype=float)
            for key in ("coefficient", "reference", "taken")
        ]
        if any(len(each) != n for each in kept):
            raise ValueError("temperature of other channels")
        self._coefficient, self._reference, self._taken = kept
        self.active = bool(self._coefficient.any())
