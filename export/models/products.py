"""Products and gates in float that XNNPACK's plain kernels compute alike on x86 and on arm64.

Measured with LiteRT under qemu-user, to the last bit: a column is summed in the same order on both
as long as the columns fill whole vectors (those of forms for integers do where the hidden size is a
multiple of 8); tanh is the same, the sigmoid is not. Kernels that XNNPACK has for one CPU alone sum
in orders of their own (benchmarks/flash_cpu.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from export.history import Singles
    from export.models.gru import GruWeights

LANES = 8
"""Floats in the widest vector that the kernels of both have in common."""
SMALL = 1023
"""A product of at most so many weights is left in float by the converter's dynamic range."""


def product(x: Any, kernel: Singles, bias: Singles) -> Any:
    """Return x @ kernel + bias, of columns that fill whole vectors; those added are cut off.

    They are left out where the converter would then take the product for a large one.
    """
    import tensorflow as tf

    rows, columns = kernel.shape
    more = -columns % LANES
    if not more or rows * columns <= SMALL < rows * (columns + more):
        return tf.matmul(x, kernel) + bias
    wide = np.pad(kernel, ((0, 0), (0, more))), np.pad(bias, (0, more))
    return (tf.matmul(x, wide[0]) + wide[1])[:, :columns]


def halved_gates(w: GruWeights) -> GruWeights:
    """Return the weights whose gates are 0.5 + 0.5 tanh: a sigmoid of twice what comes in."""
    scale = np.ones(3 * w.hidden, np.float32)
    scale[: 2 * w.hidden] = 0.5  # a power of two: nothing is rounded
    return replace(w, kernel=w.kernel * scale, recurrent=w.recurrent * scale, bias=w.bias * scale)
