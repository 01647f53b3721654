"""Drift: a channel that changes its pace while those that would show it do not.

The pace of daily means, temperature taken out, over SHORT_D against that over LONG_D: by how much
it has turned. Each neighbour is asked. One that used to go along with this channel must have
turned by its usual share of it; one of which that is not known, as on ground that was at rest, must
have moved at all; one that stood still while this channel went on for long tells nothing. A channel
of which all that can tell say so, PERSIST days long, leaves its neighbours.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.evidence import Bools, Floats
    from edge.qc_plan import QcChannel

WARM_D = 30
SHORT_D, LONG_D = 10.0, 60.0
LEAVES = 0.15
"""Turn of a day, in sd of the noise of a reading; as noise alone it has WANDERS."""
WANDERS = 0.06
HOT = 2.0
"""A channel that answers to temperature otherwise than it used to is so many times less sure."""
SHARED, SHOWS = 0.4, 0.05
"""A neighbour of unknown share moves too where it turns by so much of it, and is asked only where
that is so many sd of its own noise."""
KNOWN = 11.0
"""Sum of squares of paces, in squares of its noise, from which on a channel is known to move."""
FOLLOWS = 0.1
"""A neighbour that then has gone by less than this share of it, each in its noise, is none."""
USUAL = 0.2
"""Usual shares hold to within such a part of what they say."""
ALONE = 0.5
"""The only neighbour must have turned by less than such a part of it: which of two drifts?"""
SHARES_D = 200.0
PERSIST = 10
USED_D = 60
"""A pace that has been told for so long is how it is now."""
MAX_NEIGHBOURS = 4


class Drift:
    """The paces of one station."""

    def __init__(self, channels: Sequence[QcChannel]) -> None:
        n = len(channels)
        self._judged = np.array([c.moves for c in channels], dtype=bool)
        self._warm = np.array([c.temperature for c in channels])
        pairs = [
            (i, j)
            for i, c in enumerate(channels)
            if c.moves
            for j in c.neighbours[:MAX_NEIGHBOURS]
            if channels[j].moves
        ]
        self._mine, self._theirs = np.array(pairs, dtype=int).reshape(-1, 2).T
        self._level, self._warmth = np.full(n, np.nan), np.full(n, np.nan)
        """Mean of the last day that had one, and of its temperature."""
        self._day = np.zeros(n)
        self._short, self._long = np.zeros(n), np.zeros(n)
        """Change a day, over a few days and over many."""
        self._watched = np.zeros(n)
        self._apart = np.zeros(n)
        self._told = np.zeros(n)
        self._shares = np.zeros((3, len(pairs)))
        """Sums of mine x theirs, theirs x theirs, mine x mine over SHARES_D."""
        self.leaving = np.zeros(n, dtype=bool)

    def forgive(self, i: int) -> None:
        """Learn a channel anew."""
        for array in (self._watched, self._apart, self._told, self._short, self._long):
            array[i] = 0.0
        self._shares[:, (self._mine == i) | (self._theirs == i)] = 0.0
        self.leaving[i] = False

    def end_day(
        self, day: int, level: Floats, noise: Floats, coefficient: Floats, hot: Bools
    ) -> None:
        """Take the means of a day, NaN unknown; the coefficient of temperature NaN likewise.

        After days without a value the change is theirs as well, an equal part of it a day: so the
        paces of all channels are those of the same days.
        """
        warm = np.where(self._warm >= 0, level[self._warm], np.nan)
        here, days = level == level, np.maximum(day - self._day, 1.0)
        answer = coefficient * (warm - self._warmth)
        change = level - self._level - np.where(answer == answer, answer, 0.0)
        known = (change == change) & (days <= SHORT_D)
        change = np.where(known, change / days, 0.0)
        self._level, self._warmth = (
            np.where(here, level, self._level),
            np.where(here, warm, self._warmth),
        )
        self._day = np.where(here, float(day), self._day)
        most = 3.0 * (noise + np.abs(self._short))  # a jump is no pace
        change = np.clip(change, -most, most)
        self._watched += np.where(known, days, 0.0)
        short, long = (
            1.0 - (1.0 - 1.0 / np.clip(self._watched, 1.0, most_d)) ** np.minimum(days, most_d)
            for most_d in (SHORT_D, LONG_D)
        )
        self._short += np.where(known, short * (change - self._short), 0.0)
        rests = self.leaving & (self._told < USED_D)
        self._long += np.where(known & ~rests, long * (change - self._long), 0.0)
        alone = self._alone(noise, hot, known)
        self._learn(hot | alone | ~known)
        step = np.where(known, np.where(alone, 1.0, -1.0), 0.0)
        self._apart = np.clip(self._apart + step, 0.0, 2.0 * PERSIST)
        self.leaving = (self.leaving & (self._apart > 0)) | (self._apart >= PERSIST)
        self._told = np.where(self.leaving, self._told + 1.0, 0.0)

    def _alone(self, noise: Floats, hot: Bools, known: Bools) -> Bools:
        """Find who changed its pace alone."""
        i, j = self._mine, self._theirs
        turn, unsure = self._short - self._long, np.where(hot, HOT, 1.0) * noise
        mine, theirs = np.abs(turn[i]), np.abs(turn[j])
        both, squares, own = self._shares
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = own > KNOWN * noise[i] ** 2
            none = moved & ~(both / own * noise[i] > FOLLOWS * noise[j])
            usual = ~none & (both > 0) & (squares > KNOWN * noise[j] ** 2)
            share = np.where(usual, both / squares, 0.0)
        said = share * turn[j]
        blur = share * 2.0 * WANDERS * unsure[j]
        can = np.where(usual, blur < mine, SHARED * mine > SHOWS * unsure[j])
        can &= ~none & ~self.leaving[j] & (self._watched[j] > WARM_D) & known[j]
        n, limit = len(noise), LEAVES * unsure
        witnesses = np.bincount(i[can], minlength=n)
        left = np.abs(turn[i] - said) - USUAL * np.abs(said) - blur
        sole = (witnesses[i] > 1) | (np.abs(said) < ALONE * mine)
        apart = np.where(usual, (left > limit[i]) & sole, theirs <= SHARED * mine)
        together = np.bincount(i[can & ~apart], minlength=n)
        alone = known & self._judged & (self._watched > WARM_D) & (np.abs(turn) > limit)
        return np.asarray(alone & (witnesses > 0) & (together == 0))

    def _learn(self, unsure: Bools) -> None:
        """Learn how far neighbours go along, while nothing is the matter with either."""
        sound = (self._watched > WARM_D) & ~self.leaving & (self._apart == 0) & ~unsure
        which = sound[self._mine] & sound[self._theirs]
        mine, theirs = self._short[self._mine], self._short[self._theirs]
        keep = 1.0 - 1.0 / SHARES_D
        now = np.stack((mine * theirs, theirs * theirs, mine * mine))
        self._shares = np.where(which, keep * self._shares + now, self._shares)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            name: [None if v != v else v for v in getattr(self, name).ravel().tolist()]
            for name in _KEPT
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        for name in _KEPT:
            was = getattr(self, name)
            values = [math.nan if v is None else v for v in state[name]]
            setattr(self, name, np.array(values, dtype=was.dtype).reshape(was.shape))


_KEPT = (
    "_level", "_warmth", "_day", "_short", "_long", "_watched", "_apart", "_told", "_shares",
    "leaving",
)  # fmt: skip
