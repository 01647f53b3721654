"""Detectors that take a whole window and give it back: their layers, reference and graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from export.models.to_onnx import dynamic_int8, reconstruction_to_onnx
from export.models.to_tflite import reconstruction_function

if TYPE_CHECKING:
    from export.history import Singles

_BATCH = 512


@dataclass(frozen=True, slots=True)
class Dense:
    """The flat window times ``kernel`` [in, out], plus ``bias`` [out], then ReLU if so."""

    kernel: Singles
    bias: Singles
    relu: bool


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution over time: ``kernel`` [steps, in, out], "same" padding, ``stride``.

    With ``repeat`` every step is doubled first (nearest upsampling).
    """

    kernel: Singles
    bias: Singles
    relu: bool
    stride: int
    repeat: bool

    def padding(self, steps: int) -> tuple[int, int]:
        """Return the zeros before and after so many steps, as TensorFlow's SAME."""
        size = self.kernel.shape[0]
        total = max((-(-steps // self.stride) - 1) * self.stride + size - steps, 0)
        return total // 2, total - total // 2


Layer = Dense | Conv


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Layers from [window, features] to [parts * window, features].

    With two parts the second holds the whitened projection whose squares sum up to T2.
    """

    window_steps: int
    features: int
    layers: tuple[Layer, ...]
    parts: int = 1

    @property
    def hidden(self) -> int:
        """No state: a whole window a call."""
        return 0

    def run(self, stream: Singles) -> tuple[Singles, Singles]:
        """Reconstruct [n, window, features] in float64; there are no states."""
        out = [
            self.apply(stream[i : i + _BATCH].astype(np.float64))
            for i in range(0, len(stream), _BATCH)
        ]
        empty = np.zeros((0, self.parts * self.window_steps, self.features))
        found = np.concatenate(out) if out else empty
        return found.astype(np.float32), np.zeros((len(stream), 0), np.float32)

    def apply(self, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Reconstruct in the precision of the input."""
        h = windows
        for layer in self.layers:
            if isinstance(layer, Dense):
                h = h.reshape(len(h), -1) @ layer.kernel + layer.bias
            else:
                h = _convolved(layer, h)
            if layer.relu:
                h = np.maximum(h, 0.0)
        return h.reshape(len(windows), self.parts * self.window_steps, self.features)

    def tf_function(self, precision: str, stream: Singles, states: Singles) -> Any:
        """Return the tf.function: the same form for every precision."""
        return reconstruction_function(self)

    def float_sums(self, precision: str) -> bool:
        """No state that int8 could wear down."""
        return False

    def onnx(self) -> bytes:
        """Return it as ONNX, its batch dynamic."""
        return reconstruction_to_onnx(self)

    def onnx_int8(self, states: Singles) -> bytes:
        """Return it with int8 weights."""
        return dynamic_int8(self.onnx())


def _convolved(layer: Conv, h: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if layer.repeat:
        h = np.repeat(h, 2, axis=1)
    steps, size = h.shape[1], layer.kernel.shape[0]
    padded = np.pad(h, ((0, 0), layer.padding(steps), (0, 0)))
    out: Any = layer.bias
    count = -(-steps // layer.stride)
    for k in range(size):
        taken = padded[:, k : k + (count - 1) * layer.stride + 1 : layer.stride]
        out = out + taken @ layer.kernel[k]
    return np.asarray(out)
