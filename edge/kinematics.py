"""The baseline that is always armed: movement over a window, against the site's own history."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from edge.score import Score

if TYPE_CHECKING:
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
        length = self._spec.window_steps + 3
        self._past: list[deque[float]] = [deque(maxlen=length) for _ in self._spec.targets]

    def score_one(self, values: list[float]) -> tuple[Score, ...]:
        """Take the target values of one step (NaN missing); a target in warm-up gives nothing."""
        found = []
        for i, value in enumerate(values):
            past = self._past[i]
            past.append(value)
            if len(past) < (past.maxlen or 0):
                continue
            now = _median(list(islice(reversed(past), 3)))
            then = _median(list(islice(past, 3)))
            moved = abs(now - then)
            if moved == moved:
                found.append(
                    Score(
                        "velocity",
                        self._spec.targets[i],
                        moved,
                        self._spec.reference[i],
                        self._units[i],
                        armed=True,
                    )
                )
        return tuple(found)

    def snapshot(self) -> list[list[float | None]]:
        """Return the state as JSON-ready values."""
        return [[None if v != v else v for v in past] for past in self._past]

    def restore(self, state: list[list[Any]]) -> None:
        """Continue from a snapshot."""
        self.reset()
        for past, values in zip(self._past, state, strict=True):
            past.extend(_NAN if v is None else v for v in values)


def _median(values: list[float]) -> float:
    known = sorted(v for v in values if v == v)
    if not known:
        return _NAN
    return known[len(known) // 2] if len(known) % 2 else 0.5 * (known[0] + known[1])
