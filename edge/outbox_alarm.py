"""The alarm that a gateway raises about itself when its outbox was damaged.

It is no level of a slope: it goes to ``<prefix>/alarm``, beside those of the stations, with the
kind "outbox", and into the journal as they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge import __version__
from edge.message import ALARM, Message, to_json

if TYPE_CHECKING:
    from edge.outbox import Outbox


def outbox_alarm(prefix: str, gateway: str, now_ms: int, reason: str) -> Message:
    """Return what tells the operations room that messages may be missing, and why."""
    values = {
        "format": 1,
        "id": f"{gateway}-outbox-{now_ms}",
        "gateway": gateway,
        "station": None,
        "time_ms": now_ms,
        "kind": "outbox",
        "reason": reason,
        "version": __version__,
    }
    return Message(f"{prefix}/alarm", to_json(values), ALARM, id=str(values["id"]))


def outbox_alarms(outbox: Outbox, prefix: str, gateway: str, now_ms: int) -> list[Message]:
    """Return the alarm about a damage that is not told yet, and take it as told."""
    reason, outbox.quarantined = outbox.quarantined, ""
    return [outbox_alarm(prefix, gateway, now_ms, reason)] if reason else []
