"""The training arrays of one station: features, labels, naive forecasts, spans and folds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import TalusError
from export.history import feature_rows, fit_features
from export.models import windows
from export.models.folds import Fold, folds
from export.models.naives import drifts, naive_forecasts
from export.models.recipe import suited

if TYPE_CHECKING:
    from edge.manifest import FeatureSpec
    from export.history import Flags, Floats, History, Singles
    from export.train_config import TrainConfig


@dataclass(frozen=True, slots=True)
class Material:
    """x float32[steps, features] (zeros where not known), labels float64[steps, targets, horizons].

    ``naive`` holds the increments of each naive forecast, ``drift`` those of one step.
    """

    history: History
    features: FeatureSpec
    x: Singles
    known: Flags
    labels: Floats
    naive: dict[str, Floats]
    drift: tuple[float, ...]
    season_steps: int
    parts: windows.Split
    folds: tuple[Fold, ...]

    def channel_weights(self) -> Floats:
        """Return float64[features, channels]: the mean over the features of each channel."""
        weights = np.zeros((len(self.features.terms), len(self.history.channels)))
        for i, term in enumerate(self.features.terms):
            weights[i, self.history.channels.index(term.channel)] = 1.0
        count = weights.sum(axis=0)
        return np.asarray(weights / np.where(count > 0, count, 1.0))

    def cut(self, span: slice, window: int) -> Singles:
        """Return every whole window of features in a span: float32[n, window, features]."""
        return windows.stacked(self.x[span], self.known[span], window)


def _check_length(wanted: TrainConfig, steps: int) -> None:
    """Ask for two of the longest horizon to learn from, and a whole one to be judged on."""
    longest = wanted.horizons[-1]
    train_share = 1.0 - wanted.calibration_share - wanted.test_share
    needed = math.ceil(max(2 * longest / train_share, longest / wanted.test_share))
    if steps < needed:
        raise TalusError(
            f"train.horizons: {steps} grid steps of history, {needed} needed for the longest, "
            f"{longest} steps: the training part holds two of it and the test part one"
        )


def prepare(wanted: TrainConfig, history: History) -> Material:
    """Split, fit the features on the training part, and label. Raises TalusError."""
    steps = len(history.values)
    parts = windows.split(steps, wanted.calibration_share, wanted.test_share)
    longest, first = wanted.horizons[-1], parts.train.stop
    _check_length(wanted, steps)
    terms = suited(wanted, history.values[:first], history.channels)
    features = fit_features(terms, history, first)
    x, known = feature_rows(features, history)
    labels = windows.increments(history, wanted.targets, wanted.horizons)
    fit = slice(0, first - longest)
    drift = drifts(labels, fit)
    season = wanted.season_steps if 2 * wanted.season_steps <= first else 0
    naive = naive_forecasts(history, wanted.targets, wanted.horizons, drift, season)
    held = wanted.calibration_share + wanted.test_share
    return Material(
        history=history,
        features=features,
        x=x,
        known=known,
        labels=labels,
        naive=naive,
        drift=drift,
        season_steps=season,
        parts=parts,
        folds=folds(steps, held, wanted.folds, longest),
    )
