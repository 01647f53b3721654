"""Two detectors of one shape: a dense autoencoder, and the PCA that it has to beat.

Both are ``window -> window`` through a bottleneck; PCA is the linear one (Jackson & Mudholkar
1979), so that both ship in the same artifacts and run through the same code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.history import Singles
    from export.train_config import TrainConfig

BATCH = 64
_WIDER = 3
MAX_WINDOWS = 8000
"""Windows trained on at most: neighbours overlap in all but one step."""


@dataclass(frozen=True, slots=True)
class Layer:
    """y = x @ kernel + bias, then ReLU if so."""

    kernel: Singles
    bias: Singles
    relu: bool


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Layers from the flat window back to the flat window."""

    window_steps: int
    features: int
    layers: tuple[Layer, ...]

    def run(self, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Reconstruct [n, window, features] in the precision of the input."""
        flat = windows.reshape(len(windows), -1)
        for layer in self.layers:
            flat = flat @ layer.kernel + layer.bias
            if layer.relu:
                flat = np.maximum(flat, 0.0)
        return flat.reshape(len(windows), self.window_steps, self.features)


def fit_pca(config: TrainConfig, windows: Singles) -> Reconstruction:
    """Return the projection onto the leading principal components."""
    flat = _thinned(windows).astype(np.float64)
    flat = flat.reshape(len(flat), -1)
    mean = flat.mean(axis=0)
    _, _, axes = np.linalg.svd(flat - mean, full_matrices=False)
    kept = axes[: config.bottleneck]
    down = Layer(kept.T.astype(np.float32), (-mean @ kept.T).astype(np.float32), relu=False)
    up = Layer(kept.astype(np.float32), mean.astype(np.float32), relu=False)
    return Reconstruction(windows.shape[1], windows.shape[2], (down, up))


def fit_autoencoder(
    config: TrainConfig, windows: Singles, progress: Callable[[int, float], None]
) -> Reconstruction:
    """Train the autoencoder; ``progress(epoch, loss)`` is called after each epoch."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    kept = _thinned(windows)
    flat = kept.reshape(len(kept), -1)
    wide, size = _WIDER * config.bottleneck, flat.shape[1]
    dense = [
        tf.keras.layers.Dense(wide, activation="relu"),
        tf.keras.layers.Dense(config.bottleneck),
        tf.keras.layers.Dense(wide, activation="relu"),
        tf.keras.layers.Dense(size),
    ]
    model = tf.keras.Sequential([tf.keras.Input((size,)), *dense])
    model.compile(optimizer=tf.keras.optimizers.Adam(2e-3), loss="mse")

    class Tell(tf.keras.callbacks.Callback):  # type: ignore[misc, unused-ignore]
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            progress(epoch, (logs or {}).get("loss", float("nan")))

    model.fit(flat, flat, BATCH, config.epochs, verbose=0, shuffle=True, callbacks=[Tell()])
    layers = []
    for i, layer in enumerate(dense):
        kernel, bias = layer.get_weights()
        layers.append(Layer(kernel, bias, relu=i % 2 == 0))
    return Reconstruction(windows.shape[1], windows.shape[2], tuple(layers))


def _thinned(windows: Singles) -> Singles:
    """Keep at most MAX_WINDOWS, evenly spaced."""
    if len(windows) <= MAX_WINDOWS:
        return windows
    return np.asarray(windows[np.linspace(0, len(windows) - 1, MAX_WINDOWS).astype(int)])
