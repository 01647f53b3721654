"""What the models say of one grid step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """One piece of evidence: ``value`` against the ``threshold`` shipped in the bundle.

    Kinds: velocity, forecast (both in the channel's unit over a window), residual, autoencoder,
    pca (dimensionless). A score that is not ``armed`` rides in shadow: shown, never alarming.
    """

    kind: str
    channel: str
    value: float
    threshold: float
    unit: str
    armed: bool

    @property
    def ratio(self) -> float:
        """Value over threshold: 1.0 stands at the threshold."""
        return self.value / self.threshold


@dataclass(frozen=True, slots=True)
class Forecast:
    """Quantiles of the coming increment of one channel at one horizon, in its unit."""

    channel: str
    horizon_ms: int
    quantiles: tuple[float, ...]
    values: tuple[float, ...]
