"""Reconstruction-error detectors: the autoencoder, and the PCA that is built beside it.

Both take a window of features and give it back; the error of a channel is the mean squared
difference over the window and its features, over that channel's own scale from calibration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge.score import Score

if TYPE_CHECKING:
    from edge.features import Singles
    from edge.manifest import DetectorSpec, FeatureSpec
    from edge.runtime import Model


class Detector:
    """Streaming detector of one station; ``score_one`` gives None while the window fills."""

    def __init__(
        self, spec: DetectorSpec, features: FeatureSpec, channels: tuple[str, ...], model: Model
    ) -> None:
        self._spec = spec
        self._model = model
        self._channels = channels
        self._size = len(features.terms)
        weights = np.zeros((self._size, len(channels)), dtype=np.float32)
        for i, term in enumerate(features.terms):
            weights[i, channels.index(term.channel)] = 1.0
        share = weights.sum(axis=0) * np.array(spec.channel_scale) * spec.window_steps
        weights /= np.where(share > 0, share, 1.0).astype(np.float32)
        # One row for each value of the flat window: the mean of a channel is then one product.
        self._weights = np.tile(weights, (spec.window_steps, 1))
        self._error = np.zeros(spec.window_steps * self._size, dtype=np.float32)
        # Twice the window: writing each row twice keeps the window one contiguous view.
        self._ring = np.zeros((2 * spec.window_steps, self._size), dtype=np.float32)
        window = spec.window_steps
        spans = [self._ring[i + 1 : i + 1 + window] for i in range(window)]
        self._views = [span.reshape(1, window, self._size) for span in spans]
        self._flat = [view.reshape(-1) for view in self._views]
        self._place = 0
        self._filled = 0

    def reset(self) -> None:
        """Forget the window."""
        self._place = self._filled = 0

    def score_one(self, x: Singles | None) -> Score | None:
        """Take the features of one step."""
        window = self._spec.window_steps
        if x is None:
            self.reset()
            return None
        place = self._place
        self._ring[place] = x
        self._ring[place + window] = x
        self._place = (place + 1) % window
        self._filled += 1
        if self._filled < window:
            return None
        y, _ = self._model.step(self._views[place])
        error = self._error
        np.subtract(self._flat[place], y.ravel(), out=error)
        np.multiply(error, error, out=error)
        by_channel = error.dot(self._weights).tolist()
        value = max(by_channel)
        total = sum(by_channel)
        if total - total != 0.0:  # nonsense is not calm: no score, and silence alarms
            self.reset()
            return None
        spec, worst = self._spec, self._channels[by_channel.index(value)]
        return Score(spec.name, worst, value, spec.threshold, "1", spec.armed)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        window = self._spec.window_steps
        return {"rows": self._ring[:window].tolist(), "place": self._place, "filled": self._filled}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same detector."""
        window = self._spec.window_steps
        rows = np.array(state["rows"], dtype=np.float32).reshape(window, self._size)
        self._ring[:window] = rows
        self._ring[window:] = rows
        self._place, self._filled = int(state["place"]), int(state["filled"])
