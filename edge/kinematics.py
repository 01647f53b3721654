"""The baseline that is always armed: movement over a window, against the site's own history."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from edge.score import Head, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.manifest import KinematicsSpec
    from edge.score import Score

_NAN = float("nan")


class Kinematics:
    """Movement of each target over ``window_steps``, from medians of three against spikes."""

    def __init__(self, spec: KinematicsSpec, units: tuple[str, ...]) -> None:
        self._spec = spec
        self.heads = tuple(
            Head("velocity", target, limit, unit, armed=True)
            for target, limit, unit in zip(spec.targets, spec.reference, units, strict=True)
        )
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        targets, length = self._spec.targets, self._spec.window_steps + 1
        self._latest: list[list[float]] = [[] for _ in targets]
        self._medians: list[deque[float]] = [deque(maxlen=length) for _ in targets]

    def push(self, values: Sequence[float]) -> list[float]:
        """Take the target values of one step (NaN missing): a number a head, NaN in warm-up."""
        found = []
        window = self._spec.window_steps
        for value, latest, medians in zip(values, self._latest, self._medians, strict=True):
            latest.append(value)
            moved = _NAN
            if len(latest) == 3:
                medians.append(_median(latest))
                del latest[0]
                if len(medians) > window:  # NaN where too much is missing at either end
                    moved = abs(medians[-1] - medians[0])
            found.append(moved)
        return found

    def score_one(self, values: Sequence[float]) -> tuple[Score, ...]:
        """As `push`, spelt out; a target in warm-up gives nothing."""
        return tuple(Scores(self.heads, self.push(values)))

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
        if any(len(values) > 2 for values in self._latest):
            raise ValueError("not a state of velocities")


def _without_nan(values: Sequence[float]) -> list[float | None]:
    return [None if v != v else v for v in values]


def _median(values: list[float]) -> float:
    a, b, c = values
    if a <= b:  # false too where one is NaN
        if b <= c:
            return b
        if c == c:
            return c if c > a else a
    elif b < a:
        if a <= c:
            return a
        if c == c:
            return c if c > b else b
    known = sorted(v for v in values if v == v)
    if not known:
        return _NAN
    return known[0] if len(known) == 1 else 0.5 * (known[0] + known[1])
