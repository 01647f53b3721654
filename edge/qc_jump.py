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
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from edge.flags import NOTHING, Flag, Flagged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.qc_plan import QcChannel
    from edge.qc_track import Track

REVERT = 4
"""Readings after the first that is off within which it may come back, and was no step then."""
SHARE, STANDS_OUT = 0.3, 4.0
"""A neighbour shows such a share of a movement at least, and must be so many times less noisy."""
MOVED = 5.0
"""Sizes of its own noise from which on a neighbour has moved."""
ON_ITS_WAY = 0.5
"""Trend, in sd of first differences a reading, from which on a channel is accelerating."""
AT_ONCE = 30.0
"""...unless the jump is so many times its trend: no acceleration is as sudden."""
GOES_ON = 0.05
"""What then goes on by such a share of the jump moves, and the jump was movement too."""
BIG = 5.0
SWINGS, SWING_SPAN = 3, 10
"""So many big changes within so many readings, to and fro, are noise."""
CALM = 5
_NAN = math.nan


@dataclass(slots=True)
class Trouble:
    """What is the matter with one channel, for as long as something is."""

    held: float = _NAN
    held_ms: int = 0
    sure: float = 0.0
    """Beyond this no trend has brought it there since the last reading."""
    level: float = _NAN
    """Where it was before."""
    level_ms: float = 0.0
    trend: float = 0.0
    around: dict[int, float] = field(default_factory=dict)
    """Where its neighbours were then."""
    off: list[int] = field(default_factory=list)
    """Times of the readings off that level, while they may yet turn out a spike."""
    size: float = 0.0
    """How far off they are."""
    off_by: float = 0.0
    """The step that was taken out for them; 0.0: they passed as movement."""
    running: int = 0
    """It jumps on in this direction."""
    swings: list[list[int]] = field(default_factory=list)
    """(reading, direction) of its last big changes."""
    count: int = 0
    noisy: bool = False
    calm: int = 0
    quiet: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing is left of it."""
        return self.quiet > SWING_SPAN and not self.off and self.held != self.held


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
        self.moving: Callable[[str], bool] = _never
        """Whether the movement of a channel is known to accelerate."""
        self.troubles: dict[int, Trouble] = {}
        self.believed: dict[int, tuple[int, float]] = {}
        """(when, how much): the last jump of each channel that passed as movement."""

    def reset(self) -> None:
        """Forget all: the time line began anew."""
        self.troubles.clear()
        self.believed.clear()

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
        turns = sum(a[1] != b[1] for a, b in zip(trouble.swings, trouble.swings[1:], strict=False))
        if len(trouble.swings) >= SWINGS and turns >= SWINGS - 1:
            trouble.noisy, trouble.calm = True, 0
            if trouble.off_by:  # what looked like a step was the first of it
                self._step(i, -trouble.off_by)
            trouble.held, trouble.off, trouble.off_by, trouble.running = _NAN, [], 0.0, 0

    def _off(
        self, trouble: Trouble, i: int, value: float, time_ms: int, limit: float, wider: float,
        *, too_fast: bool,
    ) -> Flag:  # fmt: skip
        """Judge a value of a channel that is not noisy."""
        track = self._track
        if trouble.off:
            back = abs(value - trouble.level) <= min(limit, 0.5 * abs(trouble.size))
            if back and len(trouble.off) <= REVERT:
                return self._reverted(trouble, i)
            if len(trouble.off) >= REVERT:
                self._stays(trouble, i, value)
            else:
                trouble.off.append(time_ms)
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
        if trouble.running == side:  # one jump after another is no spike
            return NOTHING
        if not trouble.off:
            trouble.level, trouble.level_ms = float(track.last[i]), float(track.raw_ms[i])
            trouble.trend = float(track.trend[i])
            trouble.around = self._around(i)
        else:
            trouble.off = []
            trouble.level, trouble.around = float(track.last[i]), {}
        trouble.held, trouble.held_ms, trouble.sure = value, time_ms, limit * wider
        return Flag.HELD | (Flag.RATE if too_fast else NOTHING)

    def _borne_out(
        self, trouble: Trouble, i: int, value: float, time_ms: int, limit: float
    ) -> Flag:
        """Decide what a jump is that the second reading shows as well."""
        held, trouble.held = trouble.held, _NAN
        jump = 0.5 * (value + held) - trouble.level
        trouble.off, trouble.off_by = [trouble.held_ms, time_ms], 0.0
        trouble.size = jump
        if abs(value - held) <= limit and self._instrument(trouble, i, jump):
            trouble.off_by = jump
            trouble.running = 0
            self._step(i, jump)
            return NOTHING
        trouble.running = 1 if jump > 0 else -1
        self.believed[i] = trouble.held_ms, jump
        return NOTHING

    def _reverted(self, trouble: Trouble, i: int) -> Flag:
        """Take that a jump is gone again: it never was."""
        name = self._channels[i].name
        for at_ms in trouble.off:
            self._tell(Flagged(at_ms, name, Flag.SPIKE))
        if trouble.off_by:
            self._step(i, -trouble.off_by)
        trouble.off, trouble.off_by, trouble.held, trouble.running = [], 0.0, _NAN, 0
        return NOTHING

    def _stays(self, trouble: Trouble, i: int, value: float) -> None:
        """Take that a jump is there to stay; what goes on in its direction was none of a sensor."""
        jump = trouble.off_by
        if jump:
            on = (value - trouble.level) * math.copysign(1.0, jump) - abs(jump)
            if on > max(GOES_ON * abs(jump), STANDS_OUT * float(self._track.sd[i])):
                self._step(i, -jump)
                self.believed[i] = trouble.off[0], jump
            else:
                self._tell(Flagged(trouble.off[0], self._channels[i].name, Flag.STEP))
                self._keep(i, jump, trouble.off[0])
        trouble.off, trouble.off_by = [], 0.0

    def _around(self, i: int) -> dict[int, float]:
        """Give where each neighbour was when this channel was last where it had been."""
        track, found = self._track, {}
        at_ms = float(track.raw_ms[i])
        for j in self._channels[i].neighbours:
            for value, when in ((track.raw, track.raw_ms), (track.before, track.before_ms)):
                if value[j] == value[j] and 0 < when[j] <= at_ms:
                    found[j] = float(value[j])
                    break
        return found

    def _instrument(self, trouble: Trouble, i: int, jump: float) -> bool:
        """Whether neighbours that would show a jump are there, and none does."""
        track, mine = self._track, self._channels[i]
        sd = float(track.sd[i])
        if not mine.moves or not sd > 0 or self.moving(mine.name) or abs(jump) < trouble.sure:
            return False
        trend = abs(trouble.trend)
        if trouble.trend * jump > 0 and trend > max(ON_ITS_WAY * sd, abs(jump) / AT_ONCE):
            return False
        witnesses = 0
        for j, was in trouble.around.items():
            other = self.troubles.get(j)
            live = track.now_ms[j] >= trouble.held_ms and not (other and other.noisy)
            noise = float(track.sd[j])
            if not live or track.froze[j] or not math.isfinite(float(track.limit[j])):
                continue
            if abs(float(track.now[j]) - was) > MOVED * noise:
                return False
            if mine.unit == self._channels[j].unit:
                witnesses += SHARE * abs(jump) > STANDS_OUT * noise
            else:
                witnesses += SHARE * abs(jump) / sd > STANDS_OUT
        return witnesses > 0

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        found = {}
        for i, trouble in self.troubles.items():
            state = asdict(trouble)
            for key in ("held", "level"):
                state[key] = None if state[key] != state[key] else state[key]
            state["around"] = [[j, v] for j, v in trouble.around.items()]
            found[str(i)] = state
        believed = [[i, at_ms, by] for i, (at_ms, by) in self.believed.items()]
        return {"troubles": found, "believed": believed}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        found = {}
        for i, kept in state["troubles"].items():
            values = dict(kept)
            for key in ("held", "level"):
                values[key] = _NAN if values[key] is None else float(values[key])
            values["around"] = {int(j): float(v) for j, v in kept["around"]}
            values["off"] = [int(v) for v in kept["off"]]
            values["swings"] = [[int(a), int(b)] for a, b in kept["swings"]]
            found[int(i)] = Trouble(**values)
        self.troubles = found
        self.believed = {int(i): (int(at), float(by)) for i, at, by in state["believed"]}


def _never(_: str) -> bool:
    return False
