"""The manifest of a bundle: everything a gateway must know to run a model as it was trained.

JSON, format 1. Lengths are in grid steps, displacements in the channel's own unit.
"""

from __future__ import annotations

from dataclasses import dataclass

FORMAT = 1
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_CHANNELS = 256
MAX_FEATURES = 1024
MAX_STEPS = 100_000
AGGREGATES = ("mean", "last", "sum", "max")
TRANSFORMS = ("level", "difference", "deviation", "decayed_sum", "missing")
FORMATS = ("tflite", "onnx")
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """A channel the models were trained on: its unit, and how a grid step sums it up."""

    name: str
    quantity: str
    unit: str
    aggregate: str


@dataclass(frozen=True, slots=True)
class Term:
    """One feature: a causal transform of one channel.

    ``time_constant_steps`` is used by deviation (from an exponential mean) and decayed_sum.
    """

    channel: str
    transform: str
    time_constant_steps: float


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """The feature vector: terms, standardisation (x - mean) / sd, then clipped to +-clip."""

    terms: tuple[Term, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    clip: float
    max_hold_steps: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """One exported file of a model. ``tolerance`` bounds |y - golden y| on any CPU."""

    file: str
    format: str
    precision: str
    tolerance: float
    runtimes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KinematicsSpec:
    """The baseline that is always armed: movement over a window against its own history."""

    targets: tuple[str, ...]
    window_steps: int
    reference: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ForecasterSpec:
    """The GRU: quantiles of the increment of each target at each horizon.

    Output ``y[targets * horizons * quantiles]``; increment = y * scale[target * horizons + h].
    ``rate_reference`` is the movement over the longest horizon that counts as 1.0;
    ``residual_threshold`` bounds the smoothed standardised 1-step residual.
    """

    armed: bool
    reason: str
    targets: tuple[str, ...]
    horizons: tuple[int, ...]
    quantiles: tuple[float, ...]
    hidden: int
    scale: tuple[float, ...]
    warm_up_steps: int
    rate_reference: tuple[float, ...]
    residual_threshold: tuple[float, ...]
    residual_time_constant_steps: float
    artifacts: tuple[Artifact, ...]
    golden: str


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A reconstructing detector (autoencoder or PCA) over a window of features."""

    name: str
    armed: bool
    reason: str
    window_steps: int
    channel_scale: tuple[float, ...]
    threshold: float
    artifacts: tuple[Artifact, ...]
    golden: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole bundle. ``files`` are (name, sha256 hex, size in bytes) of all but the manifest."""

    name: str
    version: int
    step_ms: int
    channels: tuple[ChannelSpec, ...]
    features: FeatureSpec
    kinematics: KinematicsSpec
    forecaster: ForecasterSpec
    detectors: tuple[DetectorSpec, ...]
    files: tuple[tuple[str, str, int], ...]
    data_sha256: str
    seed: int
    metrics: tuple[tuple[str, float], ...]

    @property
    def label(self) -> str:
        """Name and version, as quoted in every alarm."""
        return f"{self.name} v{self.version}"
