"""What goes over MQTT: JSON texts under topics, with the priority the outbox gives them.

Topics: ``<topic>/<gateway>/status`` (retained, last will), ``.../health``, and for each station
``.../<station>/alarm``, ``.../<station>/state`` (retained) and ``.../<station>/telemetry``.
Delivery is at least once; receivers drop a repeated ``id``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.alarm import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.alarm import AlarmChange
    from edge.evidence import Tripped
    from edge.score import Forecast, Score

_STATE_KEYS = (
    "format", "id", "gateway", "station", "time_ms", "level", "level_name", "no_data", "silent",
    "quality", "latched", "acknowledged_by", "shelved", "reason", "bundle",
)  # fmt: skip
ALARM, HEALTH, TELEMETRY = 0, 1, 2
"""Priorities: a lower number leaves first."""


@dataclass(frozen=True, slots=True)
class Message:
    """One text to be published. ``rows`` is how many readings it accounts for.

    One with an ``id`` is kept in the journal after it has left.
    """

    topic: str
    payload: bytes
    priority: int
    retain: bool = False
    rows: int = 0
    id: str = ""


def to_json(values: dict[str, Any]) -> bytes:
    """Encode compactly; NaN must have been made null."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode()


def number(value: float) -> float | None:
    """Return a value fit for JSON: 7 significant digits, None for NaN and infinity."""
    if value - value != 0.0:
        return None
    return float(f"{value:.7g}")


def score_values(score: Score) -> dict[str, Any]:
    """Return one score as JSON values."""
    values: dict[str, Any] = {
        "kind": score.kind,
        "channel": score.channel,
        "value": number(score.value),
        "threshold": number(score.threshold),
        "ratio": number(score.ratio),
        "unit": score.unit,
        "armed": score.armed,
    }
    if score.contributions:
        values["contributions"] = [[name, number(share)] for name, share in score.contributions]
    return values


def forecast_values(forecast: Forecast) -> dict[str, Any]:
    """Return one forecast as JSON values."""
    return {
        "channel": forecast.channel,
        "horizon_ms": forecast.horizon_ms,
        "model": forecast.model,
        "quantiles": list(forecast.quantiles),
        "values": [number(v) for v in forecast.values],
    }


def rule_values(rule: Tripped) -> dict[str, Any]:
    """Return a rule that stands, with what it sees, as JSON values."""
    return {
        "rule": rule.rule,
        "level": rule.level,
        "holds": rule.holds,
        "since_ms": rule.since_ms,
        "valid_until_ms": rule.valid_until_ms,
        "conditions": [
            {
                "evidence": found.kind,
                "window_ms": found.window_ms,
                "sense": found.sense,
                "threshold": number(found.threshold),
                "needed": found.needed,
                "live": found.live,
                "hits": [
                    {"channel": hit.channel, "value": number(hit.value), "unit": hit.unit}
                    for hit in found.hits
                ],
            }
            for found in rule.findings
        ],
        "text": rule.text(),
    }


def quality_values(maintenance: Iterable[str]) -> dict[str, str]:
    """Return the quality of each channel that is not as usual as JSON values."""
    return dict.fromkeys(maintenance, "maintenance")


def change_values(change: AlarmChange, gateway: str) -> dict[str, Any]:
    """Return an alarm change with its evidence as JSON values."""
    return {
        "format": 1,
        "id": change.id,
        "gateway": gateway,
        "station": change.station,
        "time_ms": change.time_ms,
        "received_ms": change.received_ms,
        "level": change.level,
        "level_name": LEVELS[change.level],
        "previous_level": change.previous_level,
        "no_data": change.no_data,
        "silent": list(change.silent),
        "quality": quality_values(change.maintenance),
        "kind": change.kind,
        "reason": change.reason,
        "bundle": change.bundle,
        "version": __version__,
        "latched": change.latched,
        "acknowledged_by": change.acknowledged_by,
        "shelved": dict(change.shelved),
        "rules": [rule_values(rule) for rule in change.rules],
        "ages_ms": dict(change.ages_ms),
        "evidence": [score_values(score) for score in change.evidence],
        "forecasts": [forecast_values(f) for f in (change.forecasts if change.evidence else ())],
    }


def alarm_messages(change: AlarmChange, prefix: str, gateway: str) -> tuple[Message, ...]:
    """Return the event and the retained state that stands after it, which a drill leaves alone."""
    values = change_values(change, gateway)
    topic = f"{prefix}/{change.station}/alarm"
    event = Message(topic, to_json(values), ALARM, id=change.id)
    if change.kind == "drill":
        return (event,)
    state = {key: values[key] for key in _STATE_KEYS}
    return event, Message(f"{prefix}/{change.station}/state", to_json(state), ALARM, retain=True)
