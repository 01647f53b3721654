"""The GRU as something to export: its reference, and its graph in each format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from export.models import gru
from export.models.gru_graphs import step_function
from export.models.rounding import rounded
from export.models.to_onnx import dynamic_int8, gru_to_onnx

if TYPE_CHECKING:
    from export.history import Singles


@dataclass(frozen=True, slots=True)
class ExportableGru:
    """A step with an explicit state: x [1, F], state [1, H] -> y [1, O], next_state."""

    weights: gru.GruWeights

    @property
    def hidden(self) -> int:
        """Size of the state."""
        return self.weights.hidden

    def run(self, stream: Singles) -> tuple[Singles, Singles]:
        """Step float32[n, F] from zero state in float64: outputs, and the states before."""
        return gru.run(self.weights, stream)

    def tf_function(self, precision: str, stream: Singles, states: Singles) -> Any:
        """Return the step in the form that suits a precision."""
        return step_function(self.weights, precision, stream, states)

    def float_sums(self, precision: str) -> bool:
        """Tell whether only the products are quantised: a state in int8 loses its slow part."""
        return precision == "int8"

    def onnx(self) -> bytes:
        """Return the step as ONNX, its batch dynamic."""
        return gru_to_onnx(self.weights)

    def onnx_int8(self, states: Singles) -> bytes:
        """Return it with the recurrent weights in int8, rounded to what the state is."""
        fitted = replace(self.weights, recurrent=rounded(self.weights.recurrent, states))
        return dynamic_int8(gru_to_onnx(fitted), ("recurrent",))
