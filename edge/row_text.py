"""Rows and grid steps as the JSON text that telemetry holds of them.

Written at once, and not as values for a JSON encoder: of all that a reading costs from its bytes to
its message, that was the greatest part. 7 significant digits, null for NaN and infinity.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge.watch import Scored


def row_text(time_ms: int, sequence: int, values: Sequence[float]) -> str:
    """Return one row: its time, its number, and a value a channel."""
    return f"[{time_ms},{sequence}{',' if values else ''}{numbers(values)}]"


def step_text(scored: Scored) -> str:
    """Return what the models say of one grid step; a forecast is its quantiles."""
    scores = []
    for score in scored.scores:
        before, after = _around(score.kind, score.channel, score.threshold, score.armed)
        value = score.value
        scores.append(f"{before}{value:.7g}{after}" if value - value == 0.0 else
                      f"{before}null{after}")  # fmt: skip
    forecasts = [f"[{numbers(each.values)}]" for each in scored.forecasts]
    return (
        f'{{"time_ms":{scored.observation.time_ms},"scores":[{",".join(scores)}],'
        f'"forecasts":[{",".join(forecasts)}]}}'
    )


def numbers(values: Sequence[float]) -> str:
    """Return numbers with commas between them."""
    total = sum(values)
    if total - total == 0.0:
        return _format(len(values)) % tuple(values)
    return ",".join(f"{v:.7g}" if v - v == 0.0 else "null" for v in values)


def listed(texts: Iterable[str]) -> str:
    """Return a JSON list of what is JSON text already."""
    return f"[{','.join(texts)}]"


@lru_cache(maxsize=256)
def _format(count: int) -> str:
    return ",".join(["%.7g"] * count)


@lru_cache(maxsize=4096)
def _around(kind: str, channel: str, threshold: float, armed: bool) -> tuple[str, str]:
    """Return what stands before and after the value of a score."""
    before = json.dumps([kind, channel], separators=(",", ":"))[:-1]
    return f"{before},", f",{numbers((threshold,))},{'true' if armed else 'false'}]"
