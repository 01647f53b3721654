"""Reconstruction-error detectors: the autoencoder, and the PCA that is built beside it.

Either a window of features goes in and comes back, or a step does (a recurrent one, its state in
hand). The error of a channel is the mean squared difference over the window and its features, over
that channel's own scale from calibration: Q of PCA, split by channel. PCA gives a second part, the
whitened projection whose squares are T2, split likewise (Alcala & Qin 2009).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.score import Head, Scores

if TYPE_CHECKING:
    from edge.evidence import Floats
    from edge.features import Singles
    from edge.manifest import DetectorSpec, FeatureSpec
    from edge.runtime import Model
    from edge.score import Blame, Score

MOST_BLAMED = 4
"""Channels named in the evidence of a score that is over its threshold."""


_NAN = float("nan")


class Detector:
    """Streaming detector of one station; gives nothing while the window fills."""

    def __init__(
        self, spec: DetectorSpec, features: FeatureSpec, channels: tuple[str, ...], model: Model
    ) -> None:
        self._spec = spec
        self._model = model
        self._channels = channels
        self._size = len(features.terms)
        window, width = spec.window_steps, self._size
        self._weights = _weights(spec, features, channels)
        if spec.hidden:
            width = spec.parts * len(channels)
        self._flat_size = (1 if spec.hidden else window) * self._size
        # Differences as single as the values; sums in double: in which order a machine adds must
        # not show in what is published.
        self._all, self._apart, self._whitened = _scratch(self._flat_size, spec.parts)
        # Twice the window: writing each row twice keeps the window one contiguous view.
        self._ring = np.zeros((2 * window, width), dtype=np.float32)
        self._flat_ring = self._ring.reshape(-1)
        self._twice = self._ring.reshape(2, window, width)
        self._shape = (1, window, width)
        self.errors: list[float] = []
        """Of each channel, part after part, at the last step that had a score."""
        self.head = Head(spec.name, "", spec.threshold, "1", spec.armed, self.blame)
        self.reset()

    def reset(self) -> None:
        """Forget the window and the state."""
        self._place = self._filled = 0
        self._state = (
            np.zeros((1, self._spec.hidden), dtype=np.float32) if self._spec.hidden else None
        )

    def score_one(self, x: Singles | None) -> Score | None:
        """As `push`, spelt out; None while the window fills."""
        return next(iter(Scores((self.head,), [self.push(x)], (self.errors,))), None)

    def push(self, x: Singles | None) -> float:
        """Take the features of one step: the score, NaN while the window fills."""
        if x is None:
            self.reset()
            return _NAN
        place, window = self._place, self._spec.window_steps
        by_channel = self._step(x, place) if self._spec.hidden else self._whole(x, place)
        self._place = place + 1 if place + 1 < window else 0
        self._filled += 1
        if by_channel is None:
            return _NAN
        total = sum(by_channel)
        if total - total != 0.0:  # nonsense is not calm: no score, and silence alarms
            self.reset()
            return _NAN
        self.errors = by_channel
        if self._spec.pooling == "max":
            return max(by_channel)
        return max(sum(part) for part in self._parts(by_channel))

    def _whole(self, x: Singles, place: int) -> list[float] | None:
        """Reconstruct the window that ends with this step."""
        window = self._spec.window_steps
        self._twice[:, place] = x
        if self._filled + 1 < window:
            return None
        begin = (place + 1) * self._size
        flat = self._flat_ring[begin : begin + self._flat_size]
        y, _ = self._model.step(flat.reshape(self._shape))
        return self._errors(flat, y.ravel())

    def _step(self, x: Singles, place: int) -> list[float] | None:
        """Reconstruct this step; its errors join those of the window."""
        window = self._spec.window_steps
        y, self._state = self._model.step(x.reshape(1, -1), self._state)
        now = self._errors(x, y.ravel())
        self._twice[:, place] = now
        if self._filled + 1 < window:
            return None
        view = self._ring[place + 1 : place + 1 + window]
        mean: list[float] = view.mean(axis=0, dtype=np.float64).tolist()
        return mean

    def _errors(self, x: Singles, y: Singles) -> list[float]:
        """Return the scaled squared error of each channel, part after part."""
        size, (single, double) = self._flat_size, self._apart
        np.subtract(x, y[:size], single)
        if self._spec.parts > 1:
            whitened = y[size:]
            np.multiply(whitened, whitened, self._whitened[0])
        self._all[1][:] = self._all[0]  # at once: cast on the way it costs three times as much
        np.multiply(double, double, double)
        found: list[float] = self._weights[0].dot(double).tolist()
        if self._spec.parts > 1:
            found += self._weights[1].dot(self._whitened[1]).tolist()
        return found

    def _parts(self, by_channel: list[float]) -> list[list[float]]:
        count = len(self._channels)
        return [by_channel[i : i + count] for i in range(0, len(by_channel), count)]

    def blame(self, value: float, by_channel: list[float]) -> Blame:
        """Give the channel to blame for a score, and where it is over its threshold their shares.

        The channels are pooled: the worst of them, or the sum of the worse part.
        """
        spec, channels = self._spec, self._channels
        if spec.pooling == "max":
            place = by_channel.index(value)
            start = place - place % len(channels)
            worst, blamed = channels[place - start], by_channel[start : start + len(channels)]
            if value < spec.threshold:
                return worst, ()
        else:
            _, blamed = max((sum(part), part) for part in self._parts(by_channel))
        worst = channels[blamed.index(max(blamed))]
        if value < spec.threshold:
            return worst, ()
        total = sum(blamed) or 1.0
        shares = sorted(
            ((name, v / total) for name, v in zip(channels, blamed, strict=True)),
            key=lambda row: -row[1],
        )
        return worst, tuple(shares[:MOST_BLAMED])

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


@lru_cache(maxsize=64)
def _scratch(size: int, parts: int) -> tuple[tuple[Singles, Floats], ...]:
    """Return arrays that hold nothing between two steps: the same for all stations of a thread.

    A single and a double one, and the first part and the rest of both. Detectors are for one
    thread, as the models they step.
    """
    single, double = np.zeros(size * parts, np.float32), np.zeros(size * parts, np.float64)
    return (single, double), (single[:size], double[:size]), (single[size:], double[size:])


@lru_cache(maxsize=64)
def _weights(
    spec: DetectorSpec, features: FeatureSpec, channels: tuple[str, ...]
) -> tuple[Floats, ...]:
    """Return a column for each value of y: the error of a channel is then one product a part.

    The same arrays for all stations of one bundle.
    """
    window = spec.window_steps
    found = channel_weights(features, channels, spec.channel_scale, window, spec.parts)
    steps, share = (1, window) if spec.hidden else (window, 1)
    made = [np.ascontiguousarray(np.tile(w * share, (steps, 1)).T, dtype=np.float64) for w in found]
    for each in made:
        each.flags.writeable = False
    return tuple(made)


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
