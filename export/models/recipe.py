"""How a history of this length is best learned from, where the site does not say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edge.manifest import Term
from export.models.gru import Recipe

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from export.train_config import TrainConfig

FEW_STEPS = 2000
"""Below this a network is small, hidden inputs keep it from learning by heart, and several vote."""
_FULL_STEPS = 720
"""Ten times the longest time constant of the default features."""
_GAPPY = 0.01


def resolve(wanted: TrainConfig, steps: int) -> TrainConfig:
    """Fill in what the site left open (0, or -1 for the dropout)."""
    few = steps < FEW_STEPS
    return replace(
        wanted,
        hidden=wanted.hidden or (8 if few else 32),
        members=wanted.members or (5 if few else 1),
        epochs=wanted.epochs or (150 if few else 30),
        dropout=wanted.dropout if wanted.dropout >= 0 else (0.2 if few else 0.0),
        warm_up_steps=wanted.warm_up_steps or max(1, min(24, steps // 10)),
        sequence_steps=wanted.sequence_steps or (steps if few else 96),
    )


def recipe(wanted: TrainConfig, steps: int) -> Recipe:
    """Return the recipe of a resolved configuration."""
    few = steps < FEW_STEPS
    return Recipe(
        hidden=wanted.hidden,
        quantiles=wanted.quantiles,
        skip=min(wanted.warm_up_steps, wanted.sequence_steps // 4),
        epochs=wanted.epochs,
        dropout=wanted.dropout,
        weight_decay=0.1 if few else 0.0,
    )


def suited(
    wanted: TrainConfig, values: npt.NDArray[np.float64], channels: tuple[str, ...]
) -> tuple[Term, ...]:
    """Return the features: as the site gives them, else the default ones fitted to the history.

    Time constants shrink with a short history, and a channel with gaps tells how old it is.
    """
    if wanted.features_given:
        return wanted.terms
    share = min(1.0, len(values) / _FULL_STEPS)
    terms = [
        replace(t, time_constant_steps=max(2.0, t.time_constant_steps * share))
        if t.transform in ("deviation", "decayed_sum")
        else t
        for t in wanted.terms
    ]
    used = {t.channel for t in terms}
    for i, name in enumerate(channels):
        column = values[:, i]
        if name in used and (column != column).mean() > _GAPPY:
            terms.append(Term(name, "age", 1.0))
    return tuple(terms)
