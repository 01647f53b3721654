"""What a bundle carries so that it can be trained on: its weights, and stretches of its history.

``training.npz``: the weights of the GRU as they were trained (float32), and features and scaled
labels of evenly spread sequences, every third kept for judging alone. Those in half precision: a
rehearsal needs no more.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import TalusError
from export.models import forecast, gru

if TYPE_CHECKING:
    from pathlib import Path

    from export.history import Singles
    from export.models.aim import Aim
    from export.models.material import Material
    from export.train_config import TrainConfig

FILE = "training.npz"
_MOST = 32
"""Sequences kept: about 60 kB for a usual station."""
_JUDGED = 3
"""One in so many is kept for judging."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """x float32[n, steps, features], y float32[n, steps, targets, horizons] scaled, NaN unknown."""

    weights: gru.GruWeights
    x: Singles
    y: Singles
    judge_x: Singles
    judge_y: Singles


def rehearsal_file(
    wanted: TrainConfig, m: Material, to: Aim, weights: gru.GruWeights
) -> dict[str, bytes]:
    """Return the file of a material that is about to be shipped."""
    (x, y), (late_x, late_y) = forecast.sequences(wanted, m, to, slice(0, len(m.x)))
    if len(late_x):
        x, y = np.concatenate([x, late_x]), np.concatenate([y, late_y])
    return {FILE: packed(weights, x, y)}


def packed(weights: gru.GruWeights, x: Singles, y: Singles) -> bytes:
    """Return training.npz of evenly spread sequences."""
    pick = np.unique(np.linspace(0, len(x) - 1, min(_MOST, len(x))).astype(int))
    buffer = io.BytesIO()
    arrays = {f.name: getattr(weights, f.name) for f in fields(weights)}
    arrays |= {"x": x[pick].astype(np.float16), "y": y[pick].astype(np.float16)}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def read_rehearsal(folder: Path) -> Rehearsal:
    """Read it back. Raises TalusError."""
    path = folder / FILE
    try:
        with np.load(path, allow_pickle=False) as kept:
            weights = gru.GruWeights(*(kept[f.name] for f in fields(gru.GruWeights)))
            x, y = kept["x"].astype(np.float32), kept["y"].astype(np.float32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TalusError(f"{path}: cannot be read ({error}): train anew") from error
    if (x.ndim, y.ndim) != (3, 4) or len(x) != len(y) or not len(x):
        raise TalusError(f"{path}: not the training file of a bundle: train anew")
    judged = np.arange(len(x)) % _JUDGED == _JUDGED - 1
    if not judged.any():
        judged[-1:] = True
    train = ~judged if len(x) > 1 else judged
    return Rehearsal(weights, x[train], y[train], x[judged], y[judged])
