"""An alarm as a text message of at most 160 characters. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from edge.alarm import LEVELS
from firmware_bridge.modem_words import MAX_TEXT, plain_text

if TYPE_CHECKING:
    from edge.alarm import AlarmChange

MAX_REASON = 400
_MAX_NAME = 28
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SAID = re.compile(
    r"^(level (rose|fell) to \d+ \(\w+\): |NO-DATA: |DRILL of level \d+ \(\w+\) )", re.ASCII
)
"""How reasons begin with what the text has said already."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is kept of an alarm that waits for the second path."""

    id: str
    station: str
    time_ms: int
    level: int
    previous_level: int
    no_data: bool
    kind: str
    reason: str
    taken_ms: int
    """When it was taken, by our own clock."""

    @property
    def urgency(self) -> int:
        """Which goes first: the higher; a drill goes last, and NO-DATA no later than level 2."""
        if self.kind == "drill":
            return -1
        return max(self.level, 2 if self.no_data else 0)

    @property
    def rank(self) -> tuple[int, int]:
        """Sort by this: the most urgent first, the oldest of them."""
        return -self.urgency, self.taken_ms


def notice_of(change: AlarmChange, now_ms: int) -> Notice:
    """Keep of a change what a text message needs."""
    return Notice(
        change.id, change.station, change.time_ms, change.level, change.previous_level,
        change.no_data, change.kind, change.reason[:MAX_REASON], now_ms,
    )  # fmt: skip


def sms_text(notice: Notice, gateway: str) -> str:
    """Say an alarm: what, where, when, its id, and as much of its reason as there is room for.

    The id of an alarm begins with its station, which stands here already; ``#`` has the rest.
    """
    head = f"{_what(notice)} {short(notice.station)} ({short(gateway)}) {_time(notice.time_ms)}"
    tail = f" #{notice.id.removeprefix(notice.station + '-')[-_MAX_NAME:]}"
    head, tail = plain_text(head), plain_text(tail)
    reason = _SAID.sub("", notice.reason)
    room = MAX_TEXT - len(head) - len(tail) - 2
    return f"{head}: {plain_text(reason, room)}{tail}" if room > 0 else head + tail


def more_text(waiting: int, highest: Notice, gateway: str) -> str:
    """Say that so many more alarms wait for the next hour."""
    text = (
        f"{short(gateway)}: {waiting} more alarms are waiting, the highest: "
        f"{_what(highest)} {short(highest.station)} {_time(highest.time_ms)}. "
        "No more texts this hour but for a higher level"
    )
    return plain_text(text)


def short(name: str) -> str:
    """Cut a name that would leave no room."""
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 2] + ".."


def _what(notice: Notice) -> str:
    level = f"{LEVELS[notice.level].upper()} level {notice.level}"
    if notice.kind == "drill":
        return f"DRILL, NO REAL ALARM: {level}"
    if notice.kind == "level":
        return level if notice.level >= notice.previous_level else f"LOWER: {level}"
    if notice.no_data:
        return f"NO-DATA (level {notice.level} held)"
    return f"{notice.kind} ({level})"


def _time(time_ms: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
