"""What every trained model offers, so that one road converts, proves and bundles them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from export.history import Singles


class Exportable(Protocol):
    """A trained model: its numpy reference, and its graph in each format.

    With a state (``hidden`` above 0) one call is one step: x [1, F], state [1, H] -> y,
    next_state. Without, one call is one whole window: x [1, window, F] -> y.
    """

    @property
    def hidden(self) -> int:
        """Size of the state; 0 where there is none."""
        ...

    def run(self, stream: Singles) -> tuple[Singles, Singles]:
        """Run float32[n, ...] in float64, the reference of every parity figure.

        Returns the outputs [n, ...] and the states before each call [n, hidden].
        """
        ...

    def tf_function(self, precision: str, stream: Singles, states: Singles) -> Any:
        """Return a tf.function with an input signature, giving {"y"[, "next_state"]}.

        ``stream`` and the ``states`` before each of its steps are what the model meets.
        """
        ...

    def float_sums(self, precision: str) -> bool:
        """Tell whether int8 is for the products alone."""
        ...

    def onnx(self) -> bytes:
        """Return a checked ONNX model with a dynamic batch, b"" where it has none."""
        ...

    def onnx_int8(self, states: Singles) -> bytes:
        """Return the same with int8 weights, activations quantised at run time, or b""."""
        ...
