"""Is a model better than doing without? Only then is it armed; otherwise it rides in shadow.

Forecaster: mean absolute error of the median at the longest horizon against the best naive
forecast, on the test part. Detectors: faults put into the test part, at equal false alarms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from export.history import Floats, Singles
    from export.models.autoencoder import Reconstruction
    from export.train_config import TrainConfig

NAIVE = ("persistence", "last_increment", "drift")
FALSE_ALARMS = 0.01
"""Share of clean windows that a detector's threshold lets through, for the comparison."""


@dataclass(frozen=True, slots=True)
class Skill:
    """Errors of one target at one horizon, in its unit; ``best_naive`` names the rival."""

    target: str
    horizon: int
    mae: float
    naive_mae: float
    best_naive: str
    coverage: float

    @property
    def skill(self) -> float:
        """1 - error over the best naive error: above 0 is better than doing without."""
        return 1.0 - self.mae / self.naive_mae if self.naive_mae > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Armed or not, and why."""

    armed: bool
    reason: str


def naive_forecasts(labels: Floats, horizons: tuple[int, ...], train: slice) -> dict[str, Floats]:
    """Return float64[steps, targets, horizons] for each naive forecast, from the past alone."""
    last = np.full_like(labels, np.nan)
    for j, h in enumerate(horizons):
        last[h:, :, j] = labels[:-h, :, j]  # y[t] - y[t - h]
    drift = np.broadcast_to(np.nanmean(labels[train], axis=0), labels.shape)
    return {"persistence": np.zeros_like(labels), "last_increment": last, "drift": drift}


def forecast_skill(
    config: TrainConfig, quantiles: Floats, labels: Floats, train: slice, test: slice
) -> tuple[Skill, ...]:
    """Compare; ``quantiles`` float64[steps, targets, horizons, quantiles] in target units."""
    naive = naive_forecasts(labels, config.horizons, train)
    middle = len(config.quantiles) // 2
    found = []
    for i, target in enumerate(config.targets):
        for j, horizon in enumerate(config.horizons):
            truth, q = labels[test, i, j], quantiles[test, i, j]
            both = np.isfinite(truth) & np.isfinite(q[:, middle])
            both &= np.isfinite(naive["last_increment"][test, i, j])
            if not both.any():
                continue
            errors = {
                name: float(np.abs(truth - values[test, i, j])[both].mean())
                for name, values in naive.items()
            }
            best = min(errors, key=lambda name: errors[name])
            mae = float(np.abs(truth - q[:, middle])[both].mean())
            inside = (truth >= q[:, 0]) & (truth <= q[:, -1])
            coverage = float(inside[both].mean())
            found.append(Skill(target, horizon, mae, errors[best], best, coverage))
    return tuple(found)


def judge_forecaster(skills: tuple[Skill, ...], targets: tuple[str, ...], horizon: int) -> Verdict:
    """Arm only when every target beats its best naive forecast at the longest horizon."""
    longest = [s for s in skills if s.horizon == horizon]
    missing = [target for target in targets if target not in {s.target for s in longest}]
    if missing:
        said = f"the test part has too little of {', '.join(missing)} to judge"
        return Verdict(armed=False, reason=f"{said} at {horizon} steps")
    worst = min(longest, key=lambda s: s.skill)
    said = (
        f"{worst.target} at {horizon} steps: error {worst.mae:.3g} against "
        f"{worst.naive_mae:.3g} of {worst.best_naive} (skill {worst.skill:+.2f})"
    )
    if worst.skill > 0:
        return Verdict(armed=True, reason=f"better than every naive forecast; least at {said}")
    return Verdict(armed=False, reason=f"no better than the best naive forecast; {said}")


def faulty(windows: Singles, seed: int) -> Singles:
    """Return the windows with a fault in one feature each: offset, drift, noise, or frozen."""
    random = np.random.default_rng(seed)
    out = windows.copy()
    steps = windows.shape[1]
    ramp = np.linspace(0, 1, steps, dtype=np.float32)
    for i in range(len(out)):
        feature, kind = int(random.integers(out.shape[2])), int(random.integers(4))
        size = float(random.uniform(1.0, 3.0)) * (1 if random.random() < 0.5 else -1)
        column = out[i, :, feature]
        if kind == 0:
            column[steps // 2 :] += size
        elif kind == 1:
            column += size * ramp
        elif kind == 2:
            column += (abs(size) * random.standard_normal(steps)).astype(np.float32)
        else:
            column[:] = column[0]
    return out


def channel_errors(
    net: Reconstruction, windows: npt.NDArray[Any], weights: npt.NDArray[Any]
) -> Floats:
    """Return the mean squared error of each channel: float64[n, channels]."""
    error = (windows - net.run(windows.astype(np.float32))).astype(np.float64) ** 2
    return np.asarray(error.mean(axis=1) @ weights)


def detection_rate(
    net: Reconstruction, clean: Singles, test: Singles, weights: npt.NDArray[Any], seed: int
) -> float:
    """Return the share of faulty test windows found at FALSE_ALARMS on the clean test windows."""
    scale = np.maximum(channel_errors(net, clean, weights).mean(axis=0), 1e-9)
    quiet = (channel_errors(net, test, weights) / scale).max(axis=1)
    loud = (channel_errors(net, faulty(test, seed), weights) / scale).max(axis=1)
    return float((loud > np.quantile(quiet, 1.0 - FALSE_ALARMS)).mean())


def judge_detectors(autoencoder: float, pca: float) -> tuple[Verdict, Verdict]:
    """Arm the better of the two (autoencoder's verdict first), if it finds anything at all."""
    said = (
        f"finds {autoencoder:.0%} of injected faults against {pca:.0%} of PCA, "
        f"both at {FALSE_ALARMS:.0%} false alarms"
    )
    if max(autoencoder, pca) <= FALSE_ALARMS:
        neither = Verdict(armed=False, reason=f"neither is worth its false alarms: AE {said}")
        return neither, neither
    if autoencoder > pca:
        shadow = Verdict(armed=False, reason=f"the autoencoder {said}")
        return Verdict(armed=True, reason=f"the autoencoder {said}"), shadow
    armed = Verdict(armed=True, reason=f"the autoencoder {said}")
    return Verdict(armed=False, reason=f"the autoencoder {said}"), armed
