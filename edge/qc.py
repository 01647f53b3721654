"""Quality control: what of a row the models may believe, and what is said of the rest.

Causal and O(1) a row. Telemetry shows every value as it came; the models get NaN for what is held
back or refused, and a value from which a step of the instrument or temperature has been taken out.
A row with nothing wrong goes the short way, of `qc_calm`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.flags import Flag, Flagged
from edge.qc_agree import Agreement
from edge.qc_calm import Calm
from edge.qc_heat import Heat
from edge.qc_jump import Jumps
from edge.qc_ledger import Ledger, when
from edge.qc_long import LongWay, row_nats
from edge.qc_repeat import ROWS, Repeats
from edge.qc_row import Judged
from edge.qc_rows import Rows
from edge.qc_swap import Swaps
from edge.qc_track import Track
from edge.qc_zero import Rezeroed, Zeros

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.qc_plan import QcChannel

MAX_DUE = 64
JITTER = 1.5
"""A row that comes later than so many usual intervals goes the long way."""

Judgement = tuple[list[float], tuple[Flagged, ...]]


class QualityControl:
    """Quality control of one station. ``refused`` is shared with the calibration's rejections."""

    def __init__(
        self,
        channels: Sequence[QcChannel],
        refused: dict[tuple[str, str], int],
        rows_kept: int = ROWS,
    ) -> None:
        self.channels = tuple(channels)
        gaps = [c.gap_after_ms for c in channels if c.gap_after_ms == c.gap_after_ms]
        self._rows = Rows(min(gaps, default=math.nan))
        self._repeats = Repeats(rows_kept)
        self.track = Track(channels)
        self.zeros = Zeros(channels)
        self.swaps = Swaps(channels)
        self.agreement = Agreement(channels)
        self.heat = Heat(channels, self.agreement, self.zeros)
        self.ledger = Ledger(channels, self.zeros, self.agreement, refused)
        self.jumps = Jumps(
            channels, self.track, self.ledger.earlier, self.zeros.move, self.ledger.step
        )
        self.jumps.answer = self._answer
        self._long = LongWay(
            channels, self.track, self.zeros, self.swaps, self.jumps, self.agreement, self.ledger
        )
        self._calm = Calm(self.track)
        self._nats, self._nats_due = 0.0, 0
        self._whole = self._clock = False
        self._last_ms = self._before_ms = 0

    def reset(self) -> None:
        """Forget values and times: the time line began anew. What was learned is kept."""
        self._rows.reset()
        self._calm.leave()
        self.track.reset()
        self.jumps.reset()
        self._long.bends.reset()
        self.agreement.reset()
        self._whole, self._clock = False, True

    @property
    def refused(self) -> dict[tuple[str, str], int]:
        """Values that the models did not get as they came, by (channel, why)."""
        return self.ledger.refused

    @property
    def notes(self) -> list[str]:
        """What people must hear of and have not yet; `drain` empties it."""
        return self.ledger.notes

    def drain(self) -> list[str]:
        """Give the notes, once."""
        notes, self.ledger.notes = self.ledger.notes, []
        return notes

    def refuse_time(self) -> None:
        """Take that a row was refused for its time: the next accepted says so."""
        self._clock = True

    def apply(
        self,
        time_ms: int,
        values: list[float],
        source: str = "",
        flags: Sequence[tuple[int, Flag]] = (),
    ) -> tuple[list[float], tuple[Flagged, ...]]:
        """Judge one row; give the values for the models, and all flags.

        Args:
            time_ms: of the row.
            values: a value a channel, NaN missing.
            source: the port it came from: each has its own cadence.
            flags: (place, MISSING or RANGE) of what calibration did not give.

        """
        row = self._rows.look(source, time_ms, values)
        if self._clock:
            row |= Flag.CLOCK
            self._clock = False
        calm = (
            self._whole
            and not (row or flags or self.jumps.troubles or self.zeros.due or self.swaps.exchanged)
            and time_ms - self._last_ms <= JITTER * self._rows.interval_ms
        )
        if calm and self._calm.near(time_ms, values):
            if self._repeats.look(values, self._full_nats(), jumps=False):
                return self._refuse_row(time_ms, Flag.DUPLICATE)
            return self._pass(time_ms, values)
        return self._judge(time_ms, values, row, flags)

    def _pass(self, time_ms: int, values: list[float]) -> Judgement:
        """Take a whole row with nothing wrong in it."""
        self._calm.take(values)
        self._before_ms, self._last_ms = self._last_ms, time_ms
        out = values if self.zeros.idle else self.zeros.taken(np.array(values)).tolist()
        if self.agreement.push_whole(time_ms, out, self.track.sd):
            self._look()
        if self.heat.active:
            out = self.heat.take(np.array(values), np.array(out)).tolist()
        return out, self.ledger.lasting(time_ms)

    def _full_nats(self) -> float:
        """Give how much a whole row tells; renewed now and then."""
        self._nats_due -= 1
        if self._nats_due <= 0:
            self._nats_due = 64
            self._calm.give_back()
            self._nats = row_nats(self.track, np.ones(len(self.channels), dtype=bool))
        return self._nats

    def _judge(
        self, time_ms: int, values: list[float], row: Flag, flags: Sequence[tuple[int, Flag]]
    ) -> Judgement:
        """Judge a row with something missing, wrong or unusual in it."""
        if row & Flag.DUPLICATE:
            return self._refuse_row(time_ms, row)
        track = self.track
        if self._whole:
            track.sync(self._last_ms, self._before_ms)
        self._calm.leave()
        found = np.array(values)[self.swaps.route] if self.swaps.exchanged else np.array(values)
        if row & Flag.LATE:
            told = dict(flags)
            self._repeats.keep([v for v in values if v == v])
            out = self._long.late(time_ms, found, told, lies=bool(row & Flag.CLOCK))
            out = self.heat.take(found, out) if self.heat.active else out
            return out.tolist(), self.ledger.close(time_ms, row, told)
        judged = Judged(time_ms, found, track)
        jumping = self._long.jumping(judged)
        present, nats = [v for v in values if v == v], row_nats(track, judged.here)
        if len(present) > 1 and self._repeats.look(present, nats, jumps=bool(jumping.any())):
            return self._refuse_row(time_ms, row | Flag.DUPLICATE)
        out, told = self._long.judge(judged, jumping, dict(flags))
        self._before_ms, self._last_ms = int(track.before_ms.max()), time_ms
        waits = self._long.bends.waits
        self._whole = bool(judged.here.all()) and not track.froze.any() and not waits
        if self.agreement.push(time_ms, out, track.sd):
            self._look()
        if self.heat.active:
            out = self.heat.take(judged.found, out)
        return out.tolist(), self.ledger.close(time_ms, row, told)

    def _answer(self, i: int) -> tuple[int, float]:
        """Give the place of the temperature of a channel, and its coefficient, 0.0 unknown."""
        warm, answer = self.channels[i].temperature, float(self.agreement.coefficient[i])
        return (warm, answer) if warm >= 0 and answer == answer else (i, 0.0)

    def _look(self) -> None:
        """Look at slow faults anew."""
        self.ledger.look()
        self.heat.look()

    def _refuse_row(self, time_ms: int, row: Flag) -> Judgement:
        return [math.nan] * len(self.channels), self.ledger.close(time_ms, row, {})

    def rezero(self, channel: str, at_ms: int) -> Rezeroed:
        """Take what a channel reads from a time on for where it was before.

        A jump that was believed at about that time is taken out at once; give how much, for whoever
        has seen it. Otherwise the next reading from then on is the new zero. ValueError: no such
        channel.
        """
        i = [c.name for c in self.channels].index(channel)
        at, each_ms = self.jumps.believed.get(i), float(self.track.interval[i])
        if at is not None and abs(at[0] - at_ms) <= 2.0 * each_ms + 1.0:
            self.jumps.forgive(i)
            self._long.bends.pending.pop(i, None)
            self.zeros.move(i, at[1])
            self.agreement.forgive(i)
            self.ledger.rezero(i, at[1], at[0])
            return Rezeroed(at[1], at[0], round(each_ms))
        if len(self.zeros.due) < MAX_DUE:
            self.zeros.due[i] = at_ms
            self.notes.append(f"{channel}: re-zero ordered from {when(at_ms)} on")
        return Rezeroed(0.0, at_ms, 0)

    def learned(self) -> dict[str, dict[str, Any]]:
        """Give what each channel is taken for, and what is taken out of it."""
        track, coefficient = self.track, self.agreement.coefficient
        crossed = set(self.swaps.crossed())
        return {
            channel.name: {
                "noise_sd": float(track.sd[i]) / math.sqrt(2.0),
                "resolution": float(track.grain[i]),
                "hold_limit": float(track.limit[i]),
                "temperature_coefficient": float(coefficient[i]),
                "offset": float(self.zeros.offset[i]),
                "compensated": bool(self.zeros.compensated[i]),
                "exchanged": i in crossed,
            }
            for i, channel in enumerate(self.channels)
        }

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        if self._whole:
            self.track.sync(self._last_ms, self._before_ms)
        self._calm.give_back()
        return {
            "rows": self._rows.snapshot(),
            "repeats": self._repeats.snapshot(),
            "track": self.track.snapshot(),
            "zeros": self.zeros.snapshot(),
            "jumps": self.jumps.snapshot(),
            "bends": self._long.bends.snapshot(),
            "route": list(self.swaps.route),
            "agreement": self.agreement.snapshot(),
            "heat": self.heat.snapshot(),
            "ledger": self.ledger.snapshot(),
            "nats": [self._nats, self._nats_due],
            "whole": self._whole,
            "clock": self._clock,
            "times": [self._last_ms, self._before_ms],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        self._calm.leave()
        self.swaps.restore([int(i) for i in state["route"]])
        self._rows.restore(state["rows"])
        self._repeats.restore(state["repeats"])
        self.track.restore(state["track"])
        self.zeros.restore(state["zeros"])
        self.jumps.restore(state["jumps"])
        self._long.bends.restore(state["bends"])
        self.agreement.restore(state["agreement"])
        self.heat.restore(state["heat"])
        self.ledger.restore(state["ledger"])
        nats, due = state["nats"]
        self._nats, self._nats_due = float(nats), int(due)
        self._whole, self._clock = bool(state["whole"]), bool(state["clock"])
        self._last_ms, self._before_ms = (int(v) for v in state["times"])
