"""What the models say of one grid step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.conformal import widened

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, init=False)
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
    contributions: tuple[tuple[str, float], ...]

    # Written out as several are made for every step: half the time of the generated one.
    def __init__(
        self,
        kind: str,
        channel: str,
        value: float,
        threshold: float,
        unit: str,
        armed: bool,
        contributions: tuple[tuple[str, float], ...] = (),
    ) -> None:
        _set_kind(self, kind)
        _set_channel(self, channel)
        _set_value(self, value)
        _set_threshold(self, threshold)
        _set_unit(self, unit)
        _set_armed(self, armed)
        _set_contributions(self, contributions)

    @property
    def ratio(self) -> float:
        """Value over threshold: 1.0 stands at the threshold."""
        return self.value / self.threshold


(
    _set_kind,
    _set_channel,
    _set_value,
    _set_threshold,
    _set_unit,
    _set_armed,
    _set_contributions,
) = (vars(Score)[name].__set__ for name in Score.__slots__)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Quantiles of the coming increment of one channel at one horizon, in its unit."""

    channel: str
    horizon_ms: int
    quantiles: tuple[float, ...]
    values: tuple[float, ...]
    model: str = "gru"


@dataclass(frozen=True, slots=True)
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
