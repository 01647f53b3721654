"""A jump that no neighbour could confirm: real, or a knock on the instrument.

It counts at once, for it may be real. But it must not be what is usual of the slope from then on,
nor lie in the long windows for a week, against which nothing accelerates: one knock would keep a
sensor from telling of an end. A base window later it has been told, and is taken out again: of the
lines, of the record, of the onset. What really moves goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.movement_velocity import aged, listed

if TYPE_CHECKING:
    from edge.evidence import Bools, Floats
    from edge.movement_failure import FailureTime
    from edge.movement_onset import Onset
    from edge.movement_usual import Usual
    from edge.movement_velocity import Velocities

MOST = 8
"""Jumps of one channel under doubt; of more the first are as good as movement."""
RUN = 3.0
"""Base windows in which jumps are doubted from the first on; what jumps on does so usually."""


@dataclass(slots=True)
class Doubt:
    """One jump; the lines are [5, windows] as of now, None until it is seen."""

    channel: int
    at_ms: float
    """Of the first reading that passed."""
    by: float
    before: Floats | None = None
    """The line without the look that shows it first, and all after it."""
    with_it: Floats | None = None
    """The line with that look, and none after it."""

    def out_of(self, line: Floats) -> Floats:
        """Give a line without the jump: what came after it is lowered, the look of it left out."""
        assert self.before is not None
        assert self.with_it is not None
        after = line - self.with_it
        after[3:] -= self.by * after[:2]
        return np.asarray(self.before + after)


class Doubts:
    """Of the channels whose lines, usual speeds, onsets and ends these are."""

    def __init__(
        self, velocities: Velocities, usual: Usual, onset: Onset, failure: FailureTime,
        base_ms: int, look_ms: int,
    ) -> None:  # fmt: skip
        """Take what jumps are taken out of, the base window and the time between two looks."""
        n, self._base_ms, self._look_ms = len(usual.v_eq), base_ms, look_ms
        self._velocities, self._usual = velocities, usual
        self._onset, self._failure = onset, failure
        self.doubted: Bools = np.zeros(n, dtype=bool)
        """Where a jump still shows."""
        self._doubts: list[Doubt] = []
        self._runs: dict[int, tuple[float, float]] = {}
        """(first, last) jump of each channel, no more than RUN base windows between two."""

    def reset(self) -> None:
        """Forget all."""
        self._runs.clear()
        self._keep([])

    def _keep(self, doubts: list[Doubt]) -> None:
        self._doubts = doubts
        self.doubted.fill(False)
        self.doubted[[each.channel for each in doubts]] = True

    def begin(self, channel: int, at_ms: float, by: float) -> None:
        """Take that a channel jumped, and that nobody could confirm it."""
        first_ms, last_ms = self._runs.get(channel, (at_ms, at_ms))
        if abs(at_ms - last_ms) > RUN * self._base_ms:
            first_ms = at_ms
        self._runs[channel] = float(first_ms), float(at_ms)
        if at_ms - first_ms > RUN * self._base_ms:
            self.cancel(channel)  # of some to take out and others to leave would make a speed
            return
        mine = [each for each in self._doubts if each.channel == channel]
        first = mine[0] if len(mine) >= MOST else None
        kept = [each for each in self._doubts if each is not first]
        self._keep([*kept, Doubt(channel, float(at_ms), by)])

    def cancel(self, channel: int, at_ms: float | None = None) -> None:
        """Take that a jump was none after all, or (None) all of a channel are taken out already."""
        self._keep([
            x for x in self._doubts if x.channel != channel or at_ms not in (None, x.at_ms)
        ])  # fmt: skip

    def push(self, now_ms: float, dt_d: float, row: Floats, last_ms: float) -> Floats:
        """Let the lines take a look, whose last step is that of ``last_ms``; see `Velocities.push`.

        Once a base window has shown the last jump of a channel, all are taken out: of two the
        first alone would leave a speed of now without one of before.
        """
        lines, shown = self._velocities, []
        if not self._doubts:
            return lines.push(dt_d, row, self._onset.calm)
        self._keep([x for x in self._doubts if x.at_ms <= last_ms + self._base_ms])  # a bad clock
        for each in self._doubts:
            if each.before is not None and each.with_it is not None:
                each.before = aged(each.before, dt_d, lines.windows_d)
                each.with_it = aged(each.with_it, dt_d, lines.windows_d)
            elif each.at_ms <= last_ms:
                each.before = aged(lines.line(each.channel), dt_d, lines.windows_d)
                shown.append(each)
        weight = lines.push(dt_d, row, self._onset.calm)
        for each in shown:
            each.with_it = lines.line(each.channel)
        self._settle(now_ms)
        return weight

    def _settle(self, now_ms: float) -> None:
        """Take out what has been shown for long enough."""
        latest = {each.channel: each for each in self._doubts}
        for each in list(self._doubts):
            last = latest[each.channel]
            if last.with_it is not None and now_ms - last.at_ms >= self._base_ms:
                self._take_out(each)

    def _take_out(self, jump: Doubt) -> None:
        i, lines = jump.channel, self._velocities
        self._keep([each for each in self._doubts if each is not jump])
        lines.replace(i, jump.out_of(lines.line(i)), jump.by)
        for each in self._doubts:
            if each.channel == i and each.before is not None and each.with_it is not None:
                each.before, each.with_it = jump.out_of(each.before), jump.out_of(each.with_it)
        self._usual.forgive(i, jump.at_ms - 2 * self._look_ms)
        self._usual.begin_anew(i)
        self._onset.forgive(i)
        self._failure.end(np.arange(len(self.doubted)) == i)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        doubts = [
            [x.channel, x.at_ms, x.by, *(None if a is None else listed(a)
                                         for a in (x.before, x.with_it))]
            for x in self._doubts
        ]  # fmt: skip
        return {"doubts": doubts, "runs": [[i, *run] for i, run in self._runs.items()]}

    def restore(self, state: dict[str, Any], windows: int) -> None:
        """Continue from a snapshot of the same channels and windows; {}: there was none."""
        made = []
        self._runs = {int(i): (float(a), float(b)) for i, a, b in state.get("runs", ())}
        for i, at_ms, by, *lines in state.get("doubts", ()):
            before, with_it = (
                None if a is None else np.array(a, dtype=float).reshape(5, windows) for a in lines
            )
            if not 0 <= i < len(self.doubted) or (before is None) != (with_it is None):
                raise ValueError("doubts of other channels")
            made.append(Doubt(int(i), float(at_ms), float(by), before, with_it))
        self._keep(made)
