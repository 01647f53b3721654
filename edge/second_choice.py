"""Which changes take the second path, and which need not any more. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.alarm import AlarmChange
    from edge.parse_second_path import OutputConfig, SecondPathConfig
    from edge.second_text import Notice


def is_texted(change: AlarmChange, config: SecondPathConfig) -> bool:
    """Whether people are told of it: also that a level falls which they were told of."""
    if config.everything:
        return True
    if change.kind == "level":
        seen = bool(change.acknowledged_by) and change.level <= change.previous_level
        return max(change.level, change.previous_level) >= config.level and not seen
    if change.kind == "drill":
        return config.drills
    begins = change.kind == "silence" and change.reason.startswith("NO-DATA")
    return begins and config.no_data


def is_sounded(change: AlarmChange, output: OutputConfig) -> bool:
    """Whether it is one for a siren: a level that rises to its own, or beyond."""
    if change.level < output.level:
        return False
    if change.kind == "drill":
        return output.drills
    return change.kind == "level" and change.level > change.previous_level


def is_seen(notice: Notice, by: AlarmChange) -> bool:
    """Whether who acknowledged a level has seen this too."""
    return (
        by.kind == "acknowledged"
        and notice.kind == "level"
        and notice.station == by.station
        and notice.level <= by.level
    )
