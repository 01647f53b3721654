"""How far what happened was from what was expected, smoothed: the precursor without a pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

RESIDUAL_LIMIT = 20.0
"""A single residual counts at most so many half widths: a spike is no trend."""
_TINY = 1e-9
_NAN = float("nan")


class Residual:
    """Of each target: |increment - median| in half widths of the interval, exponentially smoothed.

    Judges the forecast of the step before, so that every value is out of sample. ``wider`` (one a
    target, in its unit) is added to each half width.
    """

    def __init__(self, wider: Sequence[float], time_constant_steps: float) -> None:
        self._wider = tuple(wider)
        self._rate = 1.0 / time_constant_steps
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._last = [_NAN] * len(self._wider)
        self._expected: Sequence[Sequence[float]] | None = None
        self.values = [0.0] * len(self._wider)

    def judge(self, values: Sequence[float]) -> None:
        """Take the targets' values of this step (NaN missing)."""
        last, expected = self._last, self._expected
        if expected is not None:
            for i, value in enumerate(values):
                increment = value - last[i]
                if increment == increment:
                    q = sorted(expected[i])
                    half = 0.5 * (q[-1] - q[0]) + self._wider[i]
                    off = abs(increment - q[len(q) // 2]) / (_TINY if half < _TINY else half)
                    if off == off:
                        if off > RESIDUAL_LIMIT:
                            off = RESIDUAL_LIMIT
                        self.values[i] += (off - self.values[i]) * self._rate
        self._last = list(values)

    def expect(self, rows: Sequence[Sequence[float]]) -> None:
        """Hold the quantiles of each target's 1-step forecast until the next step."""
        self._expected = rows

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        rows = self._expected
        return {
            "last": [None if v != v else v for v in self._last],
            "expected": None if rows is None else [[_kept(v) for v in row] for row in rows],
            "values": list(self.values),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot."""
        self._last = [_NAN if v is None else float(v) for v in state["last"]]
        rows = state["expected"]
        self._expected = None
        if rows is not None:
            self._expected = [[_NAN if v is None else float(v) for v in row] for row in rows]
        self.values = [float(v) for v in state["values"]]


def _kept(value: float) -> float | None:
    return None if value != value else value
