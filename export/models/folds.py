"""Rolling origin: the held-back end of a history in blocks, each forecast from what was before."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Fold:
    """``train`` ends a horizon before ``block`` begins: no label of it reaches into the block."""

    train: slice
    block: slice


def folds(steps: int, held_share: float, count: int, longest: int) -> tuple[Fold, ...]:
    """Cut the last ``held_share`` of a history into ``count`` blocks in time order."""
    first = round(steps * (1.0 - held_share))
    edges = [first + round((steps - first) * i / count) for i in range(count + 1)]
    return tuple(
        Fold(slice(0, max(0, start - longest)), slice(start, stop))
        for start, stop in pairwise(edges)
    )
