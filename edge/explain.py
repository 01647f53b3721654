"""An alarm in words, from the values that were published: what, why, on which numbers, how old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from edge.evidence import hours

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OLD_MS = 3_600_000
"""Data older than this is pointed out."""


def explanation(values: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines that explain an alarm message (`message.change_values`)."""
    yield f"{values['id']}  {values.get('kind', 'level')}"
    yield f"  station    {values['station']} of gateway {values['gateway']}"
    yield f"  readings   up to {utc(values['time_ms'])}, here at {utc(values['received_ms'])}"
    level, before = values["level"], values["previous_level"]
    change = f"{before} -> {level}" if level != before else f"{level}"
    yield f"  level      {change} ({values['level_name']}){_held(values)}"
    yield f"  why        {values['reason']}"
    yield from _rules(values)
    yield from _scores(values)
    yield from _forecasts(values)
    if values.get("silent"):
        yield f"  silent     {', '.join(values['silent'])}"
    for name, quality in values.get("quality", {}).items():
        yield f"  quality    {name}: {quality}"
    for what, until_ms in values.get("shelved", {}).items():
        yield f"  shelved    {what} until {utc(until_ms)}"
    ages = values.get("ages_ms", {})
    if ages:
        told = ", ".join(
            f"{name} {_age(age)}{' (OLD)' if age > OLD_MS else ''}" for name, age in ages.items()
        )
        yield f"  data age   {told}"
    yield f"  by         talus {values.get('version', '?')}, bundle {values['bundle']}"


def _held(values: Mapping[str, Any]) -> str:
    parts = []
    if values.get("no_data"):
        parts.append("NO-DATA")
    if values.get("latched"):
        parts.append("latched: acknowledge it to let it fall")
    if values.get("acknowledged_by"):
        parts.append(f"acknowledged by {values['acknowledged_by']}")
    return "".join(f", {part}" for part in parts)


def _rules(values: Mapping[str, Any]) -> Iterator[str]:
    for rule in values.get("rules", []):
        state = "holds" if rule["holds"] else "held, still valid"
        yield (
            f"  rule       {rule['rule']!r} (level {rule['level']}) {state}, "
            f"since {utc(rule['since_ms'])}, valid until {utc(rule['valid_until_ms'])}"
        )
        for c in rule["conditions"]:
            window = f" over {hours(c['window_ms'])}" if c["window_ms"] else ""
            kind = c["evidence"].replace("_", " ")
            yield (
                f"    {kind}{window} {c['sense']} {c['threshold']:g} "
                f"on {c['needed']} of {c['live']} live"
            )
            for hit in c["hits"]:
                unit = "" if hit["unit"] == "1" else f" {hit['unit']}"
                yield f"      {hit['channel']:<20} {_number(hit['value'])}{unit}"


def _scores(values: Mapping[str, Any]) -> Iterator[str]:
    for score in values.get("evidence", []):
        shadow = "" if score["armed"] else "  (in shadow)"
        ratio = score["ratio"]
        told = "-" if ratio is None else f"{ratio:.2f}"
        yield f"  score      {score['kind']:<12} {score['channel']:<16} {told} x threshold{shadow}"
        for name, share in score.get("contributions", []):
            yield f"      {name:<20} {100 * (share or 0):.0f} % of it"


def _forecasts(values: Mapping[str, Any]) -> Iterator[str]:
    for f in values.get("forecasts", []):
        known = [v for v in f["values"] if v is not None]
        if known:
            middle = known[len(known) // 2]
            yield (
                f"  forecast   {f['channel']:<16} {middle:+.3g} ({known[0]:+.3g} .. "
                f"{known[-1]:+.3g}) in {hours(f['horizon_ms'])}, by {f['model']}"
            )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _age(age_ms: int) -> str:
    return f"{age_ms / 1000:.0f} s" if age_ms < 120_000 else f"{age_ms / 60_000:.0f} min"


def utc(time_ms: int) -> str:
    """Say a time: 2026-11-25T19:40:00Z."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
