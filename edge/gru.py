"""The GRU forecaster on the gateway: one step a grid step, state in hand.

Gives the forecast (quantiles of the increment a horizon ahead) and two kinds of evidence:
``forecast``, the median movement expected over the longest horizon, and ``residual``, the smoothed
distance of what happened from what was expected, in half widths of the prediction interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge.score import NONE_YET, Forecasts, Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.features import Singles
    from edge.manifest import ForecasterSpec
    from edge.runtime import Model

RESIDUAL_LIMIT = 20.0
"""A single residual counts at most so many half widths: a spike is no trend."""
_TINY = 1e-9


class Forecaster:
    """Streaming forecasts of one station. ``units`` are those of the targets."""

    def __init__(
        self, spec: ForecasterSpec, model: Model, units: tuple[str, ...], step_ms: int
    ) -> None:
        self._spec = spec
        self._model = model
        self._units = units
        self._count = len(spec.quantiles)
        self._scale = [scale for scale in spec.scale for _ in range(self._count)]
        horizons = len(spec.horizons)
        self._nearest = [i * horizons for i in range(len(spec.targets))]
        self._farthest = [(i + 1) * horizons - 1 for i in range(len(spec.targets))]
        self._keys = tuple((t, h * step_ms) for t in spec.targets for h in spec.horizons)
        self._rate = 1.0 / spec.residual_time_constant_steps
        self._middle = self._count // 2
        self.reset()

    def reset(self) -> None:
        """Start from zero state: after a break, or when features were not to be had."""
        self._state = np.zeros((1, self._spec.hidden), dtype=np.float32)
        self._steps = 0
        self._rows: tuple[list[float], ...] | None = None
        self._last = [float("nan")] * len(self._spec.targets)
        self._residual = [0.0] * len(self._spec.targets)

    def score_one(self, x: Singles | None, targets: Sequence[float]) -> tuple[Score, ...] | None:
        """Take features and target values of one step; None while warming up."""
        if x is None:
            if self._steps:
                self.reset()
            return None
        self._judge(targets)
        y, state = self._model.step(x.reshape(1, -1), self._state)
        values = [v * scale for v, scale in zip(y.ravel().tolist(), self._scale, strict=True)]
        total = sum(values)
        if state is None or total - total != 0.0:
            # A model that computes nonsense must not look calm: no score, and silence alarms.
            self.reset()
            return None
        self._state = state
        n = self._count
        self._rows = tuple([values[i : i + n] for i in range(0, len(values), n)])
        self._steps += 1
        return self._scores(self._rows) if self._steps > self._spec.warm_up_steps else None

    def _judge(self, targets: Sequence[float]) -> None:
        """Compare what happened with the 1-step forecast made before it."""
        rows, last = self._rows, self._last
        for i, value in enumerate(targets):
            increment = value - last[i]
            last[i] = value
            if rows is not None and increment == increment:
                q = sorted(rows[self._nearest[i]])
                half = max(0.5 * (q[-1] - q[0]), _TINY)
                off = min(abs(increment - q[self._middle]) / half, RESIDUAL_LIMIT)
                self._residual[i] += (off - self._residual[i]) * self._rate

    def _scores(self, rows: tuple[list[float], ...]) -> tuple[Score, ...]:
        spec, armed = self._spec, self._spec.armed
        found = []
        for i, target in enumerate(spec.targets):
            rate = abs(sorted(rows[self._farthest[i]])[self._middle])
            unit, limit = self._units[i], spec.residual_threshold[i]
            found.append(Score("forecast", target, rate, spec.rate_reference[i], unit, armed))
            found.append(Score("residual", target, self._residual[i], limit, "1", armed))
        return tuple(found)

    def forecasts(self) -> Forecasts:
        """Return the latest forecasts, one a target and horizon; empty while warming up."""
        if self._rows is None or self._steps <= self._spec.warm_up_steps:
            return NONE_YET
        return Forecasts(self._keys, self._spec.quantiles, self._rows)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values; ``restore`` continues bit for bit."""
        return {
            "state": self._state.tolist(),
            "steps": self._steps,
            "rows": None if self._rows is None else [list(row) for row in self._rows],
            "last": [None if v != v else v for v in self._last],
            "residual": list(self._residual),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same model."""
        self._state = np.array(state["state"], dtype=np.float32).reshape(1, self._spec.hidden)
        self._steps = int(state["steps"])
        rows = state["rows"]
        self._rows = None if rows is None else tuple([float(v) for v in row] for row in rows)
        self._last = [float("nan") if v is None else float(v) for v in state["last"]]
        self._residual = [float(v) for v in state["residual"]]
