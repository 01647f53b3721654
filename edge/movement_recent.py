"""The last looks at a movement: a reading that turns out a spike is taken out of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.movement_velocity import listed

if TYPE_CHECKING:
    from edge.evidence import Floats

LOOKS = 6
"""A spike shows within four readings, and each is a look at most."""
NOTHING: dict[str, Any] = {"looks": [], "due": []}
"""The snapshot of a program that kept none."""


@dataclass(frozen=True, slots=True)
class Look:
    """One of them; arrays over the channels."""

    bucket: int
    time_ms: float
    count: Floats
    """Readings that its mean holds."""
    weight: Floats
    """What its mean counted for."""
    record: Floats
    """The fastest usual speed before it."""
    onset: Floats
    """`Onset.state` before it, [3, channels]."""


class Recent:
    """The last looks, and what is to be taken out of steps that are still to come."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._looks: list[Look] = []
        self.due: dict[tuple[int, int], float] = {}
        """(channel, time_ms): how much too high that step will be."""

    def reset(self) -> None:
        """Forget the past."""
        self._looks.clear()
        self.due.clear()

    def keep(self, look: Look) -> None:
        """Take another look."""
        self._looks = [*self._looks[1 - LOOKS :], look]

    def find(self, bucket: int) -> Look | None:
        """Give the look of a stretch of time, if it is one of the last."""
        return next((look for look in self._looks if look.bucket == bucket), None)

    def since(
        self, time_ms: int, look_ms: int, each_ms: int, *, held: bool
    ) -> list[tuple[Look, float]] | None:
        """Give the looks that hold readings from a time on, and what share of each they are.

        ``each_ms``: between two readings; ``held``: the one before is not there. None where they
        reach further back than what is kept.
        """
        bucket = time_ms // look_ms
        if not any(look.bucket < bucket for look in self._looks):
            return None
        into_ms = time_ms - bucket * look_ms
        after = (look_ms - into_ms - 1) // each_ms + 1
        part = after / (after + max(0, into_ms // each_ms - held))
        return [
            (look, part if look.bucket == bucket else 1.0)
            for look in self._looks
            if look.bucket >= bucket
        ]

    def pending(self, time_ms: int, row: Floats) -> Floats:
        """Take out of a step what is due, and forget what never came."""
        out = row.copy()
        for (channel, at_ms), excess in list(self.due.items()):
            if at_ms <= time_ms:
                del self.due[channel, at_ms]
                if at_ms == time_ms:
                    out[channel] -= excess
        return out

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        looks = [
            [x.bucket, x.time_ms, listed(x.count), listed(x.weight), listed(x.record)]
            for x in self._looks
        ]
        return {
            "looks": looks,
            "onsets": [listed(x.onset) for x in self._looks],  # apart: the release before reads on
            "due": [[i, at, by] for (i, at), by in self.due.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        looks, given = [], state["looks"]
        onsets = state.get("onsets", [[None] * (3 * self._n)] * len(given))
        for (bucket, time_ms, *arrays), onset in zip(given, onsets, strict=True):
            made = [np.array(each, dtype=float) for each in arrays]
            if len(made) != 3 or any(len(each) != self._n for each in made):
                raise ValueError("looks of other channels")
            made.append(np.array(onset, dtype=float).reshape(3, self._n))
            looks.append(Look(int(bucket), float(time_ms), *made))
        self._looks = looks[-LOOKS:]
        self.due = {(int(i), int(at)): float(by) for i, at, by in state["due"]}
