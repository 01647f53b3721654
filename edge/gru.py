"""The GRU forecaster on the gateway: one step a grid step, state in hand.

Gives the forecast (quantiles of the increment a horizon ahead) and two kinds of evidence:
``forecast``, the median movement expected over the longest horizon, and ``residual``, the smoothed
distance of what happened from what was expected, in half widths of the prediction interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge.conformal import Conformal, gap_steps
from edge.naive import Naive
from edge.residual import Residual
from edge.score import NONE_YET, Forecasts, Head, Scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge.features import Singles
    from edge.manifest import ForecasterSpec
    from edge.runtime import Model
    from edge.score import Score


class Forecaster:
    """Streaming forecasts of one station. ``units`` are those of the targets."""

    def __init__(
        self, spec: ForecasterSpec, model: Model, units: tuple[str, ...], step_ms: int
    ) -> None:
        self._spec = spec
        self._model = model
        self._count = len(spec.quantiles)
        self._scale = np.repeat(np.array(spec.scale, dtype=np.float32), self._count)
        horizons, targets = len(spec.horizons), len(spec.targets)
        self._nearest = [i * horizons for i in range(targets)]
        self._farthest = [(i + 1) * horizons - 1 for i in range(targets)]
        self._keys = tuple((t, h * step_ms) for t in spec.targets for h in spec.horizons)
        self._middle = self._count // 2
        base = spec.baseline
        self._anchored = tuple(i for i, a in enumerate(spec.anchors) if a != "persistence")
        self._anchor = (
            Naive(spec.anchors, base.drift, spec.horizons, base.window_steps, base.season_steps)
            if self._anchored
            else None
        )
        # In shadow nobody is shown its intervals: nothing to adapt.
        rate = spec.adapt_rate if spec.armed else 0.0
        self._conformal = Conformal(
            spec.quantiles, spec.horizons, targets, spec.scale, spec.margin, rate,
            gap_steps(step_ms),
        )  # fmt: skip
        # The residual keeps the margins it was calibrated with: what adapts to the slope cannot
        # also accuse it.
        outer = self._count // 2
        self._wider = [
            spec.margin[i * outer] * spec.scale[i] if outer else 0.0 for i in self._nearest
        ]
        self._residual = Residual(self._wider, spec.residual_time_constant_steps)
        self._judged = tuple(bool(limit) for limit in spec.residual_threshold)
        self.heads = tuple(self._heads(units))
        self._none = (float("nan"),) * len(self.heads)
        self.reset()

    def _heads(self, units: tuple[str, ...]) -> Iterator[Head]:
        spec = self._spec
        for i, target in enumerate(spec.targets):
            yield Head("forecast", target, spec.rate_reference[i], units[i], spec.armed)
            if spec.residual_threshold[i]:
                yield Head("residual", target, spec.residual_threshold[i], "1", spec.armed)

    def reset(self) -> None:
        """Forget the past: after a break in time."""
        self._restart()
        if self._anchor is not None:
            self._anchor.reset()

    def _restart(self) -> None:
        """Start from zero state: features were not to be had. The anchor keeps its season."""
        self._state = np.zeros((1, self._spec.hidden), dtype=np.float32)
        self._steps = 0
        self._rows: tuple[list[float], ...] | None = None
        self._residual.reset()
        self._conformal.reset()

    def score_one(self, x: Singles | None, targets: Sequence[float]) -> tuple[Score, ...] | None:
        """As `push`, spelt out; None while warming up."""
        return tuple(Scores(self.heads, self.push(x, targets))) or None

    def push(self, x: Singles | None, targets: Sequence[float]) -> list[float]:
        """Take features and target values of one step: a number a head, NaN while warming up."""
        anchors = None if self._anchor is None else self._anchor.push(targets)
        if x is None:
            if self._steps:
                self._restart()
            return [*self._none]
        self._residual.judge(targets)
        y, state = self._model.step(x.reshape(1, -1), self._state)
        values: list[float] = (y.ravel() * self._scale).tolist()
        total = sum(values)
        if state is None or total - total != 0.0:
            # A model that computes nonsense must not look calm: no score, and silence alarms.
            self._restart()
            return [*self._none]
        self._state = state
        n = self._count
        rows = tuple([values[i : i + n] for i in range(0, len(values), n)])
        if anchors is not None:
            for i in self._anchored:
                add = anchors[i]
                rows[i][:] = [v + add for v in rows[i]]
        self._rows = rows
        self._steps += 1
        self._residual.expect([rows[i] for i in self._nearest])
        if self._steps <= self._spec.warm_up_steps:
            return [*self._none]
        self._conformal.push(targets, rows)
        found = []
        for far, judged, residual in zip(
            self._farthest, self._judged, self._residual.values, strict=True
        ):
            found.append(abs(sorted(rows[far])[self._middle]))
            if judged:
                found.append(residual)
        return found

    def forecasts(self) -> Forecasts:
        """Return the latest forecasts, one a target and horizon; empty while warming up."""
        if self._rows is None or self._steps <= self._spec.warm_up_steps:
            return NONE_YET
        return Forecasts(self._keys, self._spec.quantiles, self._rows, self._conformal.margins)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values; ``restore`` continues bit for bit."""
        return {
            "state": self._state.tolist(),
            "steps": self._steps,
            "rows": None if self._rows is None else [list(row) for row in self._rows],
            "residual": self._residual.snapshot(),
            "conformal": self._conformal.snapshot(),
            "anchor": None if self._anchor is None else self._anchor.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same model."""
        self._state = np.array(state["state"], dtype=np.float32).reshape(1, self._spec.hidden)
        self._steps = int(state["steps"])
        rows = state["rows"]
        self._rows = None if rows is None else tuple([float(v) for v in row] for row in rows)
        self._residual.restore(state["residual"])
        self._conformal.restore(state["conformal"])
        if self._anchor is not None:
            self._anchor.restore(state["anchor"])
