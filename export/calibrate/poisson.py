"""How many events a year a record cannot exclude."""

from __future__ import annotations

import math

_CONFIDENCE = 0.95


def upper(count: int) -> float:
    """Return the mean that would give so few events in one case of twenty; 3.0 for none.

    >>> round(upper(0), 1), round(upper(3), 1)
    (3.0, 7.8)
    """
    low, high = float(count), 4.0 * count + 10.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if _at_most(count, middle) > 1.0 - _CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _at_most(count: int, mean: float) -> float:
    """Return the chance of at most so many events."""
    term = log_sum = -mean
    for k in range(1, count + 1):
        term += math.log(mean / k)
        log_sum = max(log_sum, term) + math.log1p(math.exp(-abs(log_sum - term)))
    return math.exp(log_sum)
