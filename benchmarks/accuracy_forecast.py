"""Forecasts on real slopes by rolling origin: naive ones, ridge, and the GRU in each form."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.runtime import load
from export.checkpoint import Checkpoint
from export.history import load_history
from export.models import forecast, gate, intervals, outlook
from export.models.aim import aim
from export.models.artifacts import export_model
from export.models.folds import Fold
from export.models.gru_export import ExportableGru
from export.models.material import prepare
from export.models.recipe import resolve
from export.train_config import load_site

if TYPE_CHECKING:
    from export.history import Floats
    from export.models.artifacts import Exported, Progress
    from export.models.gru import GruWeights
    from export.models.material import Material
    from export.models.outlook import Coverage
    from export.train_config import TrainConfig

_HERE = Path(__file__).parent
_RIDGE = (0.1, 1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True, slots=True)
class Study:
    """One slope: what was asked, its material, forecasts out of fold, and what they came to.

    ``quantiles`` float64[seeds, steps, targets, horizons, quantiles]; ``forms`` are (artifact and
    runtime, RMSE in mm on the last block, first horizon, seed 1).
    """

    name: str
    wanted: TrainConfig
    material: Material
    quantiles: Floats
    skills: tuple[gate.Skill, ...]
    last: gate.Skill
    coverage: tuple[Coverage, ...]
    forms: tuple[tuple[str, float], ...]


def study(
    name: str, data_dir: Path, seeds: int, blocks: tuple[slice, ...], progress: Progress
) -> Study:
    """Forecast each block of a slope from what was before it; ``name`` is a module here."""
    with tempfile.TemporaryDirectory() as folder:
        history_csv = Path(folder) / f"{name}.csv"
        import_module(name).write_history(data_dir, history_csv)
        config, wanted = load_site(_HERE / f"{name}.toml")
        history = load_history(config, wanted.station, [str(history_csv)])
    wanted = resolve(replace(wanted, seeds=seeds), len(history.values))
    longest = wanted.horizons[-1]
    folds = tuple(Fold(slice(0, b.start - longest + 1), b) for b in blocks)
    m = replace(prepare(wanted, history), folds=folds)
    quantiles = forecast.rolling(wanted, m, progress, Checkpoint(None, ""))
    middle = len(wanted.quantiles) // 2
    rivals = {**m.naive, "ridge": ridge(m)}

    def skills(of: tuple[Fold, ...]) -> tuple[gate.Skill, ...]:
        median = quantiles[..., middle]
        return gate.forecast_skill(median, m.labels, rivals, of, wanted.targets, wanted.horizons)

    every = skills(folds)
    kinds = tuple(_quantile_baseline(s) for s in every)
    to = aim(m, folds[-1].train)
    coverage = outlook.coverage(wanted, m, quantiles[0], kinds, to.scale)
    net = forecast.fit(wanted, m, to, folds[-1].train, 1, progress, Checkpoint(None, ""), "forms")
    forms = in_each_form(net[0], wanted, m, progress)
    return Study(name, wanted, m, quantiles, every, skills(folds[-1:])[0], coverage, forms)


def _quantile_baseline(skill: gate.Skill) -> str:
    """Return the naive forecast that the baseline's intervals stand on: ridge is none of them."""
    return min((row for row in skill.naive if row[0] != "ridge"), key=lambda row: row[1])[0]


def ridge(m: Material) -> Floats:
    """Return causal ridge on the same features, its penalty chosen on the end of each fit."""
    out = np.full_like(m.labels, np.nan)
    for fold in m.folds:
        for i, j in np.ndindex(*m.labels.shape[1:]):
            fit = np.flatnonzero(m.known[fold.train] & np.isfinite(m.labels[fold.train, i, j]))
            cut = len(fit) * 3 // 4
            errors = []
            for penalty in _RIDGE:
                guess = _ridge(m, fit[:cut], fit[cut:], i, j, penalty)
                errors.append(float(np.mean((guess - m.labels[fit[cut:], i, j]) ** 2)))
            best = _RIDGE[int(np.argmin(errors))]
            block = np.arange(fold.block.start, fold.block.stop)
            out[block, i, j] = _ridge(m, fit, block, i, j, best)
    return out


def _ridge(
    m: Material, fit: np.typing.NDArray[np.int64], to: np.typing.NDArray[np.int64],
    i: int, j: int, penalty: float,
) -> Floats:  # fmt: skip
    x, y = m.x[fit].astype(np.float64), m.labels[fit, i, j]
    mean = y.mean()
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (y - mean))
    return np.asarray(m.x[to].astype(np.float64) @ weights + mean)


def in_each_form(
    net: GruWeights, wanted: TrainConfig, m: Material, progress: Progress
) -> tuple[tuple[str, float], ...]:
    """Return the RMSE of one network as reference and as each artifact, on the last block."""
    to, block = aim(m, m.folds[-1].train), m.folds[-1].block
    exported = export_model(
        "gru", ExportableGru(net), m.x[m.known], progress, lambda y: np.zeros(len(y), dtype=bool)
    )
    middle, truth = len(wanted.quantiles) // 2, m.labels[block, 0, 0]

    def error(step: forecast.Step) -> float:
        q = forecast.quantiles(step, net.hidden, wanted, m, to, block)
        return gate.rmse(truth - q[:, 0, 0, middle])

    steps = [("numpy float64", forecast.reference(net)), *_steps(exported)]
    return tuple((name, error(step)) for name, step in steps)


def _steps(exported: Exported) -> list[tuple[str, forecast.Step]]:
    found: list[tuple[str, forecast.Step]] = []
    with tempfile.TemporaryDirectory() as folder:
        for artifact in exported.artifacts:
            path = Path(folder) / artifact.file
            path.write_bytes(exported.files[artifact.file])
            found += [
                (f"{artifact.file} in {runtime}", load(path, runtime).step)
                for runtime in artifact.runtimes
                if runtime != "tflite"  # not in one process with TensorFlow
            ]
    return found


def pooled(studies: tuple[Study, ...]) -> dict[str, float]:
    """Return PICP and PINAW of the 90 % intervals over all slopes, first horizon, adaptive."""
    rows: dict[str, list[intervals.Interval]] = {"gru": [], "baseline": []}
    counts = []
    for each in studies:
        counts.append(sum(f.block.stop - f.block.start for f in each.material.folds[1:]))
        for c in each.coverage:
            if c.horizon == each.wanted.horizons[0]:
                rows[c.model].append(c.adaptive)
    weights = np.array(counts) / sum(counts)
    return {
        "picp90": float(weights @ [r.covered for r in rows["gru"]]),
        "pinaw90": float(weights @ [r.width for r in rows["gru"]]),
        "picp90_baseline": float(weights @ [r.covered for r in rows["baseline"]]),
        "pinaw90_baseline": float(weights @ [r.width for r in rows["baseline"]]),
    }
