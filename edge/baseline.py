"""The naive forecast in arms: what watches a station whose GRU has not shown itself better.

Its intervals are the quantiles of its own errors on the station's history; its evidence is the
residual, as of the GRU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.conformal import Conformal, gap_steps
from edge.naive import Naive
from edge.residual import Residual
from edge.score import NONE_YET, Forecasts, Head, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.manifest import ForecasterSpec
    from edge.score import Score


class Baseline:
    """Streaming naive forecasts of one station, with intervals."""

    def __init__(self, spec: ForecasterSpec, step_ms: int) -> None:
        base, self._count = spec.baseline, len(spec.quantiles)
        self._spec = spec
        self._naive = Naive(
            base.kinds, base.drift, spec.horizons, base.window_steps, base.season_steps
        )
        self._keys = tuple((t, h * step_ms) for t in spec.targets for h in spec.horizons)
        n = self._count
        self._offsets = [base.offsets[i * n : (i + 1) * n] for i in range(len(spec.scale))]
        self._nearest = [i * len(spec.horizons) for i in range(len(spec.targets))]
        self._conformal = Conformal(
            spec.quantiles, spec.horizons, len(spec.targets), spec.scale,
            (0.0,) * len(spec.margin), spec.adapt_rate, gap_steps(step_ms),
        )  # fmt: skip
        self._residual = Residual((0.0,) * len(spec.targets), spec.residual_time_constant_steps)
        limits = tuple(zip(spec.targets, base.threshold, strict=True))
        self._judged = [i for i, (_, limit) in enumerate(limits) if limit]
        self.heads = tuple(
            Head("baseline", target, limit, "1", armed=True) for target, limit in limits if limit
        )
        self.reset()

    def reset(self) -> None:
        """Forget the past; how wide the intervals must be is kept."""
        self._naive.reset()
        self._residual.reset()
        self._conformal.reset()
        self._rows: tuple[list[float], ...] | None = None

    def score_one(self, values: Sequence[float]) -> tuple[Score, ...]:
        """As `push`, spelt out."""
        return tuple(Scores(self.heads, self.push(values)))

    def push(self, values: Sequence[float]) -> list[float]:
        """Take the targets' values of one step: a number a head."""
        self._residual.judge(values)
        flat = self._naive.push(values)
        rows = tuple(
            [increment + offset for offset in offsets]
            for increment, offsets in zip(flat, self._offsets, strict=True)
        )
        self._residual.expect([rows[i] for i in self._nearest])
        self._rows = None
        total = sum(flat)
        if total == total:
            self._rows = rows
            self._conformal.push(values, rows)
        of = self._residual.values
        return [of[i] for i in self._judged]

    def forecasts(self) -> Forecasts:
        """Return the latest forecasts, one a target and horizon; empty while not known."""
        if self._rows is None:
            return NONE_YET
        margins = self._conformal.margins
        return Forecasts(self._keys, self._spec.quantiles, self._rows, margins, "baseline")

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values; ``restore`` continues bit for bit."""
        return {
            "naive": self._naive.snapshot(),
            "residual": self._residual.snapshot(),
            "conformal": self._conformal.snapshot(),
            "rows": None if self._rows is None else [list(row) for row in self._rows],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same baseline."""
        self._naive.restore(state["naive"])
        self._residual.restore(state["residual"])
        self._conformal.restore(state["conformal"])
        rows = state["rows"]
        self._rows = None if rows is None else tuple([float(v) for v in row] for row in rows)
