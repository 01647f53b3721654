"""Causal features of a station: one vector a grid step, from that step and the past alone.

The same streaming code makes the training set, so that training and field cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from edge.manifest import FeatureSpec, Term

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Group:
    """Terms of one transform: where they stand in the raw vector, and which channels they read."""

    span: slice
    channel: npt.NDArray[np.intp]
    rate: Floats


class Features:
    """Streaming features of one station.

    ``push(values)`` takes float64[channels] with NaN for missing and returns float32[features],
    or None while a channel has never reported or has been silent for longer than max_hold_steps.
    The array returned is reused by the next call.
    """

    def __init__(self, spec: FeatureSpec, channels: tuple[str, ...]) -> None:
        self._spec = spec
        self._n = len(channels)
        order = {"level": 0, "difference": 1, "deviation": 2, "decayed_sum": 3, "missing": 4}
        ranked = sorted(range(len(spec.terms)), key=lambda i: order[spec.terms[i].transform])
        self._groups = {
            kind: _group(kind, [spec.terms[i] for i in ranked], channels) for kind in order
        }
        self._place = np.array([ranked.index(i) for i in range(len(ranked))], dtype=np.intp)
        self._mean = np.array(spec.mean)
        self._per_sd = 1.0 / np.array(spec.sd)
        self._raw = np.zeros(len(ranked))
        self._scaled = np.zeros(len(ranked))
        self._out = np.zeros(len(ranked), dtype=np.float32)
        self.saturated = 0
        self.reset()

    @property
    def size(self) -> int:
        """Number of features."""
        return len(self._place)

    def reset(self) -> None:
        """Forget the past: the next push starts anew. The saturation count is kept."""
        self._held = np.full(self._n, np.nan)
        self._previous = np.zeros(self._n)
        self._silent = np.zeros(self._n, dtype=np.int64)
        self._slow = np.zeros(len(self._groups["deviation"].channel))
        self._sums = np.zeros(len(self._groups["decayed_sum"].channel))
        self._started = False

    def push(self, values: Floats) -> Singles | None:
        """Take the values of one grid step; see the class."""
        missing = np.isnan(values)
        fresh = values
        if missing.any():
            fresh = np.where(missing, 0.0, values)
            np.copyto(self._held, values, where=~missing)
            self._silent += 1
            self._silent[~missing] = 0
        else:
            self._held[:] = values
            self._silent[:] = 0
        if not self._started and not self._start():
            return None
        self._fill(fresh, missing)
        self._previous[:] = self._held
        if self._silent.max() > self._spec.max_hold_steps:
            return None
        return self._scale()

    def _start(self) -> bool:
        if np.isnan(self._held).any():
            return False
        self._previous[:] = self._held
        self._slow[:] = self._held.take(self._groups["deviation"].channel)
        self._started = True
        return True

    def _fill(self, fresh: Floats, missing: npt.NDArray[np.bool_]) -> None:
        raw, held, groups = self._raw, self._held, self._groups
        group = groups["level"]
        if group.rate.size:
            raw[group.span] = held.take(group.channel)
        group = groups["difference"]
        if group.rate.size:
            raw[group.span] = (held - self._previous).take(group.channel)
        group = groups["deviation"]
        if group.rate.size:
            offset = held.take(group.channel) - self._slow
            self._slow += offset * group.rate
            raw[group.span] = offset
        group = groups["decayed_sum"]
        if group.rate.size:
            self._sums *= 1.0 - group.rate
            self._sums += fresh.take(group.channel)
            raw[group.span] = self._sums
        group = groups["missing"]
        if group.rate.size:
            raw[group.span] = missing.take(group.channel)

    def _scale(self) -> Singles:
        scaled, limit = self._scaled, self._spec.clip
        self._raw.take(self._place, out=scaled)
        scaled -= self._mean
        scaled *= self._per_sd
        if scaled.max() > limit or scaled.min() < -limit:
            self.saturated += int((np.abs(scaled) > limit).sum())
            np.clip(scaled, -limit, limit, out=scaled)
        self._out[:] = scaled
        return self._out

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values; ``restore`` continues bit for bit."""
        return {
            "held": [None if v != v else v for v in self._held.tolist()],
            "previous": self._previous.tolist(),
            "silent": self._silent.tolist(),
            "slow": self._slow.tolist(),
            "sums": self._sums.tolist(),
            "started": self._started,
            "saturated": self.saturated,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same feature set."""
        self._held[:] = [np.nan if v is None else v for v in state["held"]]
        self._previous[:] = state["previous"]
        self._silent[:] = state["silent"]
        self._slow[:] = state["slow"]
        self._sums[:] = state["sums"]
        self._started = bool(state["started"])
        self.saturated = int(state["saturated"])


def _group(kind: str, terms: list[Term], channels: tuple[str, ...]) -> _Group:
    mine = [i for i, term in enumerate(terms) if term.transform == kind]
    start = mine[0] if mine else 0
    return _Group(
        slice(start, start + len(mine)),
        np.array([channels.index(terms[i].channel) for i in mine], dtype=np.intp),
        np.array([1.0 / terms[i].time_constant_steps for i in mine]),
    )
