"""A Keras model from elsewhere as something to export.

One input x is a call of its own, x -> y; two inputs (x, state) with outputs (y, next_state) are a
step. A step made of a GRUCell and a dense head is taken for what it is, and so gets the forms that
lose least in integers, and ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import TalusError
from export.models.gru import GruWeights
from export.models.gru_export import ExportableGru
from export.models.keras_onnx import dense_to_onnx
from export.models.to_onnx import dynamic_int8
from export.quiet import native_silence

if TYPE_CHECKING:
    from pathlib import Path

    from export.history import Singles
    from export.models.exportable import Exportable

SUFFIXES = (".keras", ".h5")
_BATCH = 256
_CLOSE = 1e-4


@dataclass(frozen=True, slots=True)
class ExportableKeras:
    """``model`` as loaded, ``shape`` of one x without its batch, ``hidden`` 0 without a state."""

    model: Any
    shape: tuple[int, ...]
    hidden: int

    def run(self, stream: Singles) -> tuple[Singles, Singles]:
        """Run float32[n, *shape] in float32, Keras' own precision, from zero state."""
        if not self.hidden:
            y = self.model.predict(stream, batch_size=_BATCH, verbose=0)
            return np.asarray(y, np.float32), np.zeros((len(stream), 0), np.float32)
        step = self.tf_function("float32", stream, stream)
        state = np.zeros((1, self.hidden), np.float32)
        outputs, states = [], []
        for x in stream:
            states.append(np.asarray(state)[0])
            found = step(x[None], state)
            outputs.append(np.asarray(found["y"])[0])
            state = found["next_state"]
        return np.stack(outputs), np.stack(states)

    def tf_function(self, precision: str, stream: Singles, states: Singles) -> Any:
        """Return the model with a batch of one; the same form for every precision."""
        import tensorflow as tf

        specs = [tf.TensorSpec((1, *self.shape), tf.float32, name="x")]
        if self.hidden:
            specs.append(tf.TensorSpec((1, self.hidden), tf.float32, name="state"))
        inner = _frozen(self.model, specs)

        @tf.function(input_signature=specs)  # type: ignore[untyped-decorator, unused-ignore]
        def step(*given: Any) -> dict[str, Any]:
            return dict(zip(("y", "next_state"), inner(*given), strict=False))

        return step

    def float_sums(self, precision: str) -> bool:
        """Tell whether only the products are quantised: a state in int8 loses its slow part."""
        return precision == "int8" and self.hidden > 0

    def onnx(self) -> bytes:
        """Return ONNX for a stack of dense layers, b"" for anything else."""
        return b"" if self.hidden else dense_to_onnx(self.model, self.shape)

    def onnx_int8(self, states: Singles) -> bytes:
        """Return it with int8 weights, b"" where there is none."""
        whole = self.onnx()
        return dynamic_int8(whole) if whole else b""


def _frozen(model: Any, specs: list[Any]) -> Any:
    """Return the model as a function of constants: a signature is lost with its variables."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    @tf.function(input_signature=specs)  # type: ignore[untyped-decorator, unused-ignore]
    def call(*given: Any) -> list[Any]:
        found = model(list(given) if len(given) > 1 else given[0], training=False)
        return list(found) if isinstance(found, list | tuple) else [found]

    return convert_variables_to_constants_v2(call.get_concrete_function())


def read_keras(path: Path) -> Exportable:
    """Load a model file. Raises TalusError: not a model, or not one that can be exported."""
    import tensorflow as tf

    if not path.is_file():
        raise TalusError(f"{path}: there is no such file")
    try:
        with native_silence():
            model = tf.keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever its readers do
        said = " ".join(str(error).split())[:300]
        raise TalusError(f"{path}: Keras cannot load it: {said}") from error
    return of_keras(model, str(path))


def of_keras(model: Any, path: str = "model") -> Exportable:
    """Return a loaded model as something to export. Raises TalusError naming ``path``."""
    try:
        inputs, outputs = list(model.inputs), list(model.outputs)
    except (AttributeError, ValueError, TypeError):
        raise TalusError(f"{path}: was never built: give it an Input and save it anew") from None
    forms = {(1, 1): "call", (2, 2): "step"}
    if (len(inputs), len(outputs)) not in forms:
        raise TalusError(
            f"{path}: {len(inputs)} inputs and {len(outputs)} outputs; it must be x -> y, or "
            "(x, state) -> (y, next_state)"
        )
    for tensor in inputs:
        if None in tensor.shape[1:] or len(tensor.shape) < 2:
            raise TalusError(f"{path}: input {tensor.name} is {_size(tensor)}: fix all its sizes "
                             "but the batch, and save it anew")  # fmt: skip
        if tensor.dtype != "float32":
            raise TalusError(f"{path}: input {tensor.name} is {tensor.dtype}, float32 is needed")
    shape = tuple(int(n) for n in inputs[0].shape[1:])
    if len(inputs) == 1:
        return ExportableKeras(model, shape, 0)
    state, following = inputs[1], outputs[1]
    if len(state.shape) != 2 or tuple(following.shape[1:]) != tuple(state.shape[1:]):
        raise TalusError(
            f"{path}: the second output is {_size(following)}, the second input {_size(state)}: "
            "both must be the state, [batch, hidden]"
        )
    found = ExportableKeras(model, shape, int(state.shape[1]))
    weights = _gru(found)
    return found if weights is None else ExportableGru(weights)


def input_shape(model: Exportable) -> tuple[int, ...]:
    """Return the shape of one x, without its batch, of what ``read_keras`` gave."""
    if isinstance(model, ExportableGru):
        return (int(model.weights.kernel.shape[0]),)
    assert isinstance(model, ExportableKeras)
    return model.shape


def _size(tensor: Any) -> str:
    return "[" + ", ".join("?" if n is None else str(n) for n in tensor.shape) + "]"


def _gru(found: ExportableKeras) -> GruWeights | None:
    """Return the weights of a GRUCell with a dense head, proven by its own outputs, else None."""
    layers = [layer for layer in found.model.layers if layer.get_weights()]
    kinds = [type(layer).__name__ for layer in layers]
    if kinds != ["GRUCell", "Dense"] or len(found.shape) != 1:
        return None
    arrays = [array for layer in layers for array in layer.get_weights()]
    if [array.ndim for array in arrays] != [2, 2, 2, 2, 1]:
        return None
    weights = GruWeights(*arrays)
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (16, *found.shape)).astype(np.float32)
    state = random.uniform(-1, 1, (16, found.hidden)).astype(np.float32)
    given = found.model.predict([x, state], verbose=0)
    # Other activations, or a head elsewhere, give something else: the general road then.
    same = (
        np.allclose(a, b, atol=_CLOSE) for a, b in zip(weights.step(x, state), given, strict=True)
    )
    return weights if all(same) else None
