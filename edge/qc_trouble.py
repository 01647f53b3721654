"""What is the matter with one channel that jumped, as far as it is not yet judged."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.qc_witness import Expected

SWING_SPAN = 10
"""Readings over which big changes to and fro are counted."""
_NAN = math.nan
_MAYBE = ("held", "level", "warm")


@dataclass(slots=True)
class Trouble:
    """What is the matter with one channel, for as long as something is."""

    held: float = _NAN
    held_ms: int = 0
    sure: float = 0.0
    """Beyond this no trend has brought it there since the last reading."""
    level: float = _NAN
    """Where it was before."""
    level_ms: float = 0.0
    trend: float = 0.0
    warm: float = _NAN
    """Temperature then."""
    around: dict[int, Expected] = field(default_factory=dict)
    """Where its neighbours were then, and how they went by."""
    off: list[int] = field(default_factory=list)
    """Times of the readings off that level, while they may yet turn out a spike."""
    passed: list[tuple[int, float]] = field(default_factory=list)
    """(time_ms, how far off) of those of them that the models got."""
    size: float = 0.0
    """How far off they are."""
    off_by: float = 0.0
    """The step that was taken out for them; 0.0: they passed as movement."""
    running: int = 0
    """It jumps on in this direction."""
    swings: list[list[int]] = field(default_factory=list)
    """(reading, direction) of its last big changes."""
    count: int = 0
    noisy: bool = False
    calm: int = 0
    quiet: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing is left of it."""
        return self.quiet > SWING_SPAN and not self.off and self.held != self.held

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        state = asdict(self)
        for key in _MAYBE:
            state[key] = None if state[key] != state[key] else state[key]
        state["sure"] = self.sure if math.isfinite(self.sure) else None
        state["around"] = [[j, *expected] for j, expected in self.around.items()]
        return state


def restored(kept: dict[str, Any]) -> Trouble:
    """Give what a snapshot tells."""
    values = dict(kept)
    for key in _MAYBE:
        values[key] = _NAN if values[key] is None else float(values[key])
    values["sure"] = math.inf if values["sure"] is None else float(values["sure"])
    values["around"] = {
        int(j): (float(v), float(at), float(pace)) for j, v, at, pace in kept["around"]
    }
    values["off"] = [int(v) for v in kept["off"]]
    values["passed"] = [(int(at), float(by)) for at, by in kept["passed"]]
    values["swings"] = [[int(a), int(b)] for a, b in kept["swings"]]
    return Trouble(**values)
