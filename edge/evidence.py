"""What rules look at: series of numbers that are renewed in place with every step of the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of evidence, for each channel that has it.

    ``values`` is one array for the life of its producer, renewed in place at each step of the grid;
    NaN is "not known" (warming up, a gap, refused by quality control), and is never 0.0.
    """

    kind: str
    """A key of `KINDS`."""
    window_ms: int
    """Over how long it is taken; 0 where it has no window."""
    channels: tuple[str, ...]
    units: tuple[str, ...]
    values: Floats
    least: Bools | None = None
    """Which are known to be so much at least, and may be more; renewed as ``values``."""


class Producer(Protocol):
    """Whoever makes evidence."""

    def series(self) -> tuple[Series, ...]:
        """Give the series that it keeps up to date; always the same arrays."""
        ...


KINDS: dict[str, str] = {
    "velocity": "speed over a window, a day; 0 where it does not stand out of the noise",
    "moved": "movement over a window",
    "moved_unseen": "movement over a gap, over the most that is usual in so long; 0: no gap",
    "acceleration": "change of the speed, a day a day",
    "tangent_angle": "angle of speed over the slope's own steady speed, degrees",
    "stage": "0 steady, 1 initial, 2 middle, 3 imminent",
    "time_to_failure": "hours until the inverse velocity reaches zero; 10000: none is in sight",
    "time_to_failure_low": "hours, early end of its interval",
    "time_to_failure_high": "hours, late end of its interval",
    "rain_sum": "rain over a window, mm",
    "rain_curve": "rain over a threshold curve, which is the channel",
    "wetness": "soil moisture or pore pressure over its set point",
    "value": "the calibrated value on the grid",
    "forecast": "forecast of the armed model over the bundle's threshold",
    "residual": "residual of the GRU over the bundle's threshold",
    "baseline": "residual of the naive forecast over the bundle's threshold",
    "detector": "score of the armed detector over the bundle's threshold",
}
"""Kinds of evidence and what they say."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A channel whose evidence holds, as it was when a level changed."""

    channel: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition of a rule as it was when a level changed."""

    kind: str
    window_ms: int
    sense: str
    """"above" or "below"."""
    threshold: float
    needed: int
    """So many channels must hold it."""
    live: int
    """So many are known; 0: the condition is not known."""
    hits: tuple[Hit, ...]

    def text(self) -> str:
        """Say it in words."""
        window = f" over {hours(self.window_ms)}" if self.window_ms else ""
        unit = self.hits[0].unit if self.hits else ""
        limit = f"{self.threshold:g}{' ' + unit if unit not in ('', '1') else ''}"
        who = ", ".join(f"{hit.channel} {hit.value:.3g}" for hit in self.hits) or "none"
        kind = self.kind.replace("_", " ")
        return (
            f"{kind}{window} {self.sense} {limit}: {who} "
            f"({len(self.hits)} of {self.live} live, {self.needed} needed)"
        )


@dataclass(frozen=True, slots=True)
class Tripped:
    """A rule that holds, or held and is still valid."""

    rule: str
    level: int
    since_ms: int
    """When its conditions began to hold, reading time."""
    valid_until_ms: int
    """How long it stands if it does not hold again."""
    holds: bool
    """Whether its conditions hold now."""
    findings: tuple[Finding, ...]

    def text(self) -> str:
        """Say it in words."""
        return f"rule {self.rule!r}: " + "; ".join(found.text() for found in self.findings)


def hours(span_ms: int) -> str:
    """Say a span in the unit that people would: 90 s, 10 min, 24 h, 3 d."""
    for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if span_ms >= unit_ms and span_ms % unit_ms == 0:
            if unit == "d" and span_ms < 3 * unit_ms:
                continue
            return f"{span_ms // unit_ms} {unit}"
    return f"{span_ms / 1000:g} s"
