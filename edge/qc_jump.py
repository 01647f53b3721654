"""A jump: a spike that reverts, a step of the instrument, noise, or a slope that moves.

held       the first value that is off waits; the next reading decides
spike      the next, or one of the next REVERT, is back where it was: the jump never was
step       it stays, a live neighbour that would show it did not move, and the channel was not
           already on its way: put down to the instrument, and taken out of what the models get
movement   anything else, above all where there is no neighbour to ask: believed at once
noise      to and fro, so often: withheld until it is calm again
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from edge.flags import NOTHING, Flag, Flagged
from edge.qc_trouble import SWING_SPAN, Trouble, restored
from edge.qc_undone import Undone
from edge.qc_witness import around, unmoved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.qc_plan import QcChannel
    from edge.qc_track import Track

REVERT = 4
"""Readings after the first that is off within which it may come back, and was no step then."""
ON_ITS_WAY = 0.5
"""Trend, in sd of first differences a reading, from which on a channel is accelerating."""
AT_ONCE = 30.0
"""...unless the jump is so many times its trend: no acceleration is as sudden."""
GOES_ON, STANDS_OUT = 0.05, 4.0
"""What then goes on by such a share of the jump, and so many sd, moves: so was the jump."""
CAME_BACK = 0.3
"""It is where it was before the last reading, but for such a share of the way."""
BIG = 5.0
SWINGS = 3
"""So many big changes within SWING_SPAN readings, to and fro, are noise."""
CALM = 5
_NAN = math.nan


class Jumps:
    """The troubles of one station. ``step(channel, by, time_ms)`` takes a step out."""

    def __init__(
        self,
        channels: Sequence[QcChannel],
        track: Track,
        tell: Callable[[Flagged], None],
        step: Callable[[int, float], None],
        keep: Callable[[int, float, int], None],
    ) -> None:
        self._channels, self._track = channels, track
        self._tell, self._step, self._keep = tell, step, keep
        self.moving: Callable[[str], bool] = lambda _: False
        """Whether the movement of a channel is known to accelerate."""
        self.answer: Callable[[int], tuple[int, float]] = lambda i: (i, 0.0)
        """Place of the temperature of a channel, and its coefficient, 0.0 unknown."""
        self.undone = Undone(channels)
        self.troubles: dict[int, Trouble] = {}
        self.believed: dict[int, tuple[int, float]] = {}
        """(since when, how much): the last jump of each channel that passed as movement."""

    def reset(self) -> None:
        """Forget all: the time line began anew."""
        self.troubles.clear()
        self.believed.clear()
        self.undone.reset()

    def forgive(self, i: int) -> None:
        """Take that the jump that was believed was none of the ground: nothing is left to judge."""
        del self.believed[i]
        trouble = self.troubles.get(i)  # it may be of another jump, on trial
        if trouble is not None and not trouble.off_by and not trouble.noisy:
            del self.troubles[i]

    def busy(self, i: int) -> bool:
        """Whether a jump of a channel is under judgement."""
        trouble = self.troubles.get(i)
        return trouble is not None and bool(
            trouble.off or trouble.noisy or trouble.running or trouble.held == trouble.held
        )

    def judge(self, i: int, value: float, time_ms: int, grown: float, *, too_fast: bool) -> Flag:
        """Judge one value; ``grown``: how much longer than usual the last is ago.

        The track's ``raw`` is the value before this, ``last`` what was accepted last.
        """
        track = self._track
        trouble = self.troubles.get(i)
        wider = math.sqrt(grown)
        limit = float(track.limit[i]) * wider
        if trouble is None:
            trouble = self.troubles[i] = Trouble()
        trouble.count += 1
        trouble.quiet += 1
        self._swing(trouble, i, value - float(track.raw[i]), wider)
        if trouble.noisy:
            if trouble.calm < CALM:
                return Flag.NOISE
            trouble.noisy, trouble.swings = False, []
            track.last[i] = value
            return NOTHING
        flag = self._off(trouble, i, value, time_ms, limit, wider, too_fast=too_fast)
        if not flag & (Flag.HELD | Flag.RATE):
            track.last[i] = value
        if trouble.over:
            del self.troubles[i]
        return flag

    def shake(self, i: int) -> None:
        """Take that a channel is noisy, or still is, as its bends show."""
        trouble = self.troubles.setdefault(i, Trouble())
        if not trouble.noisy and trouble.off_by:
            self._step(i, -trouble.off_by)
        trouble.noisy, trouble.calm, trouble.quiet = True, 0, 0
        trouble.held, trouble.off, trouble.off_by, trouble.running = _NAN, [], 0.0, 0

    def _swing(self, trouble: Trouble, i: int, change: float, grown: float) -> None:
        """Count big changes to and fro."""
        track = self._track
        big = BIG * float(track.sd[i]) * grown
        sure = math.isfinite(float(track.limit[i])) and bool(track.steady[i])
        if trouble.noisy:
            trouble.calm = trouble.calm + 1 if abs(change) <= big else 0
        if not sure or not abs(change) > max(big, 0.6 * float(track.limit[i]) * grown):
            return
        trouble.quiet = 0
        swings = [each for each in trouble.swings if each[0] > trouble.count - SWING_SPAN]
        trouble.swings = [*swings, [trouble.count, 1 if change > 0 else -1]][-SWING_SPAN:]
        turns = sum(a[1] != b[1] for a, b in pairwise(trouble.swings))
        if len(trouble.swings) >= SWINGS and turns >= SWINGS - 1:
            self.shake(i)  # what looked like a step was the first of it

    def _off(
        self, trouble: Trouble, i: int, value: float, time_ms: int, limit: float, wider: float,
        *, too_fast: bool,
    ) -> Flag:  # fmt: skip
        """Judge a value of a channel that is not noisy."""
        track = self._track
        if trouble.off:
            near = min(limit, 0.5 * abs(trouble.size))
            back = abs(value - trouble.level) <= near or self._on_its_way(
                trouble, i, value, time_ms, near
            )
            if back and len(trouble.off) <= REVERT:
                return self._reverted(trouble, i)
            if len(trouble.off) >= REVERT:
                self._stays(trouble, i, value, time_ms)
            else:
                trouble.off.append(time_ms)
                trouble.passed.append((time_ms, value - trouble.level))
        jump = value - float(track.last[i])
        if trouble.held == trouble.held:
            jump, was = value - trouble.level, trouble.held - trouble.level
            if jump * was > 0 and abs(jump) > min(limit, 0.5 * abs(was)):
                return self._borne_out(trouble, i, value, time_ms, limit)
            self._tell(Flagged(trouble.held_ms, self._channels[i].name, Flag.SPIKE))
            trouble.held = _NAN
            if abs(jump) <= limit:
                return NOTHING  # else off to the other side: this one waits as well
        side = 1 if jump > 0 else -1
        if not (abs(jump) > limit or too_fast):
            trouble.running = 0
            return NOTHING
        trouble.quiet = 0
        goes_on = trouble.running == side or self._goes_on(trouble, i, jump, time_ms)
        if goes_on or (not trouble.off and self._came_back(i, value)):
            return NOTHING  # one jump after another is no spike
        if not trouble.off:
            trouble.level, trouble.level_ms = float(track.last[i]), float(track.raw_ms[i])
            trouble.trend = float(track.trend[i])
            trouble.warm = float(track.now[self.answer(i)[0]])
            trouble.around = around(self._channels, track, i)
        else:
            trouble.off = []
            trouble.level, trouble.around = float(track.last[i]), {}
        trouble.held, trouble.held_ms, trouble.sure = value, time_ms, limit * wider
        return Flag.HELD | (Flag.RATE if too_fast else NOTHING)

    def _goes_on(self, trouble: Trouble, i: int, jump: float, time_ms: int) -> bool:
        """Whether a channel that is known to accelerate jumps on: its last reading may not wait."""
        if not (float(self._track.trend[i]) * jump > 0 and self.moving(self._channels[i].name)):
            return False
        trouble.around, trouble.held_ms = around(self._channels, self._track, i), time_ms
        self._believe(trouble, i, jump, time_ms)
        trouble.off, trouble.passed = [], []
        return True

    def _believe(self, trouble: Trouble, i: int, jump: float, time_ms: int) -> None:
        """Let a jump pass as movement, in doubt where no neighbour shows it."""
        trouble.running = 1 if jump > 0 else -1
        self.believed[i] = time_ms, jump
        track, near, since_ms = self._track, self._channels[i].neighbours, trouble.held_ms
        live = any(track.now_ms[j] >= since_ms and not track.froze[j] for j in near)
        known = bool(trouble.around) or not live  # where neighbours were then may not be
        if known and unmoved(self._channels, track, self.troubles, i, jump) >= 0:
            self.undone.leave_in_doubt(i, time_ms, jump)

    def _on_its_way(
        self, trouble: Trouble, i: int, value: float, time_ms: int, near: float
    ) -> bool:
        """Whether it jumped back to where its trend has brought it meanwhile."""
        track, change = self._track, value - float(self._track.raw[i])
        if change * trouble.size > 0 or abs(change) < 0.5 * abs(trouble.size):
            return False
        passed = (time_ms - trouble.level_ms) / max(1.0, float(track.interval[i]))
        return abs(value - trouble.level - trouble.trend * passed) <= near

    def _came_back(self, i: int, value: float) -> bool:
        """Whether it was the reading before that was off, by just less than what is held back."""
        track = self._track
        was, name = float(track.raw[i]), self._channels[i].name
        up, down = was - float(track.before[i]), value - was
        if not (up * down < 0 and abs(up + down) < CAME_BACK * min(abs(up), abs(down))):
            return False
        at_ms = int(track.raw_ms[i])
        self._tell(Flagged(at_ms, name, Flag.SPIKE))
        self.undone.take_out(i, [(at_ms, up)])
        return True

    def _borne_out(
        self, trouble: Trouble, i: int, value: float, time_ms: int, limit: float
    ) -> Flag:
        """Decide what a jump is that the second reading shows as well."""
        held, trouble.held = trouble.held, _NAN
        jump = 0.5 * (value + held) - trouble.level
        trouble.off, trouble.off_by = [trouble.held_ms, time_ms], 0.0
        trouble.passed = [(time_ms, value - trouble.level)]
        trouble.size = jump
        sure = max(abs(jump), abs(held - trouble.level)) >= trouble.sure
        if sure and abs(value - held) <= limit and self._instrument(trouble, i, jump):
            trouble.off_by = jump
            trouble.running = 0
            self._step(i, jump)
            return NOTHING
        self._believe(trouble, i, jump, time_ms)  # what was held never passed
        return NOTHING

    def _reverted(self, trouble: Trouble, i: int) -> Flag:
        """Take that a jump is gone again: it never was."""
        name = self._channels[i].name
        for at_ms in trouble.off:
            self._tell(Flagged(at_ms, name, Flag.SPIKE))
        if trouble.off_by:
            self._step(i, -trouble.off_by)
        else:
            self.undone.take_out(i, trouble.passed)
        if i in self.believed and self.believed[i][0] in trouble.off:
            self.undone.leave_in_doubt(i, self.believed[i][0], 0.0)
            del self.believed[i]  # or an order would take it out once more
        trouble.off, trouble.off_by, trouble.held, trouble.running = [], 0.0, _NAN, 0
        trouble.passed = []
        return NOTHING

    def _stays(self, trouble: Trouble, i: int, value: float, time_ms: int) -> None:
        """Take that a jump is there to stay; what goes on in its direction was none of a sensor.

        What the temperature has done meanwhile is not the jump that goes on.
        """
        jump = trouble.off_by
        if jump:
            warm, coefficient = self.answer(i)
            side = math.copysign(1.0, jump)
            heat = side * coefficient * (float(self._track.now[warm]) - trouble.warm)
            on = side * (value - trouble.level) - abs(jump) - max(0.0, heat)
            if on > max(GOES_ON * abs(jump), STANDS_OUT * float(self._track.sd[i])):
                self._step(i, -jump)
                self.believed[i] = time_ms, jump  # until now it had been taken out
            else:
                self._tell(Flagged(trouble.off[0], self._channels[i].name, Flag.STEP))
                self._keep(i, jump, trouble.off[0])
        trouble.off, trouble.off_by, trouble.passed = [], 0.0, []

    def _instrument(self, trouble: Trouble, i: int, jump: float) -> bool:
        """Whether neighbours that would show a jump are there, and none does."""
        track, mine = self._track, self._channels[i]
        sd = float(track.sd[i])
        if not mine.moves or not sd > 0 or self.moving(mine.name):
            return False
        warm, coefficient = self.answer(i)
        trend = trouble.trend - coefficient * float(track.trend[warm])
        if trend * jump > 0 and abs(trend) > max(ON_ITS_WAY * sd, abs(jump) / AT_ONCE):
            return False
        return unmoved(self._channels, track, self.troubles, i, jump) > 0

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        found = {str(i): trouble.snapshot() for i, trouble in self.troubles.items()}
        believed = [[i, at_ms, by] for i, (at_ms, by) in self.believed.items()]
        return {"troubles": found, "believed": believed, "out": self.undone.snapshot()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        self.troubles = {int(i): restored(kept) for i, kept in state["troubles"].items()}
        self.believed = {int(i): (int(at), float(by)) for i, at, by in state["believed"]}
        self.undone.restore(state.get("out", []))
