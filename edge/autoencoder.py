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
        self._weights = np.zeros((self._size, len(channels)), dtype=np.float32)
        for i, term in enumerate(features.terms):
            self._weights[i, channels.index(term.channel)] = 1.0
        share = self._weights.sum(axis=0) * np.array(spec.channel_scale) * spec.window_steps
        self._weights /= np.where(share > 0, share, 1.0)
        # Twice the window: writing each row twice keeps the window one contiguous view.
        self._ring = np.zeros((2 * spec.window_steps, self._size), dtype=np.float32)
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
        view = self._ring[place + 1 : place + 1 + window]
        y, _ = self._model.step(view.reshape(1, window, self._size))
        error = view - y.reshape(window, self._size)
        np.multiply(error, error, out=error)
        by_channel = np.add.reduce(error, axis=0) @ self._weights
        worst = int(by_channel.argmax())
        value = float(by_channel[worst])
        if value != value or value == float("inf"):
            self.reset()
            return None
        spec = self._spec
        return Score(spec.name, self._channels[worst], value, spec.threshold, "1", spec.armed)

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
