"""Old telemetry made thinner: every tenth row stays, and the extremes of each channel.

What is thinned says so: ``thinned`` holds how many rows there were, from when to when, and the
least and greatest value of each field after ``sequence``. Of the steps every tenth stays, and the
one that came nearest to its threshold, or passed it furthest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.message import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge.outbox_held import Stored

EVERY = 10
"""Of so many rows one stays."""
WORTH_IT = 0.7
"""What is thinned must be smaller than so much of what it was."""
_KEYS = ("format", "gateway", "station", "fields", "score_fields", "forecast_fields", "quality")
"""Where these differ messages are not put together."""


@dataclass(frozen=True, slots=True)
class Thinned:
    """One message in the place of several. ``gone``: readings that are in no row any more."""

    ids: tuple[int, ...]
    payload: bytes
    rows: int
    gone: int


def thin(messages: Iterable[Stored]) -> list[Thinned]:
    """Put telemetry together by station, oldest first, and thin it; what cannot be is left out."""
    groups: dict[bytes, list[tuple[Stored, dict[str, Any]]]] = {}
    for stored in messages:
        values = _read(stored.message.payload)
        if values is not None:
            key = to_json({"topic": stored.message.topic, **{k: values.get(k) for k in _KEYS}})
            groups.setdefault(key, []).append((stored, values))
    return [made for group in groups.values() if (made := _merge(group)) is not None]


def _read(payload: bytes) -> dict[str, Any] | None:
    """Return the values of a message of rows, None where it is none."""
    try:
        values = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or "thinned" in values:
        return None
    fields, rows, steps = (values.get(k) for k in ("fields", "rows", "steps"))
    if not (isinstance(fields, list) and isinstance(rows, list) and isinstance(steps, list)):
        return None
    sound = all(isinstance(r, list) and len(r) == len(fields) and _timed(r) for r in rows)
    return values if sound and isinstance(values.get("id"), str) else None


def _timed(row: list[Any]) -> bool:
    return len(row) > 1 and type(row[0]) is int


def _merge(group: list[tuple[Stored, dict[str, Any]]]) -> Thinned | None:
    rows = [row for _, values in group for row in values["rows"]]
    steps = [step for _, values in group for step in values["steps"]]
    if not rows:
        return None
    kept = rows[::EVERY]
    values = group[-1][1] | {
        "id": f"{group[0][1]['id']}-thinned",
        "rows": kept,
        "steps": _thin_steps(steps),
        "thinned": {
            "every": EVERY,
            "rows": len(rows),
            "from_ms": min(row[0] for row in rows),
            "to_ms": max(row[0] for row in rows),
            "min": [_extreme(rows, i, min) for i in range(2, len(rows[0]))],
            "max": [_extreme(rows, i, max) for i in range(2, len(rows[0]))],
        },
    }
    payload = to_json(values)
    if len(payload) > WORTH_IT * sum(len(stored.message.payload) for stored, _ in group):
        return None
    readings = sum(stored.message.rows for stored, _ in group)
    left = min(readings, len(kept))
    return Thinned(tuple(stored.id for stored, _ in group), payload, left, readings - left)


def _extreme(rows: Sequence[list[Any]], place: int, pick: Any) -> float | None:
    found = [row[place] for row in rows if type(row[place]) in {int, float}]
    return pick(found) if found else None


def _thin_steps(steps: list[Any]) -> list[Any]:
    if not steps:
        return []
    highest = max(range(len(steps)), key=lambda i: _ratio(steps[i]))
    return [step for i, step in enumerate(steps) if i % EVERY == 0 or i == highest]


def _ratio(step: Any) -> float:
    """How near a step came to a threshold: the greatest of its scores (kind, channel, v, t, ..)."""
    try:
        return max((s[2] / s[3] for s in step["scores"] if s[2] is not None and s[3]), default=0.0)
    except (TypeError, KeyError, IndexError):
        return 0.0
