"""Is the GRU better than doing without? Only then is it armed; otherwise it rides in shadow.

Root mean square error of the median against the best naive forecast on the same rows, every block
of the held-back end forecast from what was before it, over several seeds. Detectors are judged in
``detection``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from export.history import Floats
    from export.models.folds import Fold


FEWEST_FOLDS = 2
"""Blocks below which a standard error is none: whatever is above 0 by chance would be armed."""


@dataclass(frozen=True, slots=True)
class Skill:
    """Errors of one target at one horizon, in its unit.

    ``naive`` are (kind, RMSE) of every rival on the same rows, ``by_fold`` the skill of each fold
    (mean over seeds). ``rmse`` and ``mae`` are means over seeds.
    """

    target: str
    horizon: int
    rmse: float
    rmse_sd: float
    mae: float
    naive: tuple[tuple[str, float], ...]
    naive_mae: float
    by_fold: tuple[float, ...]
    standard_error: float

    @property
    def best_naive(self) -> str:
        """The rival: the naive forecast with the least error on these very rows."""
        return min(self.naive, key=lambda row: row[1])[0]

    @property
    def naive_rmse(self) -> float:
        """RMSE of the rival."""
        return min(rmse for _, rmse in self.naive)

    @property
    def skill(self) -> float:
        """1 - error over the best naive error: above 0 is better than doing without."""
        return 1.0 - self.rmse / self.naive_rmse if self.naive_rmse > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Armed or not, and why."""

    armed: bool
    reason: str


def rmse(off: Floats) -> float:
    """Return the root mean square, NaN left out."""
    return float(np.sqrt(np.nanmean(off**2)))


def forecast_skill(
    median: Floats,
    labels: Floats,
    naive: dict[str, Floats],
    blocks: tuple[Fold, ...],
    targets: tuple[str, ...],
    horizons: tuple[int, ...],
) -> tuple[Skill, ...]:
    """Compare on the rows that every forecast has.

    median [seeds, steps, targets, horizons]; labels and each naive [steps, targets, horizons].
    """
    found = []
    for i, target in enumerate(targets):
        for j, horizon in enumerate(horizons):
            truth, ours = labels[:, i, j], median[:, :, i, j]
            rivals = {kind: values[:, i, j] for kind, values in naive.items()}
            both = np.isfinite(truth) & np.isfinite(ours).all(axis=0)
            for values in rivals.values():
                both &= np.isfinite(values)
            spans = [np.flatnonzero(both[f.block]) + f.block.start for f in blocks]
            rows = np.concatenate(spans)
            if len(rows):
                found.append(_skill(target, horizon, truth, ours, rivals, spans))
    return tuple(found)


def _skill(
    target: str,
    horizon: int,
    truth: Floats,
    ours: Floats,
    rivals: dict[str, Floats],
    spans: list[np.typing.NDArray[np.int64]],
) -> Skill:
    rows = np.concatenate(spans)
    errors = tuple((kind, rmse((truth - values)[rows])) for kind, values in rivals.items())
    best, least = min(errors, key=lambda row: row[1])
    by_seed = [rmse((truth - seed)[rows]) for seed in ours]
    by_fold = []
    for span in spans:
        if len(span):
            rival = rmse((truth - rivals[best])[span])
            mean = float(np.mean([rmse((truth - seed)[span]) for seed in ours]))
            by_fold.append(1.0 - mean / rival if rival > 0 else 0.0)
    skills = [1.0 - error / least for error in by_seed] if least > 0 else [0.0]
    # Folds differ more than seeds: the error of the mean comes from whichever spreads it most.
    by_folds = np.std(by_fold, ddof=1) / len(by_fold) ** 0.5 if len(by_fold) > 1 else 0.0
    by_seeds = np.std(skills, ddof=1) / len(skills) ** 0.5 if len(skills) > 1 else 0.0
    return Skill(
        target, horizon, float(np.mean(by_seed)), float(np.std(by_seed)),
        float(np.mean([np.abs(truth - seed)[rows].mean() for seed in ours])),
        errors, float(np.abs(truth - rivals[best])[rows].mean()),
        tuple(by_fold), float(max(by_folds, by_seeds)),
    )  # fmt: skip


def judge_forecaster(
    skills: tuple[Skill, ...],
    targets: tuple[str, ...],
    horizon: int,
    interpolated: frozenset[str] = frozenset(),
) -> Verdict:
    """Arm only when every target beats its best naive forecast at the longest horizon.

    By more than one standard error over folds and seeds. A target that was interpolated proves
    nothing one step ahead: its next value was in it already.
    """
    longest = [s for s in skills if s.horizon == horizon]
    missing = [target for target in targets if target not in {s.target for s in longest}]
    if missing:
        said = f"the held-back part has too little of {', '.join(missing)} to judge"
        return Verdict(armed=False, reason=f"{said} at {horizon} steps")
    made = sorted(interpolated.intersection(targets))
    if made and horizon == 1:
        said = f"{', '.join(made)} is interpolated: a skill one step ahead would mean nothing"
        return Verdict(armed=False, reason=said)
    if any(len(s.by_fold) < FEWEST_FOLDS for s in longest):
        said = "one block held back cannot tell skill from luck: train.folds 2 at least"
        return Verdict(armed=False, reason=said)
    worst = min(longest, key=lambda s: s.skill - s.standard_error)
    said = (
        f"{worst.target} at {horizon} steps: RMSE {worst.rmse:.3g} against "
        f"{worst.naive_rmse:.3g} of {worst.best_naive} (skill {worst.skill:+.2f} "
        f"+- {worst.standard_error:.2f} over {len(worst.by_fold)} folds)"
    )
    if worst.skill - worst.standard_error > 0:
        return Verdict(armed=True, reason=f"better than every naive forecast; least at {said}")
    return Verdict(armed=False, reason=f"no better than the best naive forecast; {said}")
