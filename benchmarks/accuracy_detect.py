"""Detectors on SKAB valve1 (outliers, point by point) and on the NAB subset.

SKAB: each file by itself, as its leaderboard does. The first 400 rows are calm: scale and network
come from 300 of them, the threshold from the other 100, and every row is judged. One setting for
all files and detectors, compared on this very set (it is the set to develop on): windows of 16
rows, PCA of 90 % of the variance, scores smoothed over 10 rows, twice the 99 % quantile of the
calm rows held back. "gate" is the detector that finds most faults put into those held-back rows:
it never sees a label.

  python benchmarks/accuracy_detect.py --data ../shared/data --json detect.json
"""

from __future__ import annotations

import csv
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nab_detectors
import nab_score
import numpy as np
from figures import machine, parse, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]
    Scorer = Callable[[npt.NDArray[np.float32]], list[Floats]]

FIT, CALM, WINDOW = 300, 400, 16
SMOOTH, TIMES, QUANTILE = 10.0, 2.0, 0.99
_EPOCHS, _BOTTLENECK, _CLIP = 20, 4, 20.0
_FAULTS = 24
LEARNED = ("dense AE", "conv AE", "gru AE")


@dataclass(frozen=True, slots=True)
class Run:
    """One file: rows float32[n, 8] in units of its first rows, and which are anomalies."""

    x: npt.NDArray[np.float32]
    anomaly: Flags


def read_skab(folder: Path) -> list[Run]:
    """Read every file of valve1."""
    found = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, delimiter=";"))[1:]
        values = np.array([[float(v) for v in row[1:9]] for row in rows])
        mean, sd = values[:FIT].mean(axis=0), np.maximum(values[:FIT].std(axis=0), 1e-6)
        x = np.clip((values - mean) / sd, -_CLIP, _CLIP).astype(np.float32)
        found.append(Run(x, np.array([float(row[9]) > 0 for row in rows])))
    return found


def windows(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the window that ends with each row; the first row stands for what was before."""
    padded = np.concatenate([np.repeat(x[:1], WINDOW - 1, axis=0), x])
    view = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0)
    return np.ascontiguousarray(view.transpose(0, 2, 1))


def fitted(kind: str, run: Run, seed: int, epochs: int) -> Scorer:
    """Fit one detector on the first rows; what it gives are the statistics of every row."""
    from export.models import autoencoder as ae

    x = run.x[:FIT]
    if kind == "EWMA":
        return lambda rows: [np.abs(_each(rows)).max(axis=1)]
    if kind == "CUSUM":
        return lambda rows: [_cusum(rows)]
    if kind == "gru AE":
        parts = np.stack([x[i : i + 64] for i in range(0, FIT - 64, 8)])
        net = ae.fit_gru(parts, _BOTTLENECK, epochs, seed, _silent)
        return lambda rows: [((rows - net.run(rows)[0]) ** 2).sum(axis=1).astype(np.float64)]
    calm = windows(x)
    if kind == "PCA T2+Q":
        pca = ae.fit_pca(calm)
    elif kind == "dense AE":
        pca = ae.fit_dense(calm, _BOTTLENECK, epochs, seed, _silent)
    else:
        pca = ae.fit_conv(calm, _BOTTLENECK, epochs, seed, _silent)

    def score(rows: npt.NDArray[np.float32]) -> list[Floats]:
        taken = windows(rows)
        y, _ = pca.run(taken)
        found = [((taken - y[:, :WINDOW]) ** 2).sum(axis=(1, 2)).astype(np.float64)]
        if pca.parts > 1:
            found.append((y[:, WINDOW:] ** 2).sum(axis=(1, 2)).astype(np.float64))
        return found

    return score


def _silent(epoch: int, loss: float) -> None:
    """Tell nobody."""


def _each(rows: npt.NDArray[np.float32]) -> Floats:
    return np.stack([nab_detectors.smoothed(c.astype(np.float64), SMOOTH) for c in rows.T], axis=1)


def _cusum(rows: npt.NDArray[np.float32]) -> Floats:
    """Return the two-sided CUSUM (Page 1954) with an allowance of half a deviation."""
    high, low = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    out = np.empty(len(rows))
    for i, row in enumerate(rows):
        high, low = np.maximum(0.0, high + row - 0.5), np.maximum(0.0, low - row - 0.5)
        out[i] = max(high.max(), low.max())
    return out


def ratios(statistics: list[Floats]) -> Floats:
    """Return the smoothed statistics over what the held-back calm rows stay below."""
    each = [nab_detectors.smoothed(s, SMOOTH) for s in statistics]
    limits = [max(float(np.quantile(s[FIT:CALM], QUANTILE)), 1e-9) for s in each]
    return np.asarray(np.max([s / limit for s, limit in zip(each, limits, strict=True)], axis=0))


def finds(score: Scorer, run: Run) -> float:
    """Return the share of faults found that are put into the calm rows held back."""
    calm = ratios(score(run.x))
    limit = max(float(calm[FIT:CALM].max()), TIMES)
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(_FAULTS):
        rows, column = run.x.copy(), int(random.integers(run.x.shape[1]))
        size = float(random.uniform(1.0, 4.0)) * (1 if random.random() < 0.5 else -1)
        part = rows[FIT + 40 : CALM, column]
        part += size * (np.linspace(0, 1, len(part)) if random.random() < 0.5 else 1.0)
        smooth = [nab_detectors.smoothed(s, SMOOTH) for s in score(rows[:CALM])]
        base = [nab_detectors.smoothed(s, SMOOTH) for s in score(run.x[:CALM])]
        top = [float(np.quantile(s[FIT:CALM], QUANTILE)) for s in base]
        found = np.max([s / max(t, 1e-9) for s, t in zip(smooth, top, strict=True)], axis=0)
        hits += bool(found[FIT + 40 :].max() > limit)
    return hits / _FAULTS


def judged(flags: list[Flags], runs: list[Run]) -> tuple[float, float]:
    """Return F1 and false alarms in per cent of the calm rows, all files together."""
    flagged = np.concatenate(flags)
    true = np.concatenate([run.anomaly for run in runs])
    hits, false = int((flagged & true).sum()), int((flagged & ~true).sum())
    missed = int((~flagged & true).sum())
    return hits / (hits + 0.5 * (false + missed)), 100.0 * false / int((~true).sum())


def skab(
    data_dir: Path, seeds: int, *, quick: bool = False
) -> tuple[dict[str, float], list[tuple[str, float, float]]]:
    """Return skab_f1 and skab_far_pct of the gate's choice, and a row a detector."""
    runs = read_skab(data_dir / "skab" / "valve1")
    runs = runs[:4] if quick else runs
    epochs = _EPOCHS // 4 if quick else _EPOCHS
    rows, found = [], {}
    for kind in ("EWMA", "CUSUM", "PCA T2+Q", *LEARNED):
        results, shares = [], []
        for seed in range(1, (seeds if kind in LEARNED else 1) + 1):
            scorers = [fitted(kind, run, seed, epochs) for run in runs]
            flags = [ratios(s(r.x)) > TIMES for s, r in zip(scorers, runs, strict=True)]
            results.append(judged(flags, runs))
            if seed == 1:
                shares = [finds(s, r) for s, r in zip(scorers, runs, strict=True)]
        f1, far = (float(np.mean(column)) for column in zip(*results, strict=True))
        found[kind] = float(np.mean(shares))
        print(f"  {kind}: F1 {f1:.3f}, false alarms {far:.1f} %, "
              f"finds {found[kind]:.0%} of faults put in", file=sys.stderr, flush=True)  # fmt: skip
        rows.append((kind, f1, far))
    best = max(found, key=lambda kind: found[kind])
    chosen = next(row for row in rows if row[0] == best)
    rows.append((f"gate: {best}", *chosen[1:]))
    return {"skab_f1": chosen[1], "skab_far_pct": chosen[2]}, rows


def nab(data_dir: Path, *, quick: bool = False) -> tuple[dict[str, float], list[tuple[str, float]]]:
    """Return nab_standard of Talus' residual, and a row a detector; published ones beside."""
    corpus = nab_score.read_corpus(data_dir / "nab")
    corpus = corpus[::3] if quick else corpus
    rows = []
    for name, detector in (
        ("windowed Gaussian", nab_detectors.windowed_gaussian),
        ("EWMA", nab_detectors.ewma),
        ("residual of the naive forecast (Talus)", nab_detectors.residual),
    ):
        scores = [detector(series.values) for series in corpus]
        rows.append((name, nab_score.standard(corpus, scores)))
    return {"nab_standard": rows[-1][1]}, rows


def main() -> None:
    """Run both."""
    args = parse(__doc__, data=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    print(machine())
    figures, rows = skab(args.data, 1 if args.quick else 5, quick=args.quick)
    for name, f1, far in rows:
        print(f"{name:<28} F1 {f1:.3f}  false alarms {far:.1f} %")
    found, scores = nab(args.data, quick=args.quick)
    for name, score in scores:
        print(f"{name:<40} {score:.1f}")
    write(figures | found, args.json)


if __name__ == "__main__":
    main()
