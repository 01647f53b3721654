"""A calibration as JSON values, for a machine to read; NaN becomes null."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.calibrate.calibration import Calibration
    from export.calibrate.channel import Measured
    from export.calibrate.rehearsal import Rehearsed


def values(found: Calibration, warnings: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return all that was found."""
    settings = {s.name: {k: v for k, v in asdict(s).items() if v == v} for s in found.site}
    out: dict[str, Any] = clean(
        {
            "station": found.station,
            "profile": found.profile,
            "days": found.days,
            "station_years": found.years,
            "budgets": list(found.budgets),
            "warnings": list(warnings),
            "channels": [_channel(m, settings.get(m.track.name, {})) for m in found.channels],
            "set_points": [
                {
                    **asdict(point),
                    "rule": rule.name,
                    "unit": group.unit,
                    "channels": list(rule.when[0].channels),
                    "at_least": rule.when[0].at_least,
                    "replayed_onsets": found.together.by_rule[rule.name],
                    "bound_95_per_year": point.bound,
                    "supported": point.supported,
                }
                for group in found.groups
                for point, rule in zip(group.points, group.rules, strict=True)
            ],
            "onsets": {
                "profile": _onsets(found.profile_alone),
                "with_set_points": _onsets(found.together),
            },
        }
    )
    return out


def _channel(m: Measured, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": m.track.name,
        "quantity": m.track.quantity,
        "unit": m.track.unit,
        "readings": m.track.count,
        "days": m.track.days,
        "left_out": list(m.why),
        "settings": settings,
        "noise": asdict(m.noise) if m.noise else None,
        "limits": asdict(m.limits),
        "temperature": {**asdict(m.warmth), "written": m.warmth.told} if m.warmth else None,
        "speed": asdict(m.speed) if m.speed else None,
        "neighbours": [{"channel": name, "correlation": r} for name, r in m.neighbours],
    }


def _onsets(found: Rehearsed) -> dict[str, int]:
    return {str(level): found.onsets[level] for level in range(1, 5)}


def clean(value: Any) -> Any:
    """Return JSON-ready values: numbers that are none become null."""
    if isinstance(value, dict):
        return {key: clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each) for each in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value
