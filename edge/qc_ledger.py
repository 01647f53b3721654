"""What quality control has to say: flags, counts, and notes that are told once."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

from edge.flags import NOTHING, Flag, Flagged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.qc_agree import Agreement
    from edge.qc_plan import QcChannel
    from edge.qc_zero import Zeros

_COUNTED = (Flag.FROZEN, Flag.NOISE, Flag.RATE)
"""Counted for each value; spikes and steps once they are known."""
MOST = 0.5
"""A row in which such a share of the channels, and three, were off together was none of them."""
MAX_SPIKED = 16
_SLOW_TEXTS = {
    Flag.DRIFT: "leaves its neighbours: it drifts, or moves alone",
    Flag.TEMPERATURE: "answers to temperature otherwise than it used to; what is new is taken out",
}


class Ledger:
    """The flags of one station. ``refused`` counts (channel, flag); ``notes`` waits to be told."""

    def __init__(
        self,
        channels: Sequence[QcChannel],
        zeros: Zeros,
        agreement: Agreement,
        refused: dict[tuple[str, str], int],
    ) -> None:
        self._channels, self._zeros, self._agreement = channels, zeros, agreement
        self.refused = refused
        self.notes: list[str] = []
        self._earlier: list[Flagged] = []
        self._together: dict[int, set[str]] = {}
        """The channels that turned out spikes, by the time of their rows."""
        self._most = max(3, math.ceil(MOST * sum(c.steady for c in channels)))
        self._slow = [NOTHING] * len(channels)
        self._state = agreement.state()
        self._slow_row: tuple[tuple[str, Flag], ...] = ()

    def count(self, channel: str, what: str) -> None:
        """Count a value that the models did not get as it came."""
        key = channel, what
        self.refused[key] = self.refused.get(key, 0) + 1

    def earlier(self, flagged: Flagged) -> None:
        """Take a flag of an earlier reading: it is given with the row at hand, once."""
        spike = bool(flagged.flags & Flag.SPIKE)
        known = self._together.get(flagged.time_ms, set()) if spike else set()
        if flagged not in self._earlier and flagged.channel not in known:
            self._earlier.append(flagged)
            self.count(flagged.channel, flagged.flags.texts[0])
            if spike:
                self._spiked(flagged)

    def _spiked(self, flagged: Flagged) -> None:
        """Take that most channels were off in one row and came back: it was another's row."""
        seen = self._together.setdefault(flagged.time_ms, set())
        seen.add(flagged.channel)
        if len(self._together) > MAX_SPIKED:
            del self._together[min(self._together)]
        if len(seen) == self._most:
            self._earlier.append(Flagged(flagged.time_ms, "", Flag.DUPLICATE))
            self.count("row", Flag.DUPLICATE.texts[0])

    def step(self, i: int, by: float, at_ms: int) -> None:
        """Tell of a step that is put down to the instrument."""
        what = "a step of the instrument, no neighbour moved with it"
        self.notes.append(f"{self._taken_out(i, by)} from {when(at_ms)} on: {what}")

    def rezero(self, i: int, by: float, at_ms: int) -> None:
        """Tell of a re-zero that was carried out."""
        self.notes.append(f"{self._taken_out(i, by)} from {when(at_ms)} on, by order")

    def exchanged(self, i: int, j: int, at_ms: int, *, back: bool) -> None:
        """Tell of two channels that changed places."""
        what = "are back in their places" if back else "are exchanged: read the other way round"
        names = f"{self._channels[i].name} and {self._channels[j].name}"
        self.notes.append(f"{names} {what} from {when(at_ms)} on")

    def _taken_out(self, i: int, by: float) -> str:
        channel, total = self._channels[i], float(self._zeros.offset[i])
        unit = channel.unit
        return f"{channel.name}: {by:+.6g} {unit} taken out ({total:+.6g} {unit} in all)"

    def look(self) -> None:
        """Look whether a slow fault has come or gone, and say so."""
        state = self._agreement.state()
        if state == self._state:
            return
        row, self._state = [], state
        for i, channel in enumerate(self._channels):
            now, was = self._agreement.flag(i), self._slow[i]
            for flag, text in _SLOW_TEXTS.items():
                if flag & now & ~was:
                    self.notes.append(f"{channel.name} {text}")
                elif flag & was & ~now:
                    self.notes.append(f"{channel.name} no longer {text}")
            self._slow[i] = now
            if now:
                row.append((channel.name, now))
        self._slow_row = tuple(row)

    def lasting(self, time_ms: int) -> tuple[Flagged, ...]:
        """Give the flags of slow faults for a row with nothing else wrong."""
        if not self._slow_row:
            return ()
        return tuple(Flagged(time_ms, name, flag) for name, flag in self._slow_row)

    def close(self, time_ms: int, row: Flag, told: dict[int, Flag]) -> tuple[Flagged, ...]:
        """Give all flags of a row, and count them."""
        found = [Flagged(time_ms, "", row)] if row else []
        for i, flag in sorted(told.items()):
            name = self._channels[i].name
            found.append(Flagged(time_ms, name, flag))
            for each in _COUNTED:
                if flag & each:
                    self.count(name, each.texts[0])
        for each in (Flag.DUPLICATE, Flag.CLOCK):
            if row & each:
                self.count("row", each.texts[0])
        found += self._earlier
        self._earlier = []
        return (*found, *self.lasting(time_ms))

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "slow": [int(flag) for flag in self._slow],
            "notes": list(self.notes),
            "together": [[at_ms, sorted(seen)] for at_ms, seen in self._together.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot, after the agreement has."""
        slow = [Flag(int(v)) for v in state["slow"]]
        if len(slow) != len(self._channels):
            raise ValueError("flags of other channels")
        self._slow, self._state = slow, self._agreement.state()
        named = zip(self._channels, slow, strict=True)
        self._slow_row = tuple((channel.name, flag) for channel, flag in named if flag)
        self.notes = [str(note) for note in state["notes"]]
        self._together = {int(at_ms): {str(c) for c in seen} for at_ms, seen in state["together"]}


def when(time_ms: int) -> str:
    """Say a time."""
    days, rest = divmod(time_ms, 86_400_000)
    date = dt.date(1970, 1, 1) + dt.timedelta(days=days)
    return f"{date.isoformat()} {rest // 3_600_000:02}:{rest // 60_000 % 60:02} UTC"
