"""Slow faults: a channel that leaves its neighbours, or answers to temperature as never before.

Every BLOCK of hours the means of the values are looked at; whatever this costs is little a reading.

temperature   change from block to block against that of the temperature: a recursive least squares
              fit over FAST_D against one over SLOW_D, which rests while they differ; what lies far
              off is cut short, for the ground that moves on a warm day does not answer to it
drift         the means of days, temperature taken out, against the neighbours: see qc_drift
"""

from __future__ import annotations

import math
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.flags import NOTHING, Flag
from edge.qc_answer import DAY_BLOCKS, Answer
from edge.qc_drift import Drift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.evidence import Floats
    from edge.qc_plan import QcChannel

HOUR_MS = 3_600_000
BLOCK_MS = 3 * HOUR_MS


class Agreement:
    """The slow faults of one station."""

    def __init__(self, channels: Sequence[QcChannel]) -> None:
        n = len(channels)
        self._channels = channels
        self._warm = np.array([c.temperature for c in channels])
        self._judged = np.array([c.moves for c in channels], dtype=bool)
        self._heated = self._judged & (self._warm >= 0)
        self._sum, self._count = np.zeros(n), np.zeros(n)
        self._sums: list[float] = []
        """`_sum` while rows are whole, in plain floats; empty where it is not newer."""
        self._block, self._wholes = -1, 0
        self._mean = np.full(n, np.nan)
        self._day_sum, self._day_count, self._blocks = np.zeros(n), np.zeros(n), 0
        self._day = -1
        self._answers = [Answer() for _ in channels]
        self._warm_of = [
            warm if heated else -1
            for warm, heated in zip(self._warm.tolist(), self._heated.tolist(), strict=True)
        ]
        self._tell()
        self.drift = Drift(channels)

    def reset(self) -> None:
        """Let go of the block at hand: the time line began anew."""
        self._sums = []
        for array in (self._sum, self._count, self._day_sum, self._day_count):
            array.fill(0.0)
        self._block = self._day = -1
        self._blocks = self._wholes = 0
        self._mean.fill(np.nan)

    def push(self, time_ms: int, values: Floats, noise: Floats) -> bool:
        """Take what the models get of one row; whether a block ended and flags may be others."""
        ended = time_ms // BLOCK_MS != self._block and self._turn(time_ms // BLOCK_MS, noise)
        here = values == values
        self._gather()
        self._sum[here] += values[here]
        self._count[here] += 1.0
        return ended

    def push_whole(self, time_ms: int, values: list[float], noise: Floats) -> bool:
        """Take a row with nothing missing."""
        ended = time_ms // BLOCK_MS != self._block and self._turn(time_ms // BLOCK_MS, noise)
        sums = self._sums or self._sum.tolist()
        self._sums = list(map(add, sums, values))
        self._wholes += 1
        return ended

    def _gather(self) -> None:
        """Put the sums of whole rows where they belong."""
        if self._sums:
            self._sum[:] = self._sums
            self._sums = []

    def _turn(self, block: int, noise: Floats) -> bool:
        """Begin another block."""
        self._gather()
        ended = 0 <= self._block < block
        if ended:
            self._count += self._wholes
            self._close(block == self._block + 1, noise)
        self._block, self._wholes = block, 0
        self._sum.fill(0.0)
        self._count.fill(0.0)
        return ended

    def _close(self, next_follows: bool, noise: Floats) -> None:
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(self._count > 0, self._sum / self._count, np.nan)
        change = mean - self._mean
        self._mean = mean if next_follows else np.full(len(mean), np.nan)
        self._heat(change, noise)
        day = self._block * BLOCK_MS // (DAY_BLOCKS * BLOCK_MS)
        if day != self._day:
            if self._day >= 0 and self._blocks:
                self._end_day(noise)
            self._day, self._blocks = day, 0
            self._day_sum.fill(0.0)
            self._day_count.fill(0.0)
        here = mean == mean
        self._day_sum[here] += mean[here]
        self._day_count[here] += 1.0
        self._blocks += 1

    def _heat(self, change: Floats, noise: Floats) -> None:
        """Renew the coefficients of temperature."""
        changes, sd = change.tolist(), noise.tolist()
        for i, (each, warm) in enumerate(zip(self._answers, self._warm_of, strict=True)):
            each.renew(changes[i], math.nan if warm < 0 else changes[warm], sd[i])
        self._tell()

    def _tell(self) -> None:
        self.hot = np.array([each.hot for each in self._answers], dtype=bool)
        self.coefficient = np.array([each.coefficient for each in self._answers])

    def _end_day(self, noise: Floats) -> None:
        """Look at the paces of a day."""
        with np.errstate(invalid="ignore", divide="ignore"):
            level = np.where(
                self._day_count >= DAY_BLOCKS // 2, self._day_sum / self._day_count, np.nan
            )
        coefficient = np.where(self._heated, self.coefficient, np.nan)
        self.drift.end_day(self._day, level, noise, coefficient, self.hot)

    def answer(self) -> Floats:
        """Give what is new in the answer of each channel to temperature, unit a degC, or 0.0."""
        return np.array([each.new for each in self._answers])

    def flag(self, i: int) -> Flag:
        """Give the slow flags of a channel."""
        found = Flag.DRIFT if self.drift.leaving[i] else NOTHING
        return found | (Flag.TEMPERATURE if self.hot[i] else NOTHING)

    def state(self) -> bytes:
        """Give something that changes with the flags."""
        return self.drift.leaving.tobytes() + self.hot.tobytes()

    def forgive(self, i: int) -> None:
        """Learn a channel anew: it was re-zeroed, or replaced."""
        self.drift.forgive(i)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        self._gather()
        kept = {name: _list(array) for name, array in self._kept().items()}
        return {
            **kept,
            "block": self._block,
            "day": self._day,
            "blocks": self._blocks,
            "wholes": self._wholes,
            "drift": self.drift.snapshot(),
        }

    def _kept(self) -> dict[str, Any]:
        """Give all arrays, by the names they have in a snapshot."""
        answers = self._answers
        fits = np.array([[each.fast, each.slow] for each in answers]).reshape(-1, 2, 3)
        return {
            **{name: getattr(self, name) for name in _SUMS},
            "_fit": fits.transpose(1, 2, 0),
            "_drift": np.array([each.drift for each in answers]),
            "_heated_d": np.array([each.heated_d for each in answers]),
            "coefficient": self.coefficient,
            "hot": self.hot,
            "_healing": np.array([each.healing for each in answers]),
            "_usual": np.array([each.usual for each in answers]),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        self._sums = []
        found = {}
        for name, was in self._kept().items():
            values = [math.nan if v is None else v for v in state[name]]
            found[name] = np.array(values, dtype=was.dtype).reshape(was.shape)
        for name in _SUMS:
            setattr(self, name, found[name])
        for i, each in enumerate(self._answers):
            each.fast, each.slow = found["_fit"][:, :, i].tolist()
            each.coefficient, each.hot = float(found["coefficient"][i]), bool(found["hot"][i])
            for name in _OF_ANSWERS:
                setattr(each, name, float(found[f"_{name}"][i]))
        self._tell()
        self._block, self._day = int(state["block"]), int(state["day"])
        self._blocks, self._wholes = int(state["blocks"]), int(state["wholes"])
        self.drift.restore(state["drift"])


_SUMS = ("_sum", "_count", "_mean", "_day_sum", "_day_count")
_OF_ANSWERS = ("drift", "heated_d", "healing", "usual")


def _list(array: Any) -> list[Any]:
    return [None if v != v else v for v in array.ravel().tolist()]
