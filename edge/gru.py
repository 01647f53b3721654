"""The GRU forecaster on the gateway: one step a grid step, state in hand.

Gives the forecast (quantiles of the increment a horizon ahead) and two kinds of evidence:
``forecast``, the median movement expected over the longest horizon, and ``residual``, the smoothed
distance of what happened from what was expected, in half widths of the prediction interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge.score import Forecast, Score

if TYPE_CHECKING:
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
        self._step_ms = step_ms
        self._shape = (len(spec.targets), len(spec.horizons), len(spec.quantiles))
        scale = np.array(spec.scale).reshape(*self._shape[:2], 1)
        self._scale = np.broadcast_to(scale, self._shape).copy()
        self._rate = 1.0 / spec.residual_time_constant_steps
        self._middle = len(spec.quantiles) // 2
        self.reset()

    def reset(self) -> None:
        """Start from zero state: after a break, or when features were not to be had."""
        self._state = np.zeros((1, self._spec.hidden), dtype=np.float32)
        self._steps = 0
        self._quantiles: Any = None
        self._last = [float("nan")] * len(self._spec.targets)
        self._residual = [0.0] * len(self._spec.targets)

    def score_one(self, x: Singles | None, targets: list[float]) -> tuple[Score, ...] | None:
        """Take features and target values of one step; None while warming up."""
        if x is None:
            if self._steps:
                self.reset()
            return None
        self._judge(targets)
        y, state = self._model.step(x.reshape(1, -1), self._state)
        if state is None or not np.isfinite(y).all():
            # A model that computes nonsense must not look calm: no score, and silence alarms.
            self.reset()
            return None
        self._state = state
        quantiles = y.reshape(self._shape) * self._scale
        quantiles.sort(axis=-1)  # monotone rearrangement: Chernozhukov et al. 2010
        self._quantiles = quantiles
        self._steps += 1
        return self._scores() if self._steps > self._spec.warm_up_steps else None

    def _judge(self, targets: list[float]) -> None:
        """Compare what happened with the 1-step forecast made before it."""
        for i, value in enumerate(targets):
            increment = value - self._last[i]
            if self._quantiles is not None and increment == increment:
                q = self._quantiles[i, 0]
                half = max(0.5 * float(q[-1] - q[0]), _TINY)
                off = min(abs(increment - float(q[self._middle])) / half, RESIDUAL_LIMIT)
                self._residual[i] += (off - self._residual[i]) * self._rate
            self._last[i] = value

    def _scores(self) -> tuple[Score, ...]:
        spec, found = self._spec, []
        ahead = self._quantiles[:, -1, self._middle].tolist()
        for i, target in enumerate(spec.targets):
            rate = abs(ahead[i])
            armed = spec.armed
            found.append(
                Score("forecast", target, rate, spec.rate_reference[i], self._units[i], armed)
            )
            found.append(
                Score("residual", target, self._residual[i], spec.residual_threshold[i], "1", armed)
            )
        return tuple(found)

    def forecasts(self) -> tuple[Forecast, ...]:
        """Return the latest forecast, a target and horizon each; empty while warming up."""
        if self._quantiles is None or self._steps <= self._spec.warm_up_steps:
            return ()
        values = self._quantiles.tolist()
        return tuple(
            Forecast(target, horizon * self._step_ms, self._spec.quantiles, tuple(values[i][j]))
            for i, target in enumerate(self._spec.targets)
            for j, horizon in enumerate(self._spec.horizons)
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values; ``restore`` continues bit for bit."""
        return {
            "state": self._state.tolist(),
            "steps": self._steps,
            "quantiles": None if self._quantiles is None else self._quantiles.tolist(),
            "last": [None if v != v else v for v in self._last],
            "residual": self._residual,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same model."""
        self._state = np.array(state["state"], dtype=np.float32).reshape(1, self._spec.hidden)
        self._steps = int(state["steps"])
        kept = state["quantiles"]
        self._quantiles = None if kept is None else np.array(kept).reshape(self._shape)
        self._last = [float("nan") if v is None else float(v) for v in state["last"]]
        self._residual = [float(v) for v in state["residual"]]
