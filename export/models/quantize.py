"""One model into the precisions asked for, each proven, outside of any training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import TalusError
from export.models.artifacts import LIMITS, convert_all, golden, matrix, stream_of
from export.models.devices import integer_throughout
from export.models.matrix import markdown
from export.models.parity import prove

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.history import Flags, Singles
    from export.models.artifacts import Progress
    from export.models.exportable import Exportable
    from export.models.parity import Row

NEEDS_CALIBRATION = ("int8", "int16x8")


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be quantised: ``rows`` float32[n, ...] as it meets them, in order.

    ``decide`` tells, of outputs [n, ...], which would alarm; ``calibrated`` whether the rows are
    real, and not made up.
    """

    name: str
    model: Exportable
    rows: Singles
    decide: Callable[[Singles], Flags]
    calibrated: bool


@dataclass(frozen=True, slots=True)
class Quantized:
    """Files within their limits (and the matrix), every row, and which files are all integer."""

    files: dict[str, bytes]
    rows: tuple[Row, ...]
    integer_files: frozenset[str]


def no_alarm(outputs: Singles) -> Flags:
    """Decide nothing: a bare model knows no threshold."""
    return np.zeros(len(outputs), bool)


def checked_precisions(text: str, *, calibrated: bool) -> tuple[str, ...]:
    """Return the precisions of a comma-separated list ("": all that can be). Raises TalusError."""
    wanted = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if unknown := [word for word in wanted if word not in LIMITS]:
        known = ", ".join(LIMITS)
        raise TalusError(f"--precision {', '.join(unknown)}: not known; some of {known}")
    blind = () if calibrated else NEEDS_CALIBRATION
    if refused := [word for word in wanted if word in blind]:
        raise TalusError(
            f"--precision {', '.join(refused)}: integer ranges come from what the model meets: "
            "give real inputs with --calibrate x.npy (made-up ones would prove nothing)"
        )
    return wanted or tuple(word for word in LIMITS if word not in blind)


def read_rows(path: str, shape: tuple[int, ...]) -> Singles:
    """Read --calibrate: an array [n, *shape] of finite numbers. Raises TalusError."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise TalusError(f"{path}: not an .npy file of numbers ({error})") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise TalusError(f"{path}: not an .npy file of numbers")
    if found.shape[1:] != shape or not len(found):
        raise TalusError(f"{path}: is {list(found.shape)}, {['n', *shape]} is needed")
    rows = found.astype(np.float32)
    if not np.isfinite(rows).all():
        raise TalusError(f"{path}: holds values that are not finite: leave those rows out")
    return rows


def made_up(shape: tuple[int, ...]) -> Singles:
    """Return standard-normal rows: enough to compare float forms, never to set a range by."""
    return np.random.default_rng(0).standard_normal((2048, *shape)).astype(np.float32)


def quantize(source: Source, precisions: tuple[str, ...], progress: Progress) -> Quantized:
    """Convert and prove; over-limit files are in the rows alone. Raises TalusError on no file."""
    progress.stage(f"quantise {source.name}", len(precisions) + 3)
    stream = stream_of(source.rows)
    expected, states = source.model.run(stream)
    if not np.isfinite(expected).all():
        raise TalusError(f"{source.name}: its own outputs are not finite on these inputs")
    made = _converted(source, stream, states, progress, precisions)
    progress.step("parity")
    hidden = source.model.hidden
    rows = prove(made, stream, expected, hidden, source.decide, LIMITS)
    kept = {file: data for file, data in made.items() if any(r.file == file and r.bundled
                                                            for r in rows)}  # fmt: skip
    whole = frozenset(
        file for file, data in kept.items()
        if file.endswith(".tflite") and integer_throughout(data)
    )  # fmt: skip
    vectors = json.dumps(golden(source.model, stream, expected), separators=(",", ":")).encode()
    page = markdown(rows, f"Parity of {source.name}, {len(stream)} calls").encode()
    beside = {f"golden.{source.name}.json": vectors, "parity.json": matrix(rows), "parity.md": page}
    return Quantized(kept | beside if kept else {}, rows, whole)


class _Noting:
    """Progress that also keeps its notes: they say why a form was left out."""

    def __init__(self, told: Progress) -> None:
        self.notes: list[str] = []
        self.stage, self.step, self._told = told.stage, told.step, told

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._told.note(text)


def _converted(
    source: Source,
    stream: Singles,
    states: Singles,
    progress: Progress,
    precisions: tuple[str, ...],
) -> dict[str, bytes]:
    noting = _Noting(progress)
    try:
        made = convert_all(source.name, source.model, stream, states, noting, precisions)
    except Exception as error:  # TensorFlow's converter raises whatever its C++ side names
        said = " ".join(str(error).split())[:300]
        raise TalusError(f"{source.name}: TensorFlow cannot convert it: {said}") from error
    if not made:
        raise TalusError("; ".join(noting.notes) or f"{source.name}: it has no such form")
    return made
