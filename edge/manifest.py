"""The manifest of a bundle: everything a gateway must know to run a model as it was trained.

JSON, format 2 (``manifest.schema.json``). Lengths are in grid steps, displacements in the
channel's own unit.
"""

from __future__ import annotations

from dataclasses import dataclass

FORMAT = 2
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_CHANNELS = 256
MAX_FEATURES = 1024
MAX_STEPS = 100_000
AGGREGATES = ("mean", "last", "sum", "max")
TRANSFORMS = ("level", "difference", "deviation", "decayed_sum", "missing", "age")
FORMATS = ("tflite", "onnx")
NAIVE = ("persistence", "drift", "last_increment", "linear", "seasonal")
ANCHORS = ("persistence", "drift", "seasonal")
"""Those that always have an answer."""
VARIANTS = ("dense", "conv", "gru", "t2q")
POOLINGS = ("max", "sum")
MAX_SEASON_STEPS = 4096
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
    """One exported file of a model, and what its proof over a long stream found.

    ``tolerance`` bounds |y - golden y| on any CPU. ``batch`` is 1 where it is fixed, 0 where any
    number of stations goes through one call. ``drift`` is the RMS error of y over the RMS of y,
    ``max_error`` the largest error, both of the worst runtime offered; ``drift_limit`` is what
    the precision is allowed. ``saturated`` counts outputs at the end of an integer range.
    """

    file: str
    format: str
    precision: str
    tolerance: float
    runtimes: tuple[str, ...]
    batch: int
    drift: float
    drift_limit: float
    max_error: float
    saturated: int


@dataclass(frozen=True, slots=True)
class KinematicsSpec:
    """The baseline that is always armed: movement over a window against its own history."""

    targets: tuple[str, ...]
    window_steps: int
    reference: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BaselineSpec:
    """The best naive forecast of each target: armed where the GRU does not beat it.

    ``kinds`` (NAIVE) [targets * horizons]; ``drift`` [targets] a step, in its unit. ``linear``
    looks back ``window_steps``, ``seasonal`` ``season_steps`` (0: no season). ``offsets``
    [targets * horizons * quantiles] are the quantiles of its own errors on calibration history.
    ``threshold`` [targets] bounds its smoothed standardised 1-step residual, 0: not scored.
    """

    kinds: tuple[str, ...]
    drift: tuple[float, ...]
    window_steps: int
    season_steps: int
    offsets: tuple[float, ...]
    threshold: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ForecasterSpec:
    """The GRU: quantiles of the increment of each target at each horizon.

    Output ``y[targets * horizons * quantiles]``; increment = y * scale[target * horizons + h],
    added to the naive forecast that ``anchors`` [targets * horizons] (ANCHORS) names. It starts
    from nothing after ``max_hold_steps`` without a value. ``margin`` [targets * horizons * pairs,
    outermost pair first] in units of scale widens each interval (conformalised quantile
    regression, Romano et al. 2019); the gateway goes on adapting it by ``adapt_rate`` (adaptive
    conformal inference, Gibbs & Candes 2021), 0 for never.
    ``rate_reference`` is the movement over the longest horizon that counts as 1.0;
    ``residual_threshold`` bounds the smoothed standardised 1-step residual; 0 for a target on
    which 1-step scores mean nothing (interpolated).
    """

    armed: bool
    reason: str
    targets: tuple[str, ...]
    horizons: tuple[int, ...]
    quantiles: tuple[float, ...]
    hidden: int
    scale: tuple[float, ...]
    anchors: tuple[str, ...]
    margin: tuple[float, ...]
    adapt_rate: float
    baseline: BaselineSpec
    warm_up_steps: int
    rate_reference: tuple[float, ...]
    residual_threshold: tuple[float, ...]
    residual_time_constant_steps: float
    artifacts: tuple[Artifact, ...]
    golden: str


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A reconstructing detector (autoencoder or PCA) over a window of features.

    ``variant`` (VARIANTS) is its form; ``hidden`` its state, 0 where the artifact takes the whole
    window, else it steps. ``parts`` is 2 where y also holds the whitened projection whose squares
    sum up to T2, after the reconstruction whose errors give Q. ``channel_scale``
    [parts * channels] is what counts as 1.0; ``pooling`` over channels is the worst or the sum.
    ``false_alarm_share`` is the budget of calm steps that ``threshold`` was set for.
    """

    name: str
    variant: str
    armed: bool
    reason: str
    window_steps: int
    hidden: int
    parts: int
    pooling: str
    channel_scale: tuple[float, ...]
    threshold: float
    false_alarm_share: float
    artifacts: tuple[Artifact, ...]
    golden: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole bundle. ``files`` are (name, sha256 hex, size in bytes) of all but the manifest.

    ``counter`` only ever rises for a name: a gateway refuses a signed but older bundle.
    """

    name: str
    version: int
    counter: int
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
