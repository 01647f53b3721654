"""Naive forecasts, streaming: the rivals of the GRU, its anchors, and what is armed without it.

The same code makes them in training and in the field. All look at the past alone:

    persistence     nothing moves
    drift           the mean increment of the history goes on
    last_increment  what it did over the last h steps, it does over the next
    linear          the least-squares slope of the last window goes on
    seasonal        what it did a season ago, it does again; drift where that is not known
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAN = float("nan")


class Naive:
    """A naive forecast for each target and horizon.

    ``kinds`` [targets * horizons]; ``drift`` (per step) is one a target.
    """

    def __init__(
        self,
        kinds: tuple[str, ...],
        drift: tuple[float, ...],
        horizons: tuple[int, ...],
        window_steps: int,
        season_steps: int,
    ) -> None:
        count, self._width = len(horizons), len(drift)
        rows = [(i // count, horizons[i % count]) for i in range(len(kinds))]
        # What never changes is filled in once: a station often stands still between the others.
        self._fixed = [
            drift[i] * h if kind == "drift" else 0.0
            for kind, (i, h) in zip(kinds, rows, strict=True)
        ]
        self._moving = tuple(
            (slot, kind, i, h, drift[i] * h)
            for slot, (kind, (i, h)) in enumerate(zip(kinds, rows, strict=True))
            if kind not in ("persistence", "drift")
        )
        self._season = season_steps
        depth = {
            "last_increment": horizons[-1],
            "linear": window_steps - 1,
            "seasonal": season_steps,
        }
        self._depth = 1 + max(depth.get(kind, 0) for kind in kinds)
        # The slope is a weighted sum: weights over t - mean(t), by their own square sum.
        middle = (window_steps - 1) / 2
        square = sum((i - middle) ** 2 for i in range(window_steps)) or 1.0
        self._slope = [(i - middle) / square for i in range(window_steps)]
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._ring = array("d")  # a season of ten minutes in lists would be ten times the memory
        self._place = 0

    def push(self, values: Sequence[float]) -> list[float]:
        """Take one step of the targets (NaN missing): increments [targets * horizons].

        NaN where the past needed is not known.
        """
        if not self._moving:
            return self._fixed
        ring, width = self._ring, self._width
        at = self._place * width
        if at == len(ring):
            ring.extend(values)
        else:
            for i, value in enumerate(values, at):
                ring[i] = value
        self._place = (self._place + 1) % self._depth
        found = self._fixed.copy()
        season = self._season
        begin = (self._place - 1 - season) * width
        whole = len(ring) > season * width
        for slot, kind, i, horizon, drift in self._moving:
            if kind == "seasonal" and horizon < season and whole:
                rise = ring[begin + horizon * width + i] - ring[begin + i]
                found[slot] = rise if rise == rise else drift
            elif kind == "seasonal":
                found[slot] = self._seasonal(i, horizon, drift)
            elif kind == "last_increment":
                found[slot] = self._past(0, i) - self._past(horizon, i)
            else:
                found[slot] = self._linear(i) * horizon
        return found

    def _past(self, steps: int, target: int) -> float:
        """Return the value so many steps ago (0: this step)."""
        if steps * self._width >= len(self._ring):
            return _NAN
        return self._ring[(self._place - 1 - steps) * self._width + target]

    def _linear(self, i: int) -> float:
        """Return the least-squares slope of the window."""
        last = len(self._slope) - 1
        return sum(w * self._past(last - j, i) for j, w in enumerate(self._slope))

    def _seasonal(self, i: int, horizon: int, drift: float) -> float:
        """Return the increment of a season ago; repeated where a horizon is longer than it."""
        season = self._season
        if season * self._width >= len(self._ring):
            return drift
        rounds, rest = divmod(horizon, season)
        ago = self._past(season, i)
        found = self._past(season - rest, i) - ago if rest else 0.0
        found += rounds * (self._past(0, i) - ago)
        return found if found == found else drift

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        known = [None if v != v else v for v in self._ring]
        rows = [known[i : i + self._width] for i in range(0, len(known), self._width)]
        return {"rows": rows, "place": self._place}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same forecast."""
        rows = state["rows"][: self._depth]
        self._ring = array("d", (_NAN if v is None else float(v) for row in rows for v in row))
        self._place = int(state["place"]) % self._depth
        fits = len(rows) == self._depth or len(rows) == self._place
        if not fits or len(self._ring) != len(rows) * self._width:
            raise ValueError("not a state of these forecasts")
