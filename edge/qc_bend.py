"""Bends: small spikes that only second differences show, and noise of what goes by smoothly.

A channel that rises and falls with the day makes large first differences, and hides in them what
lies far outside of its noise. Such a spike is off a line through the readings around it, and known
with the third reading after it; until then nothing is held back, and then it is taken out again.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.flags import Flag, Flagged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.evidence import Bools
    from edge.qc_jump import Jumps
    from edge.qc_plan import QcChannel
    from edge.qc_row import Judged
    from edge.qc_track import Track

JITTER = 1.5
READINGS = 6
"""Looked at together: two before the bend, it, and three after."""
MAY_BE_OFF = ((1,), (2,), (2, 3), (1, 2))
"""Which of them a spike may be."""
STRAIGHT = 0.35
"""The others lie along a line within such a share of its size."""
ALIKE = 0.5
"""The rows of a spike differ by no more than such a share of its size."""
SPAN = 10
"""Readings over which bends are counted."""
NEARLY = 0.5
"""What follows a bend counts from such a part of the limit on."""
BACK = 2.0
"""What measures movement must go back by so many sd of its bends: ground that jerks on does not."""
BENDS, TURNS = 4, 3
"""So many, so often to the other side, are noise; a spike of two rows turns twice."""


Seen = tuple[int, float, bool]
"""(time_ms, value, whether it passed)"""


class Bends:
    """The bends of one station. ``tell`` takes flags of earlier readings."""

    def __init__(
        self,
        channels: Sequence[QcChannel],
        track: Track,
        jumps: Jumps,
        tell: Callable[[Flagged], None],
    ) -> None:
        self._channels, self._track, self._jumps, self._tell = channels, track, jumps, tell
        self.pending: dict[int, list[Seen]] = {}
        """The readings around a bend, as far as they have come."""
        self._turns: dict[int, list[tuple[int, int]]] = {}
        """(time_ms, direction) of the last bends of channels that go by smoothly, within SPAN."""
        self._held: dict[int, int] = {}
        """time_ms of the last reading of each channel that did not pass."""

    @property
    def waits(self) -> bool:
        """Whether the next readings must be looked at, whatever they are."""
        return bool(self.pending or self._turns)

    def reset(self) -> None:
        """Forget all: the time line began anew."""
        self.pending.clear()
        self._turns.clear()
        self._held.clear()

    def look(self, judged: Judged, sound: Bools, passed: Bools) -> None:
        """Look at the row at hand, of which some ``passed``; the track ends with the row before."""
        told, track, size = self._follow(judged, passed), self._track, judged.size[1]
        for i, turns in list(self._turns.items()):
            if judged.time_ms - turns[-1][0] > SPAN * track.interval[i]:
                del self._turns[i]
        followed = (track.raw_ms - track.before_ms < JITTER * track.interval) & sound
        near = followed & (judged.grown < JITTER) & (size > NEARLY * track.quick[1])
        for i in np.flatnonzero(near).tolist():
            bent = bool(size[i] > track.quick[1, i])
            if (bent or i in self._turns) and self._to_and_fro(judged, i):
                self._swing(i, judged.time_ms, 1 if judged.first[i] > track.step[i] else -1)
            if bent and i not in self.pending and i not in told and not self._jumps.busy(i):
                raw_ms = int(track.raw_ms[i])
                self.pending[i] = [
                    (int(track.before_ms[i]), float(track.before[i]), True),
                    (raw_ms, float(track.raw[i]), self._held.get(i) != raw_ms),
                    (judged.time_ms, float(judged.found[i]), bool(passed[i])),
                ]
        for i in np.flatnonzero(judged.here & ~passed).tolist():
            self._held[i] = judged.time_ms

    def _follow(self, judged: Judged, passed: Bools) -> list[int]:
        """Take the readings after bends; give the channels of which all have come."""
        whole = []
        for i, seen in list(self.pending.items()):
            if not judged.known[i] or judged.grown[i] >= JITTER or self._noisy(i):
                del self.pending[i]  # nobody knows what it did
                continue
            seen.append((judged.time_ms, float(judged.found[i]), bool(passed[i])))
            if len(seen) == READINGS:
                del self.pending[i]
                whole.append(i)
                off = self._off(seen, float(self._track.quick[1, i]))
                for at_ms, _, _ in off:
                    self._tell(Flagged(at_ms, self._channels[i].name, Flag.SPIKE))
                self._jumps.undone.take_out(i, [(at_ms, by) for at_ms, by, given in off if given])
        return whole

    def _noisy(self, i: int) -> bool:
        trouble = self._jumps.troubles.get(i)
        return trouble is not None and trouble.noisy

    def _to_and_fro(self, judged: Judged, i: int) -> bool:
        """Whether a bend may be noise, in a channel whose first differences hide it."""
        track, first = self._track, float(judged.first[i])
        noise, step = float(track.scale[1, i]), float(track.step[i])
        if not noise < track.scale[0, i]:
            return False
        turned = first * step < 0 and min(abs(first), abs(step)) > BACK * noise
        return turned or not self._channels[i].moves

    def _swing(self, i: int, time_ms: int, side: int) -> None:
        """Count bends to and fro."""
        since_ms = time_ms - SPAN * self._track.interval[i]
        turns = [turn for turn in self._turns.get(i, ()) if turn[0] > since_ms]
        self._turns[i] = turns = [*turns, (time_ms, side)]
        turned = sum(a[1] != b[1] for a, b in pairwise(turns))
        if len(turns) >= BENDS and turned >= TURNS:
            self._jumps.shake(i)

    @staticmethod
    def _off(seen: list[Seen], bend: float) -> list[Seen]:
        """Give those off a line through the others, by how much; none: it is no spike."""
        found: list[Seen] = []
        best = STRAIGHT
        for places in MAY_BE_OFF:
            xs = [k for k in range(READINGS) if k not in places]
            mean_x = sum(xs) / len(xs)
            mean = sum(seen[k][1] for k in xs) / len(xs)
            slope = sum((k - mean_x) * (seen[k][1] - mean) for k in xs)
            slope /= sum((k - mean_x) ** 2 for k in xs)
            left = [v - mean - slope * (k - mean_x) for k, (_, v, _) in enumerate(seen)]
            off = [left[k] for k in places]
            size = min(abs(v) for v in off)
            alike = max(off) - min(off) <= ALIKE * size
            rest = max(abs(left[k]) for k in xs)
            if alike and size > 0.5 * bend and rest < best * size:
                best, found = rest / size, [(seen[k][0], left[k], seen[k][2]) for k in places]
        return found

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        pending = self.pending.items()
        return {
            "pending": [[i, [[at, v] for at, v, _ in seen]] for i, seen in pending],
            "passed": [[given for _, _, given in seen] for _, seen in pending],
            "turns": [[i, [list(each) for each in turns]] for i, turns in self._turns.items()],
            "held": [list(each) for each in self._held.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        pending = state["pending"]
        passed = state.get("passed", [[False] * len(seen) for _, seen in pending])
        self.pending = {
            int(i): [(int(at), float(v), bool(g)) for (at, v), g in zip(seen, given, strict=True)]
            for (i, seen), given in zip(pending, passed, strict=True)
        }
        self._held = {int(i): int(at_ms) for i, at_ms in state.get("held", ())}
        self._turns = {
            int(i): [(int(at), int(side)) for at, side in turns] for i, turns in state["turns"]
        }
