"""What the models say of one grid step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.conformal import widened
from firmware_bridge.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Shares = tuple[tuple[str, float], ...]
Blame = tuple[str, Shares]
"""The channel to blame, and the shares of those to blame, most first."""


@record
class Score:
    """One piece of evidence: ``value`` against the ``threshold`` shipped in the bundle.

    Kinds: velocity, forecast (both in the channel's unit over a window), residual (of the GRU),
    baseline (of the naive forecast), autoencoder, pca (dimensionless). A score that is not
    ``armed`` rides in shadow: shown, never alarming. ``contributions`` are (channel, share) of
    those to blame, most first; only where a detector is over its threshold.
    """

    kind: str
    channel: str
    value: float
    threshold: float
    unit: str
    armed: bool
    contributions: Shares = ()

    @property
    def ratio(self) -> float:
        """Value over threshold: 1.0 stands at the threshold."""
        return self.value / self.threshold


@dataclass(frozen=True, slots=True)
class Head:
    """What is the same of a score at every step; ``channel`` "": the model names one to blame."""

    kind: str
    channel: str
    threshold: float
    unit: str
    armed: bool
    blame: Callable[[float, list[float]], Blame] | None = None
    """Of a detector: finds who is to blame, from its score and the errors of all channels."""


class Scores:
    """The scores of one step: a number a head, spelt out only when somebody iterates over them.

    NaN: that one could not be had. ``errors`` are those of the detectors, in the order of their
    heads, which are the last ones.
    """

    __slots__ = ("errors", "heads", "values", "whole")

    def __init__(
        self, heads: tuple[Head, ...], values: list[float], errors: Sequence[list[float]] = ()
    ) -> None:
        self.heads = heads
        self.values = values
        self.errors = errors
        total = sum(values)
        self.whole = total == total
        """Whether there is a number for every head."""

    def __iter__(self) -> Iterator[Score]:
        """Give a Score for each number."""
        for place, value in enumerate(self.values):
            if value == value:
                yield self.at(place)

    def __eq__(self, other: object) -> bool:
        """Whether they are the same scores, spelt out."""
        return isinstance(other, Scores) and tuple(self) == tuple(other)

    __hash__ = object.__hash__

    def __len__(self) -> int:
        """Return how many there are; 0 while all models warm up."""
        return len(self.values) if self.whole else sum(v == v for v in self.values)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return (self.whole and bool(self.values)) or len(self) > 0

    def at(self, place: int) -> Score:
        """Spell out one of them."""
        head, value = self.heads[place], self.values[place]
        if head.blame is None:
            return Score(head.kind, head.channel, value, head.threshold, head.unit, head.armed)
        of = self.errors[place - len(self.heads)]
        channel, shares = head.blame(value, of)
        return Score(head.kind, channel, value, head.threshold, head.unit, head.armed, shares)


@record
class Forecast:
    """Quantiles of the coming increment of one channel at one horizon, in its unit."""

    channel: str
    horizon_ms: int
    quantiles: tuple[float, ...]
    values: tuple[float, ...]
    model: str = "gru"


@record
class Forecasts:
    """All forecasts of one step, spelt out only when somebody iterates over them.

    ``rows`` holds the values of each (channel, horizon) in turn, not yet sorted nor widened by
    ``margins``. ``model`` is the one that is armed: gru or baseline.
    """

    keys: tuple[tuple[str, int], ...] = ()
    quantiles: tuple[float, ...] = ()
    rows: tuple[list[float], ...] = ()
    margins: tuple[tuple[float, ...], ...] = ()
    model: str = "gru"

    def __iter__(self) -> Iterator[Forecast]:
        """Give a Forecast for each channel and horizon."""
        for i, (channel, horizon_ms) in enumerate(self.keys):
            values = widened(self.rows[i], self.margins[i] if self.margins else ())
            yield Forecast(channel, horizon_ms, self.quantiles, values, self.model)

    def __len__(self) -> int:
        """Return how many there are; 0 while the model warms up."""
        return len(self.rows)


NONE_YET = Forecasts()
