"""The long way of a row: with something missing, wrong or unusual in it, or shortly after that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.flags import BAD, NOTHING, Flag
from edge.qc_bend import Bends
from edge.qc_repeat import nats_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.evidence import Bools, Floats
    from edge.qc_agree import Agreement
    from edge.qc_jump import Jumps
    from edge.qc_ledger import Ledger
    from edge.qc_plan import QcChannel
    from edge.qc_row import Judged
    from edge.qc_swap import Swaps
    from edge.qc_track import Track
    from edge.qc_zero import Zeros

JITTER = 1.5
"""Nothing is learned from a value whose last is more than so many usual intervals ago."""
TELLS_FROM = 50
"""Readings from which on it is known how often a channel repeats itself."""


class LongWay:
    """Judges the values of a row one by one, as far as they ask for it."""

    def __init__(
        self,
        channels: Sequence[QcChannel],
        track: Track,
        zeros: Zeros,
        swaps: Swaps,
        jumps: Jumps,
        agreement: Agreement,
        ledger: Ledger,
    ) -> None:
        self.channels, self.track, self.zeros, self.swaps = channels, track, zeros, swaps
        self.jumps, self.agreement, self.ledger = jumps, agreement, ledger
        self.bends = Bends(channels, track, jumps, ledger.earlier)

    def jumping(self, judged: Judged) -> Bools:
        """Give which values are further off than noise usually is."""
        far = np.maximum(judged.off, judged.size[0]) > self.track.quick[0] * judged.wider
        return np.asarray(judged.known & ~self.track.froze & far)

    def judge(
        self, judged: Judged, jumping: Bools, told: dict[int, Flag]
    ) -> tuple[Floats, dict[int, Flag]]:
        """Judge a row; give the values for the models and the flags by channel."""
        track = self.track
        sound = judged.known & ~track.froze
        if jumping.any() and self._exchange(judged, jumping):
            jumping = sound & (judged.off > track.quick[0] * judged.wider)
        self._rezero(judged, told)
        accepted = self._jump(judged, jumping, sound, told)
        track.take(judged, accepted)
        self._learn(judged, accepted, told)
        for i in self.swaps.crossed() if self.swaps.exchanged else ():
            told[i] = told.get(i, NOTHING) | Flag.SWAPPED
        return self._given(judged.found, told), told

    def late(self, time_ms: int, found: Floats, told: dict[int, Flag], *, lies: bool) -> Floats:
        """Pass on what is older than what was; what lies far off has nothing to bear it out.

        ``lies``: its time was told before, so that nothing of it is believed.
        """
        track = self.track
        with np.errstate(invalid="ignore", divide="ignore"):
            ago = np.sqrt(np.maximum(1.0, np.abs(time_ms - track.raw_ms) / track.interval))
            far = np.abs(found - track.last) > track.limit * ago
        for i in np.flatnonzero(far | track.froze).tolist():
            told[i] = told.get(i, NOTHING) | Flag.HELD
        out = self._given(found, told)
        return np.full(len(out), np.nan) if lies else out

    def _jump(self, judged: Judged, jumping: Bools, sound: Bools, told: dict[int, Flag]) -> Bools:
        """Judge what jumps or has troubles; give which values are accepted."""
        track, here = self.track, judged.here
        track.now = np.where(here, judged.found, track.raw)
        track.now_ms = np.where(here, judged.time_ms, track.raw_ms)
        with np.errstate(invalid="ignore"):
            fast = sound & (judged.off > track.max_rate * judged.passed / 3.6e6)
        looked = {*np.flatnonzero(jumping | fast).tolist(), *self.jumps.troubles}
        accepted = here.copy()
        track.last = track.last.copy()  # after a calm row it is the last that came as well
        for i in sorted(looked):
            if i in told or not sound[i]:
                continue
            flag = self.jumps.judge(
                i, float(judged.found[i]), judged.time_ms, float(judged.grown[i]),
                too_fast=bool(fast[i]),
            )  # fmt: skip
            if flag:
                told[i] = flag
            accepted[i] = not flag & BAD
        self.bends.look(judged, sound, accepted)
        return np.asarray(accepted)

    def _learn(self, judged: Judged, accepted: Bools, told: dict[int, Flag]) -> None:
        """Find what is frozen, and learn from what is as it should be."""
        track = self.track
        moved = judged.known & accepted & ~track.froze
        track.froze = track.frozen(judged.time_ms, track.since_ms)
        calm = judged.known & (judged.grown < JITTER) & (judged.size[1] == judged.size[1])
        for i in (*filter(self.jumps.busy, self.jumps.troubles), *told):
            calm[i] = False
        for i in np.flatnonzero(judged.here & track.froze).tolist():
            told[i] = told.get(i, NOTHING) | Flag.FROZEN
            calm[i] = False
        track.learn(judged.first, judged.size, calm, moved)

    def _given(self, found: Floats, told: dict[int, Flag]) -> Floats:
        """Give what the models get."""
        out = self.zeros.taken(found)
        for i, flag in told.items():
            if flag & BAD:
                out[i] = np.nan
        return out

    def _exchange(self, judged: Judged, jumping: Bools) -> bool:
        """Find channels that changed places; read them from each other's column from here on."""
        found = judged.found
        i, j = self.swaps.find(found.tolist(), self.track, np.flatnonzero(jumping).tolist())
        if i < 0:
            return False
        back = self.swaps.exchange(i, j)
        found[[i, j]] = found[[j, i]]
        judged.measure(self.track)
        self.ledger.exchanged(i, j, judged.time_ms, back=back)
        return True

    def _rezero(self, judged: Judged, told: dict[int, Flag]) -> None:
        """Carry out what was ordered: this reading is where the last one was."""
        due = self.zeros.due
        for i in [i for i, at_ms in due.items() if judged.here[i] and judged.time_ms >= at_ms]:
            del due[i]
            by = float(judged.found[i] - self.track.last[i]) if judged.known[i] else 0.0
            self.jumps.troubles.pop(i, None)
            self.agreement.forgive(i)
            self.zeros.move(i, by)
            told[i] = told.get(i, NOTHING) | Flag.REZEROED
            self.ledger.rezero(i, by, judged.time_ms)


def row_nats(track: Track, here: Bools) -> float:
    """Give how much a row with these values tells: how unlikely it is to come again."""
    ready = here & (track.total >= TELLS_FROM) & track.steady
    return sum(nats_of(float(p)) for p in track.repeats[ready])
