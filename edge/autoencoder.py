"""Reconstruction-error detectors: the autoencoder, and the PCA that is built beside it.

Either a window of features goes in and comes back, or a step does (a recurrent one, its state in
hand). The error of a channel is the mean squared difference over the window and its features, over
that channel's own scale from calibration: Q of PCA, split by channel. PCA gives a second part, the
whitened projection whose squares are T2, split likewise (Alcala & Qin 2009).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge.score import Score

if TYPE_CHECKING:
    from edge.features import Singles
    from edge.manifest import DetectorSpec, FeatureSpec
    from edge.runtime import Model

MOST_BLAMED = 4
"""Channels named in the evidence of a score that is over its threshold."""


class Detector:
    """Streaming detector of one station; ``score_one`` gives None while the window fills."""

    def __init__(
        self, spec: DetectorSpec, features: FeatureSpec, channels: tuple[str, ...], model: Model
    ) -> None:
        self._spec = spec
        self._model = model
        self._channels = channels
        self._size = len(features.terms)
        window, width = spec.window_steps, self._size
        weights = channel_weights(features, channels, spec.channel_scale, window, spec.parts)
        if spec.hidden:
            width = spec.parts * len(channels)
        # A column for each value of y: the error of a channel is then one product a part.
        steps = 1 if spec.hidden else window
        self._weights = [
            np.ascontiguousarray(
                np.tile(w * (window if spec.hidden else 1), (steps, 1)).T, dtype=np.float64
            )
            for w in weights
        ]
        self._flat_size = steps * self._size
        # Sums in double: in which order a machine adds must not show in what is published.
        self._error = np.zeros(self._flat_size, dtype=np.float64)
        # Twice the window: writing each row twice keeps the window one contiguous view.
        self._ring = np.zeros((2 * window, width), dtype=np.float32)
        spans = [self._ring[i + 1 : i + 1 + window] for i in range(window)]
        self._views = [span.reshape(1, window, width) for span in spans]
        self._flat = [view.reshape(-1) for view in self._views]
        self.reset()

    def reset(self) -> None:
        """Forget the window and the state."""
        self._place = self._filled = 0
        self._state = (
            np.zeros((1, self._spec.hidden), dtype=np.float32) if self._spec.hidden else None
        )

    def score_one(self, x: Singles | None) -> Score | None:
        """Take the features of one step."""
        if x is None:
            self.reset()
            return None
        place, window = self._place, self._spec.window_steps
        by_channel = self._step(x, place) if self._spec.hidden else self._whole(x, place)
        self._place = (place + 1) % window
        self._filled += 1
        if by_channel is None:
            return None
        total = sum(by_channel)
        if total - total != 0.0:  # nonsense is not calm: no score, and silence alarms
            self.reset()
            return None
        return self._score(by_channel)

    def _whole(self, x: Singles, place: int) -> list[float] | None:
        """Reconstruct the window that ends with this step."""
        window = self._spec.window_steps
        self._ring[place] = x
        self._ring[place + window] = x
        if self._filled + 1 < window:
            return None
        y, _ = self._model.step(self._views[place])
        return self._errors(self._flat[place], y.ravel())

    def _step(self, x: Singles, place: int) -> list[float] | None:
        """Reconstruct this step; its errors join those of the window."""
        window = self._spec.window_steps
        y, self._state = self._model.step(x.reshape(1, -1), self._state)
        now = self._errors(x, y.ravel())
        self._ring[place] = now
        self._ring[place + window] = now
        if self._filled + 1 < window:
            return None
        mean: list[float] = self._views[place][0].mean(axis=0, dtype=np.float64).tolist()
        return mean

    def _errors(self, x: Singles, y: Singles) -> list[float]:
        """Return the scaled squared error of each channel, part after part."""
        error, size = self._error, self._flat_size
        np.subtract(x, y[:size], out=error)
        np.multiply(error, error, out=error)
        found: list[float] = self._weights[0].dot(error).tolist()
        if self._spec.parts > 1:
            np.multiply(y[size:], y[size:], out=error)
            found += self._weights[1].dot(error).tolist()
        return found

    def _score(self, by_channel: list[float]) -> Score:
        """Pool the channels: the worst of them, or the sum of the worse part."""
        spec, count = self._spec, len(self._channels)
        if spec.pooling == "max":
            value = max(by_channel)
            place = by_channel.index(value)
            if value < spec.threshold:
                worst = self._channels[place % count]
                return Score(spec.name, worst, value, spec.threshold, "1", spec.armed)
            start = place - place % count
            blamed = by_channel[start : start + count]
        else:
            parts = [by_channel[i : i + count] for i in range(0, len(by_channel), count)]
            value, blamed = max((sum(part), part) for part in parts)
        worst = self._channels[blamed.index(max(blamed))]
        if value < spec.threshold:
            return Score(spec.name, worst, value, spec.threshold, "1", spec.armed)
        total = sum(blamed) or 1.0
        shares = sorted(
            ((name, v / total) for name, v in zip(self._channels, blamed, strict=True)),
            key=lambda row: -row[1],
        )
        why = tuple(shares[:MOST_BLAMED])
        return Score(spec.name, worst, value, spec.threshold, "1", spec.armed, why)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        window = self._spec.window_steps
        state = None if self._state is None else self._state.tolist()
        rows = self._ring[:window].tolist()
        return {"rows": rows, "place": self._place, "filled": self._filled, "state": state}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same detector."""
        window = self._spec.window_steps
        rows = np.array(state["rows"], dtype=np.float32).reshape(window, self._ring.shape[1])
        self._ring[:window] = rows
        self._ring[window:] = rows
        self._place, self._filled = int(state["place"]), int(state["filled"])
        if self._spec.hidden:
            hidden = np.array(state["state"], dtype=np.float32)
            self._state = hidden.reshape(1, self._spec.hidden)


def channel_weights(
    features: FeatureSpec,
    channels: tuple[str, ...],
    scale: tuple[float, ...],
    window_steps: int,
    parts: int,
) -> list[Singles]:
    """Return float32[features, channels] for each part: errors to the scaled mean of a channel."""
    base = np.zeros((len(features.terms), len(channels)), dtype=np.float64)
    for i, term in enumerate(features.terms):
        base[i, channels.index(term.channel)] = 1.0
    found = []
    for part in range(parts):
        of = np.array(scale[part * len(channels) : (part + 1) * len(channels)])
        share = base.sum(axis=0) * of * window_steps
        found.append((base / np.where(share > 0, share, 1.0)).astype(np.float32))
    return found
