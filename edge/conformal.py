"""How wide an interval must be: margins that go on learning from what was missed.

Conformalised quantile regression (Romano et al. 2019) gives the first margins; in the field each
is moved by ``rate`` * (missed - allowed) after every forecast that has come due, the quantile
tracker of adaptive conformal inference (Gibbs & Candes 2021, Angelopoulos et al. 2023). Over any
long stretch the share of misses then tends to the one allowed, whatever the slope does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 50.0
"""A margin is at most so many training spreads: a broken sensor must not widen without end."""

_GAP_MS = 7_200_000
_MOST_GAP = 1000


class Conformal:
    """Margins of the forecasts of one station, one row for each (target, horizon).

    A forecast is held until it comes due, then judged, then the next is held: the judged ones do
    not overlap, and begin ``gap_steps`` apart at least. ``margin`` [rows * pairs] is in units of
    ``scale`` [rows], outermost pair first.
    """

    def __init__(
        self,
        quantiles: tuple[float, ...],
        horizons: tuple[int, ...],
        targets: int,
        scale: tuple[float, ...],
        margin: tuple[float, ...],
        rate: float,
        gap_steps: int = 1,
    ) -> None:
        self._gap = gap_steps
        pairs = len(quantiles) // 2
        self._allowed = [1.0 - (quantiles[-1 - p] - quantiles[p]) for p in range(pairs)]
        self._rows = [(i, h) for i in range(targets) for h in horizons]
        self._scale = scale
        self._rate = rate
        self.margins: tuple[tuple[float, ...], ...] = tuple(
            tuple(v * scale[i] for v in margin[i * pairs : (i + 1) * pairs])
            for i in range(len(scale))
        )
        """In the targets' units; replaced, never changed."""
        self._count = 0
        self.reset()

    def reset(self) -> None:
        """Give up the forecasts that are held; what was learned stays."""
        self._held: list[tuple[float, Sequence[float]] | None] = [None] * len(self._rows)
        self._due = [self._count + 1] * len(self._rows)
        self._next = self._count + 1

    def push(self, values: Sequence[float], rows: Sequence[Sequence[float]]) -> None:
        """Take one step: the targets' values and the forecasts made on them, sorted or not."""
        self._count += 1
        count = self._count
        if count < self._next or not self._rate:
            return
        due = self._due
        for i, (target, horizon) in enumerate(self._rows):
            if count < due[i]:
                continue
            value, held = values[target], self._held[i]
            if held is not None:
                if value == value:
                    self._judge(i, value - held[0], held[1])
                self._held[i] = None
                due[i] = count + max(self._gap - horizon, 0)
            if count >= due[i] and value == value:
                self._held[i] = (value, rows[i])
                due[i] = count + horizon
            elif count >= due[i]:
                due[i] = count + 1
        self._next = min(due)

    def _judge(self, i: int, truth: float, row: Sequence[float]) -> None:
        q, margins = sorted(row), list(self.margins[i])
        middle, scale = q[len(q) // 2], self._scale[i]
        for p, allowed in enumerate(self._allowed):
            low, high = q[p] - margins[p], q[-1 - p] + margins[p]
            missed = truth < min(low, middle) or truth > max(high, middle)
            moved = margins[p] + self._rate * scale * ((1.0 if missed else 0.0) - allowed)
            # Never narrower than a point, else a calm year would have to be unlearned first.
            least = -0.5 * (q[-1 - p] - q[p])
            margins[p] = min(max(moved, least), _MOST * scale)
        self.margins = (*self.margins[:i], tuple(margins), *self.margins[i + 1 :])

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        held = [None if h is None else [h[0], list(h[1])] for h in self._held]
        left = [due - self._count for due in self._due]
        return {"margins": [list(row) for row in self.margins], "held": held, "left": left}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same model."""
        self.margins = tuple(tuple(float(v) for v in row) for row in state["margins"])
        self._held = [
            None if h is None else (float(h[0]), [float(v) for v in h[1]]) for h in state["held"]
        ]
        self._due = [self._count + int(left) for left in state["left"]]
        self._next = min(self._due)


def gap_steps(step_ms: int) -> int:
    """Return how many steps apart judged forecasts begin: two hours, or one step if it is longer.

    Every step would cost a fast station more than it teaches.
    """
    return max(1, min(_MOST_GAP, _GAP_MS // step_ms))


def widened(row: Sequence[float], margins: Sequence[float]) -> tuple[float, ...]:
    """Return rising quantiles of one row, each pair moved apart by its margin.

    Crossing quantiles are put in order (monotone rearrangement, Chernozhukov et al. 2010) and a
    negative margin stops at the median.
    """
    q = sorted(row)
    if not margins:
        return tuple(q)
    middle = q[len(q) // 2]
    for p, margin in enumerate(margins):
        q[p] = min(q[p] - margin, middle)
        q[-1 - p] = max(q[-1 - p] + margin, middle)
    q.sort()
    return tuple(q)
