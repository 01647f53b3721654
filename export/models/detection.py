"""Finding what was put into held-back history at equal false alarms: which detector does better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge.autoencoder import channel_weights
from export.history import feature_rows
from export.models import faults
from export.models.gate import Verdict

if TYPE_CHECKING:
    from export.history import Flags, Floats, History, Singles
    from export.models.exportable import Exportable
    from export.models.material import Material

FALSE_ALARMS = 0.01
"""Share of clean scores that a detector's threshold lets through, for the comparison."""
_EVENTS = 60
_MOST_PASSES = 24
_LEAD = 300
"""Steps before a span that its features are made from: longer than their time constants matter."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A span of history, clean, and again with faults in it: features of each pass."""

    clean: tuple[Singles, Flags]
    passes: tuple[tuple[Singles, Flags, tuple[faults.Event, ...]], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained detector as it is judged; ``scale`` float64[parts * channels], see Detector."""

    variant: str
    net: Exportable
    parts: int
    pooling: str
    scale: Floats


@dataclass(frozen=True, slots=True)
class Row:
    """What one detector found, as shares of the events; ``sd`` over blocks and seeds."""

    detector: str
    pooling: str
    found: float
    sd: float
    offset: float
    drift: float
    noise: float
    freeze: float
    spikes: float
    acceleration: float
    judged_on: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it, and in words."""

    said: str
    rows: tuple[Row, ...]


def make_trial(m: Material, span: slice, window: int, targets: tuple[str, ...], seed: int) -> Trial:
    """Put faults into a span of the history, in as many passes as give enough of them."""
    lead = max(0, span.start - _LEAD)
    part = _part(m, slice(lead, span.stop))
    size = faults.spread(m.history, m.parts.train, window)
    length = min(2 * window, max(2, (span.stop - span.start) // 2))
    gap = min(4 * length, max(1, (span.stop - span.start) // 4))
    inside = slice(span.start - lead, span.stop - lead)
    passes, count = [], 0
    for i in range(_MOST_PASSES):
        changed, events = faults.injected(part, inside, length, gap, targets, size, 1000 * seed + i)
        passes.append((*feature_rows(m.features, changed), events))
        count += len(events)
        if count >= _EVENTS:
            break
    clean_x, clean_known = feature_rows(m.features, part)
    clean_known[: inside.start] = False
    return Trial((clean_x, clean_known), tuple(passes))


def _part(m: Material, span: slice) -> History:
    history = m.history
    return replace(
        history,
        time_ms=history.time_ms[span],
        values=history.values[span],
        reset=history.reset[span],
    )


def errors(
    net: Exportable, x: Singles, known: Flags, weights: list[Singles], window: int
) -> Floats:
    """Return the mean squared error of each channel, part after part: float64[steps, ...].

    As edge's Detector computes it with scales of 1; NaN while a window is not whole.
    """
    channels = weights[0].shape[1]
    out = np.full((len(x), len(weights) * channels), np.nan)
    starts = np.flatnonzero(_whole(known, window))
    if not len(starts):
        return out
    if net.hidden:
        y, _ = net.run(x)
        square = np.where(known[:, None], (x - y).astype(np.float64) ** 2, np.nan)
        each = square @ weights[0].astype(np.float64) * window
        total = np.cumsum(np.vstack([np.zeros(channels), np.nan_to_num(each)]), axis=0)
        out[starts + window - 1] = (total[starts + window] - total[starts]) / window
        return out
    view = np.lib.stride_tricks.sliding_window_view(x, window, axis=0).transpose(0, 2, 1)
    for i in range(0, len(starts), 2048):
        some = starts[i : i + 2048]
        windows = view[some]
        y, _ = net.run(np.ascontiguousarray(windows))
        squares = [(windows - y[:, :window]).astype(np.float64) ** 2]
        if len(weights) > 1:
            squares.append(y[:, window:].astype(np.float64) ** 2)
        rows = [s.sum(axis=1) @ w for s, w in zip(squares, weights, strict=True)]
        out[some + window - 1] = np.concatenate(rows, axis=1)
    return out


def _whole(known: Flags, window: int) -> Flags:
    if len(known) < window:
        return np.zeros(0, dtype=bool)
    total = np.concatenate([[0], np.cumsum(known)])
    return np.asarray(total[window:] - total[:-window] == window)


def pooled(found: Floats, scale: Floats, pooling: str, parts: int) -> Floats:
    """Return the score of each step, as edge's Detector pools it."""
    scaled = (found / scale).reshape(len(found), parts, -1)
    each = scaled.sum(axis=2) if pooling == "sum" else scaled.max(axis=2)
    return np.asarray(each.max(axis=1))


def scales(calm: Floats, pooling: str, parts: int) -> Floats:
    """Return what counts as 1.0 from calm errors: of each channel, or of each part's sum."""
    rows = calm[np.isfinite(calm).all(axis=1)]
    if not len(rows):
        return np.ones(calm.shape[1])
    mean = rows.mean(axis=0)
    if pooling == "sum":
        total = mean.reshape(parts, -1).sum(axis=1)
        mean = np.repeat(total, len(mean) // parts)
    return np.asarray(np.maximum(mean, 1e-9))


def candidates(
    variant: str, net: Exportable, parts: int, m: Material, window: int
) -> list[Candidate]:
    """Return one candidate for each way of pooling, scaled on the training part."""
    weights = unit_weights(m, window, parts)
    calm = errors(net, m.x[m.parts.train], m.known[m.parts.train], weights, window)
    return [
        Candidate(variant, net, parts, pooling, scales(calm, pooling, parts))
        for pooling in ("max", "sum")
    ]


def unit_weights(m: Material, window: int, parts: int) -> list[Singles]:
    """Return the channel weights with scales of 1."""
    ones = (1.0,) * (parts * len(m.history.channels))
    return channel_weights(m.features, m.history.channels, ones, window, parts)


def found_by(candidate: Candidate, trial: Trial, m: Material, window: int) -> dict[str, list[bool]]:
    """Return, of each kind of fault, which events were found at FALSE_ALARMS on clean history."""
    weights = unit_weights(m, window, candidate.parts)

    def scored(x: Singles, known: Flags) -> Floats:
        found = errors(candidate.net, x, known, weights, window)
        return pooled(found, candidate.scale, candidate.pooling, candidate.parts)

    clean = scored(*trial.clean)
    clean = clean[np.isfinite(clean)]
    limit = float(np.quantile(clean, 1.0 - FALSE_ALARMS)) if len(clean) else np.inf
    hits: dict[str, list[bool]] = {kind: [] for kind in faults.KINDS}
    for x, known, events in trial.passes:
        scores = scored(x, known)
        for event in events:
            part = scores[event.start : event.stop]
            if np.isfinite(part).any():
                hits[event.kind].append(bool(np.nanmax(part) > limit))
    return hits


def rate(hits: dict[str, list[bool]]) -> float:
    """Return the share of events found, every kind counting the same."""
    each = [float(np.mean(found)) for found in hits.values() if found]
    return float(np.mean(each)) if each else 0.0


def row_of(candidate: Candidate, hits: list[dict[str, list[bool]]], judged_on: str) -> Row:
    """Return the row of one detector over several trials."""
    rates = [rate(h) for h in hits]
    by_kind = {}
    for kind in faults.KINDS:
        found = [hit for h in hits for hit in h[kind]]
        by_kind[kind] = float(np.mean(found)) if found else float("nan")
    return Row(
        detector=candidate.variant,
        pooling=candidate.pooling,
        found=float(np.mean(rates)),
        sd=float(np.std(rates)),
        judged_on=judged_on,
        **by_kind,
    )


def judge_detectors(
    variant: str, autoencoder: list[float], pca: list[float]
) -> tuple[Verdict, Verdict]:
    """Arm the autoencoder if it is better by more than one standard error, else PCA.

    Rates of the same trials, pair by pair (autoencoder's verdict first); one trial alone arms
    PCA, and neither is armed where both find nothing.
    """
    gain = np.array(autoencoder) - np.array(pca)
    error = float(gain.std(ddof=1) / len(gain) ** 0.5) if len(gain) > 1 else 0.0
    mean_ae, mean_pca = float(np.mean(autoencoder)), float(np.mean(pca))
    said = (
        f"the {variant} autoencoder finds {mean_ae:.0%} of injected faults and accelerations "
        f"against {mean_pca:.0%} of PCA, both at {FALSE_ALARMS:.0%} false alarms "
        f"(difference {gain.mean():+.1%} +- {error:.1%} over {len(gain)} trials)"
    )
    if max(mean_ae, mean_pca) <= FALSE_ALARMS:
        neither = Verdict(armed=False, reason=f"neither is worth its false alarms: {said}")
        return neither, neither
    # One trial tells nothing of chance: then the simpler one.
    better = len(gain) > 1 and gain.mean() - error > 0.0
    return Verdict(armed=bool(better), reason=said), Verdict(armed=not better, reason=said)
