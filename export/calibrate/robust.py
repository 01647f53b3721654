"""Sums that a few wrong values do not move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from export.history import Flags, Floats

_TRIM = 4.0
HUBER = 1.345


def known(x: Floats) -> Floats:
    """Return the finite values."""
    return np.asarray(x[np.isfinite(x)])


def spread(x: Floats) -> float:
    """Return the sd of the bulk: values beyond four sd are left out; NaN of fewer than five.

    The median of absolute deviations begins it; it alone is too coarse where a resolution of half
    the noise makes a lattice of the values.
    """
    x = known(x)
    if len(x) < 5:
        return float("nan")
    off = np.abs(x - np.median(x))
    size = 1.4826 * float(np.median(off))
    if not size > 0.0:
        size = 1.2533 * float(off.mean())
    for _ in range(4):
        kept = x[off <= _TRIM * size]
        if len(kept) < 5:
            break
        size = float(kept.std())
        if not size > 0.0:
            break
    return size


def medians(x: Floats, half: int) -> Floats:
    """Return the running median of 2 half + 1 values, NaN where fewer than half are known."""
    if not len(x):
        return x
    padded = np.pad(x, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    with np.errstate(all="ignore"):
        enough = np.isfinite(windows).sum(axis=1) > half
        out = np.full(len(x), np.nan)
        if enough.any():
            out[enough] = np.nanmedian(windows[enough], axis=1)
    return out


def despiked(x: Floats, noise: float) -> Floats:
    """Return values with NaN in place of what stands out from its neighbours and reverts."""
    if not noise > 0.0 or len(x) < 5:
        return x
    places = np.flatnonzero(np.isfinite(x))
    y = x[places]
    if len(y) < 5:
        return x
    off = np.abs(y - medians(y, 2)) > 8.0 * noise
    out = x.copy()
    out[places[off]] = np.nan
    return out


def block_means(x: Floats, size: int) -> Floats:
    """Return the means of running windows that end at each value, NaN where under half known."""
    here = np.isfinite(x)
    sums = np.concatenate(([0.0], np.cumsum(np.where(here, x, 0.0))))
    counts = np.concatenate(([0], np.cumsum(here)))
    out = np.full(len(x), np.nan)
    if len(x) >= size:
        total, n = sums[size:] - sums[:-size], counts[size:] - counts[:-size]
        with np.errstate(divide="ignore", invalid="ignore"):
            out[size - 1 :] = np.where(2 * n >= size, total / n, np.nan)
    return out


def huber_line(x: Floats, y: Floats, block: Floats) -> tuple[Floats, Floats, float]:
    """Return (slopes, their standard errors, share of y explained) of a robust fit.

    ``x`` has a column a slope; x and y are centred first. The errors are those of a sandwich over
    ``block``: what lasts within a block of days is not taken for independent.
    """
    x, y = x - np.median(x, axis=0), y - np.median(y)
    weight = np.ones(len(y))
    slope = np.zeros(x.shape[1])
    left = y
    for _ in range(12):
        inverse = np.linalg.pinv((weight[:, None] * x).T @ x)
        slope = np.asarray(inverse @ (x.T @ (weight * y)), dtype=np.float64)
        left = y - x @ slope
        size = max(spread(left), 1e-300)
        weight = 1.0 / np.maximum(1.0, np.abs(left) / (HUBER * size))
    _, member = np.unique(block, return_inverse=True)
    blocks = int(member.max()) + 1 if len(member) else 0
    scores = np.zeros((blocks, x.shape[1]))
    np.add.at(scores, member, (weight * left)[:, None] * x)
    inverse = np.linalg.pinv((weight[:, None] * x).T @ x)
    spreads = np.diag(inverse @ scores.T @ scores @ inverse) * blocks / max(1, blocks - 1)
    error = np.sqrt(spreads) if blocks > 1 else np.full(x.shape[1], np.inf)
    before, after = spread(y), spread(left)
    return slope, error, 1.0 - (after / before) ** 2 if before > 0.0 else 0.0


def runs(flags: Flags) -> list[tuple[int, int]]:
    """Return (first, past the last) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
