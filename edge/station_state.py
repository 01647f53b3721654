"""The state of a station: kept, and gone on from, each part for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.qc import QualityControl
from edge.qc_plan import qc_channels
from edge.ruling import Ruling, watch_acceleration
from edge.trial import go_on

if TYPE_CHECKING:
    from edge.station import Station

UNUSABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)
"""What a damaged state, or one of another version, makes `restore` raise."""

MAX_AGO_MS = 2**53


def snapshot(station: Station, now_ms: int) -> dict[str, Any]:
    """Return the state as JSON-ready values; how long each was silent is as of ``now_ms``."""
    return {
        "silence": station.silence.snapshot(now_ms),
        "bundle": None if station.watch is None else station.watch.identity,
        "alarm": station.alarm.snapshot(),
        "watch": None if station.watch is None else station.watch.snapshot(),
        "rules": None if station.rules is None else station.rules.snapshot(),
        "quality": station.quality.snapshot(),
        "trial": None if station.trial is None else station.trial.snapshot(),
        "arrived_ago_ms": now_ms - station.arrived_ms if station.arrived_ms else None,
        **station.waiting.snapshot(now_ms),
    }


def restore(station: Station, state: dict[str, Any], now_ms: int) -> list[str]:
    """Continue from a snapshot; another bundle keeps the alarm and warms its models anew.

    The time between does not count as silence, but what was before it does: a gateway that
    starts over and over must not put a NO-DATA off for ever.

    Raises one of UNUSABLE, unchanged, where not even the alarm can be restored.
    """
    station.alarm.restore(state["alarm"])
    station.silence.restart(now_ms)
    station.since_ms = now_ms
    notes = _restore_rules(station, state, now_ms)
    if station.trial is not None:
        station.trial.restore(state.get("trial"))
    if station.watch is None:
        return notes
    why = "bundle changed"
    if state.get("bundle") == station.watch.identity:
        blank = station.watch.snapshot()
        try:
            station.watch.restore(state["watch"])
            station.silence.restore(state["silence"], now_ms)
        except UNUSABLE as error:
            station.watch.restore(blank)
            why = f"the saved state cannot be used ({error!r})"
        else:
            return notes
    kinds, rules = station.watch.armed_kinds, station.rules
    needed = {*kinds, *station.watch.channels, *(() if rules is None else rules.decider.needed)}
    silent = set(station.alarm.silent) & needed
    station.alarm.forget_scores()
    if station.alarm.no_data:  # silent until its scores are heard, and then that is told
        silent.update(kinds)
    station.alarm.silent = tuple(sorted(silent))
    models = "go on" if go_on(station.watch, state.get("trial")) else "warm up anew"
    return [*notes, f"{station.name}: {why}, models {models}; the alarm level is kept"]


def _restore_rules(station: Station, state: dict[str, Any], now_ms: int) -> list[str]:
    notes = []
    try:
        station.quality.restore(state["quality"])
    except UNUSABLE as error:
        limits = None if station.watch is None else station.watch.jump_limits
        channels = qc_channels(station.config, limits)
        station.quality = QualityControl(channels, station.rejected, station.rows_kept)
        watch_acceleration(station.quality.jumps, station.rules)
        notes.append(f"{station.name}: the saved quality state cannot be used ({error!r})")
    try:
        station.waiting.restore(state, now_ms)
    except UNUSABLE as error:
        notes.append(f"{station.name}: rows that waited for others are lost ({error!r})")
    ago_ms = state.get("arrived_ago_ms", 0)  # older programs kept none
    if ago_ms is not None:
        sound = isinstance(ago_ms, int) and 0 <= ago_ms < MAX_AGO_MS
        station.arrived_ms = now_ms - ago_ms if sound else now_ms
    try:
        station.waiting.restore_flags(state)
    except UNUSABLE as error:
        notes.append(f"{station.name}: flags that were to be told are lost ({error!r})")
    if station.rules is None:
        station.alarm.ruled = 0
        return notes
    try:
        if not station.rules.restore(state["rules"]):
            notes.append(f"{station.name}: open steps were of other channels, and are lost")
        if station.watch is None:
            station.silence.restore(state["silence"], now_ms)
    except UNUSABLE as error:
        station.rules = Ruling(station.config, station.watch)
        watch_acceleration(station.quality.jumps, station.rules)
        station.alarm.standing = station.rules.decider.standing
        station.rules.hold(station.alarm.ruled)
        notes.append(f"{station.name}: the saved state of the rules cannot be used ({error!r})")
    return notes
