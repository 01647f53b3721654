"""The baseline that is always armed: movement over a window, against the site's own history."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from edge.score import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.manifest import KinematicsSpec

_NAN = float("nan")


class Kinematics:
    """Movement of each target over ``window_steps``, from medians of three against spikes."""

    def __init__(self, spec: KinematicsSpec, units: tuple[str, ...]) -> None:
        self._spec = spec
        self._units = units
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        targets, length = self._spec.targets, self._spec.window_steps + 1
        self._latest: list[list[float]] = [[] for _ in targets]
        self._medians: list[deque[float]] = [deque(maxlen=length) for _ in targets]

    def score_one(self, values: Sequence[float]) -> tuple[Score, ...]:
        """Take the target values of one step (NaN missing); a target in warm-up gives nothing."""
        found = []
        spec = self._spec
        for i, value in enumerate(values):
            latest = self._latest[i]
            latest.append(value)
            if len(latest) < 3:
                continue
            medians = self._medians[i]
            medians.append(_median(latest))
            del latest[0]
            if len(medians) <= spec.window_steps:
                continue
            moved = abs(medians[-1] - medians[0])
            if moved == moved:  # not NaN: too much missing at either end
                target, limit = spec.targets[i], spec.reference[i]
                found.append(Score("velocity", target, moved, limit, self._units[i], armed=True))
        return tuple(found)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "latest": [_without_nan(values) for values in self._latest],
            "medians": [_without_nan(values) for values in self._medians],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot."""
        self.reset()
        for values, saved in zip(self._latest, state["latest"], strict=True):
            values.extend(_NAN if v is None else v for v in saved)
        for medians, saved in zip(self._medians, state["medians"], strict=True):
            medians.extend(_NAN if v is None else v for v in saved)


def _without_nan(values: Sequence[float]) -> list[float | None]:
    return [None if v != v else v for v in values]


def _median(values: list[float]) -> float:
    a, b, c = values
    if a == a and b == b and c == c:
        return max(min(a, b), min(max(a, b), c))
    known = sorted(v for v in values if v == v)
    if not known:
        return _NAN
    return known[0] if len(known) == 1 else 0.5 * (known[0] + known[1])
