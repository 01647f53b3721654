"""Detectors trained on calm windows: dense, convolutional and recurrent autoencoders, and PCA.

PCA gives T2 and Q (Jackson & Mudholkar 1979), both split among the channels by complete
decomposition contributions (Alcala & Qin 2009); it is what an autoencoder has to beat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from export.models import gru
from export.models.gru_export import ExportableGru
from export.models.reconstruction import Conv, Dense, Layer, Reconstruction

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.history import Singles

    Tell = Callable[[int, float], None]

BATCH = 64
MAX_WINDOWS = 8000
"""Windows trained on at most: neighbours overlap in all but one step."""
PCA_SHARE = 0.9
_WIDER = 3
_TAPS = 5
CONV_DIVIDES = 4
"""Two layers halve the window: it must be a multiple of this."""
_TINY = 1e-6


def fit_pca(windows: Singles, share: float = PCA_SHARE) -> Reconstruction:
    """Return the projection onto the components that hold so much of the variance."""
    window, features = windows.shape[1:]
    flat = thinned(windows).astype(np.float64).reshape(-1, window * features)
    mean = flat.mean(axis=0)
    _, size, axes = np.linalg.svd(flat - mean, full_matrices=False)
    variance = size**2 / max(len(flat) - 1, 1)
    held = np.cumsum(variance) / max(variance.sum(), _TINY)
    kept = int(np.clip(np.searchsorted(held, share) + 1, 1, max(1, window * features // 2)))
    axes, variance = axes[:kept], np.maximum(variance[:kept], _TINY)
    whitened = axes / np.sqrt(variance)[:, None]
    # x -> scores -> (reconstruction, P L^-1/2 P' x): the squares of the second sum up to T2.
    down = Dense(axes.T.astype(np.float32), (-mean @ axes.T).astype(np.float32), relu=False)
    up = Dense(
        np.concatenate([axes, whitened], axis=1).astype(np.float32),
        np.concatenate([mean, np.zeros_like(mean)]).astype(np.float32),
        relu=False,
    )
    return Reconstruction(window, features, (down, up), parts=2)


def fit_dense(
    windows: Singles, bottleneck: int, epochs: int, seed: int, tell: Tell
) -> Reconstruction:
    """Train the dense autoencoder; ``tell(epoch, loss)`` after each epoch."""
    import tensorflow as tf

    size = windows.shape[1] * windows.shape[2]
    wide = _WIDER * bottleneck

    def layers() -> list[Any]:
        return [
            tf.keras.layers.Dense(wide, activation="relu"),
            tf.keras.layers.Dense(bottleneck),
            tf.keras.layers.Dense(wide, activation="relu"),
            tf.keras.layers.Dense(size),
        ]

    flat = thinned(windows).reshape(-1, size)
    found: list[Layer] = []
    for i, (kernel, bias) in enumerate(_fit(layers, (size,), flat, epochs, seed, tell)):
        found.append(Dense(kernel, bias, relu=i % 2 == 0))
    return Reconstruction(windows.shape[1], windows.shape[2], tuple(found))


def fit_conv(windows: Singles, channels: int, epochs: int, seed: int, tell: Tell) -> Reconstruction:
    """Train the convolutional autoencoder: the window halved twice, then doubled twice.

    ``channels`` are those of the bottleneck. The window must be a multiple of CONV_DIVIDES.
    """
    import tensorflow as tf

    window, features = windows.shape[1:]
    plan = ((2 * channels, 2, False), (channels, 2, False), (2 * channels, 1, True))

    def layers() -> list[Any]:
        made: list[Any] = []
        for out, stride, repeat in (*plan, (features, 1, True)):
            if repeat:
                made.append(tf.keras.layers.UpSampling1D(2))
            last = out == features and repeat and len(made) > len(plan)
            activation = None if last else "relu"
            made.append(tf.keras.layers.Conv1D(out, _TAPS, stride, "same", activation=activation))
        return made

    found: list[Layer] = []
    fitted = _fit(layers, (window, features), thinned(windows), epochs, seed, tell)
    for i, (kernel, bias) in enumerate(fitted):
        stride, repeat = (plan[i][1], plan[i][2]) if i < len(plan) else (1, True)
        found.append(Conv(kernel, bias, i < len(plan), stride, repeat))
    return Reconstruction(window, features, tuple(found))


def _fit(
    layers: Callable[[], list[Any]],
    shape: tuple[int, ...],
    rows: Singles,
    epochs: int,
    seed: int,
    tell: Tell,
) -> list[tuple[Singles, Singles]]:
    """Train rows onto themselves; returns kernel and bias of every layer that has them."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    model = tf.keras.Sequential([tf.keras.Input(shape), *layers()])
    model.compile(optimizer=tf.keras.optimizers.Adam(2e-3), loss="mse")

    class After(tf.keras.callbacks.Callback):  # type: ignore[misc, unused-ignore]
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            tell(epoch, (logs or {}).get("loss", float("nan")))

    model.fit(rows, rows, BATCH, epochs, verbose=0, shuffle=True, callbacks=[After()])
    return [tuple(layer.get_weights()) for layer in model.layers if layer.get_weights()]


def fit_gru(sequences: Singles, hidden: int, epochs: int, seed: int, tell: Tell) -> ExportableGru:
    """Train the recurrent autoencoder over float32[n, steps, features]: one step at a time.

    Its state is narrower than a step: to give the step back it must know how the slope goes on.
    """
    recipe = gru.Recipe(
        hidden, (0.5,), min(8, sequences.shape[1] // 4), epochs, 0.0, 0.0, patience=epochs
    )
    labels = sequences[..., None]
    none = (sequences[:0], labels[:0])
    found = gru.fit(
        recipe, (sequences, labels), none, (seed,), lambda epoch, loss, _: tell(epoch, loss)
    )
    return ExportableGru(found[0])


def thinned(windows: Singles) -> Singles:
    """Keep at most MAX_WINDOWS, evenly spaced."""
    if len(windows) <= MAX_WINDOWS:
        return windows
    return np.asarray(windows[np.linspace(0, len(windows) - 1, MAX_WINDOWS).astype(int)])
