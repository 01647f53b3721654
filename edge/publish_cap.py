"""Which CAP message a change of an alarm becomes, and which earlier ones it refers to.

    no alert is out, level >= from_level            Alert
    one is out, and level or NO-DATA has changed    Update, refers to all before
    one is out, level < from_level                  Cancel, refers to all before; none is out
    drill                                           Alert of status Exercise, touches nothing

What is out is kept beside the outbox, in the transaction that stores the message itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.alarm import LEVELS
from edge.cap import cap_xml, reference
from edge.message import ALARM, Message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.alarm import AlarmChange
    from edge.parse_publish import CapConfig

MAX_REFERENCES = 16
"""The newest so many: each of them has superseded the ones before."""
_REFERENCE = re.compile(r"[^\s,<&]+,[^\s,<&]+,\d{4}(-\d\d){2}T\d\d(:\d\d){2}[-+]\d\d:\d\d\Z")


@dataclass(frozen=True, slots=True)
class Standing:
    """The alert of a station that is out."""

    level: int
    no_data: bool
    references: tuple[str, ...]


class CapTopic:
    """The CAP messages of one gateway, under ``<prefix>/<station>/cap``."""

    def __init__(self, config: CapConfig, prefix: str, gateway: str) -> None:
        self._config = config
        self._prefix = prefix
        self._gateway = gateway
        self.standing: dict[str, Standing] = {}

    def alarm(self, change: AlarmChange) -> list[Message]:
        """Take a change; gives one message or none."""
        if change.kind == "drill":
            wanted = change.level >= self._config.from_level
            return [self._message(change, "Alert", ())] if wanted else []
        before = self.standing.get(change.station)
        if change.level < self._config.from_level:
            if before is None:
                return []
            del self.standing[change.station]
            return [self._message(change, "Cancel", before.references)]
        earlier = () if before is None else before.references
        if before is not None and (before.level, before.no_data) == (change.level, change.no_data):
            return []
        own = reference(self._config, change, self._gateway)
        kept = (*earlier, own)[-MAX_REFERENCES:]
        self.standing[change.station] = Standing(change.level, change.no_data, kept)
        return [self._message(change, "Alert" if before is None else "Update", earlier)]

    def _message(self, change: AlarmChange, kind: str, references: tuple[str, ...]) -> Message:
        text = cap_xml(self._config, change, self._gateway, kind, references)
        # Not retained: the outbox would drop one that waits, and a reference would lead nowhere.
        return Message(f"{self._prefix}/{change.station}/cap", text, ALARM)

    def snapshot(self) -> dict[str, Any]:
        """Return what is out as JSON-ready values."""
        return {
            name: [out.level, out.no_data, list(out.references)]
            for name, out in self.standing.items()
        }

    def restore(self, saved: dict[str, Any], stations: Iterable[str]) -> list[str]:
        """Continue from a snapshot; gives what had to be left out, in words."""
        notes = []
        for name, (level, no_data, references) in saved.items():
            kept = tuple(str(each) for each in references)
            if level not in range(1, len(LEVELS)) or not kept or not all(map(_is_sound, kept)):
                notes.append(f"CAP: what was out for {name!r} cannot be read; the next is an Alert")
            elif name not in stations:
                notes.append(f"CAP: {name!r} is no station any more; nobody cancels {kept[-1]}")
            else:
                self.standing[name] = Standing(level, bool(no_data), kept[-MAX_REFERENCES:])
        return notes


def _is_sound(text: str) -> bool:
    return _REFERENCE.match(text) is not None
