"""Detectors of one station: trained, judged against each other, exported, thresholds set."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import TalusError
from edge.manifest import DetectorSpec
from export.models import autoencoder, detection, thresholds, windows
from export.models.artifacts import LIMITS, export_model, stream_of
from export.models.bundle import first_model
from export.models.detection import Comparison

if TYPE_CHECKING:
    from export.history import Floats, Singles
    from export.models.artifacts import Exported, Progress
    from export.models.detection import Candidate, Trial
    from export.models.exportable import Exportable
    from export.models.gate import Verdict
    from export.models.material import Material
    from export.train_config import TrainConfig

_SEQUENCE = 64
_STEPS = 2
_ROUNDING = 0.1
"""Rounding may be this share of the calm error (int8 twice as much): a hundredth of its square."""


def detectors(
    wanted: TrainConfig, m: Material, progress: Progress
) -> tuple[tuple[DetectorSpec, ...], dict[str, Exported], Comparison]:
    """Train every variant, keep the best autoencoder and PCA, and let the gate arm one.

    The variant and the pooling are chosen on the calibration part, the gate judges on the test
    part: blocks of it, and seeds. Raises TalusError.
    """
    window = wanted.window_steps
    fit = m.cut(m.parts.train, window)
    if not len(fit):
        raise TalusError(f"train.window_steps: no unbroken stretch of {window} steps to train on")
    choosing = detection.make_trial(m, m.parts.calibration, window, wanted.targets, wanted.seed)
    pca = _best(
        detection.candidates("t2q", autoencoder.fit_pca(fit), 2, m, window), choosing, m, window
    )
    tried = [pca]
    for variant in variants(wanted, window):
        net = train_variant(wanted, m, variant, wanted.seed, progress)
        options = detection.candidates(variant, net, 1, m, window)
        tried.append(_best(options, choosing, m, window))
    rows = [_row(c, choosing, m, window) for c in tried]
    best = max(tried[1:], key=lambda c: rows[tried.index(c)].found)
    others = [
        replace(best, net=train_variant(wanted, m, best.variant, wanted.seed + s, progress))
        for s in range(1, wanted.seeds)
    ]
    verdicts, judged = _judge(wanted, m, [best, *others], pca)
    progress.note(f"autoencoder {'armed' if verdicts[0].armed else 'in shadow'}: "
                  f"{verdicts[0].reason}")  # fmt: skip
    specs: list[DetectorSpec] = []
    exported: dict[str, Exported] = {}
    for name, candidate, verdict in (
        ("autoencoder", best, verdicts[0]),
        ("pca", pca, verdicts[1]),
    ):
        made = exported[name] = _export(name, candidate, m, window, progress)
        spec = DetectorSpec(
            name, candidate.variant, verdict.armed, verdict.reason, window, candidate.net.hidden,
            candidate.parts, candidate.pooling, tuple(candidate.scale.tolist()), 1.0,
            wanted.false_alarm_share, made.artifacts, f"golden.{name}.json",
        )  # fmt: skip
        specs.append(thresholds.set_detector(spec, m, first_model(made)))
    said = f"{verdicts[0].reason}; variant and pooling were chosen on the calibration part"
    return tuple(specs), exported, Comparison(said, (*rows, *judged))


def variants(wanted: TrainConfig, window: int) -> tuple[str, ...]:
    """Return the variants to try: the convolutional one needs a window it can halve twice."""
    found = tuple(
        v for v in wanted.detector_variants
        if v != "conv" or window % autoencoder.CONV_DIVIDES == 0
    )  # fmt: skip
    return found or ("dense",)


def train_variant(
    wanted: TrainConfig, m: Material, variant: str, seed: int, progress: Progress
) -> Exportable:
    """Train one autoencoder on the training part."""
    progress.stage(f"train {variant} AE {seed}", wanted.epochs)

    def tell(epoch: int, loss: float) -> None:
        progress.step(f"epoch {epoch + 1}, loss {loss:.4f}")

    span, width = m.parts.train, wanted.bottleneck
    if variant == "gru":
        x, known = m.x[span], m.known[span]
        labels = np.zeros((len(x), 1, 1))
        length = min(_SEQUENCE, len(x) // 2)
        rows, _ = windows.sequences(x, known, labels, length, max(1, length // 8))
        if not len(rows):
            rows, _ = windows.runs(x, known, m.history.reset[span], labels)
        return autoencoder.fit_gru(rows, width, wanted.epochs, seed, tell)
    fit = m.cut(span, wanted.window_steps)
    make = autoencoder.fit_conv if variant == "conv" else autoencoder.fit_dense
    return make(fit, width, wanted.epochs, seed, tell)


def _best(options: list[Candidate], trial: Trial, m: Material, window: int) -> Candidate:
    """Return the option that finds most."""
    rates = [detection.rate(detection.found_by(c, trial, m, window)) for c in options]
    return options[int(np.argmax(rates))]


def _row(candidate: Candidate, trial: Trial, m: Material, window: int) -> detection.Row:
    hits = [detection.found_by(candidate, trial, m, window)]
    return detection.row_of(candidate, hits, "calibration part")


def _judge(
    wanted: TrainConfig, m: Material, seeds: list[Candidate], pca: Candidate
) -> tuple[tuple[Verdict, Verdict], list[detection.Row]]:
    window, test = wanted.window_steps, m.parts.test
    size = test.stop - test.start
    count = max(1, min(wanted.folds, size // (6 * window)))
    edges = [test.start + round(size * i / count) for i in range(count + 1)]
    trials = [
        detection.make_trial(m, slice(a, b), window, wanted.targets, 100 + i)
        for i, (a, b) in enumerate(pairwise(edges))
    ]
    hits_pca = [detection.found_by(pca, t, m, window) for t in trials]
    hits = [[detection.found_by(c, t, m, window) for t in trials] for c in seeds]
    ours = [detection.rate(h) for row in hits for h in row]
    theirs = [detection.rate(h) for h in hits_pca] * len(seeds)
    verdicts = detection.judge_detectors(seeds[0].variant, ours, theirs)
    rows = [
        detection.row_of(pca, hits_pca, "test part"),
        detection.row_of(seeds[0], [h for row in hits for h in row], "test part"),
    ]
    return verdicts, rows


def _export(
    name: str, candidate: Candidate, m: Material, window: int, progress: Progress
) -> Exported:
    net, everything = candidate.net, slice(0, len(m.x))

    def rows_of(span: slice) -> Singles:
        return m.x[span][m.known[span]] if net.hidden else m.cut(span, window)

    # Integer ranges and the proof come from all there is: what was met after the training part,
    # a storm perhaps, will be met again, and must not be clipped.
    rows = rows_of(everything)
    stream, calm_stream = stream_of(rows), stream_of(rows_of(m.parts.train))
    expected, _ = net.run(stream)
    weights = detection.unit_weights(m, window, candidate.parts)

    def scores(y: Singles) -> Floats:
        return _scores(y, stream, weights, candidate)

    off = _differences(net.run(calm_stream)[0], calm_stream)[0].astype(np.float64)
    size = float(np.sqrt((expected.astype(np.float64) ** 2).mean()))
    calm = float(np.sqrt((off**2).mean())) / max(size, 1e-9)
    limits = {
        precision: max(limit, calm * _ROUNDING * (2.0 if precision == "int8" else 1.0))
        if precision in ("dynamic", "int16x8", "int8")
        else limit
        for precision, limit in LIMITS.items()
    }
    usual = float(np.quantile(scores(expected), 1.0 - detection.FALSE_ALARMS))
    return export_model(name, net, rows, progress, lambda y: scores(y) > usual, limits=limits)


def _differences(y: Singles, x: Singles) -> list[Singles]:
    """Return what is squared: x less its reconstruction, and the whitened projection if any."""
    if x.ndim == y.ndim and x.shape == y.shape:
        return [x - y]
    window = x.shape[1]
    return [x - y[:, :window], y[:, window:]]


def _scores(y: Singles, x: Singles, weights: list[Singles], candidate: Candidate) -> Floats:
    """Return the score of each call (of one step alone for a model with a state)."""
    squares = [d.astype(np.float64) ** 2 for d in _differences(y, x)]
    rows = [
        (s if s.ndim == _STEPS else s.sum(axis=1)) @ w
        for s, w in zip(squares, weights, strict=True)
    ]
    found = np.concatenate(rows, axis=1)
    return detection.pooled(found, candidate.scale, candidate.pooling, candidate.parts)
