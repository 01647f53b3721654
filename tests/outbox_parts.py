"""Messages, and a clock, for the tests of the outbox."""

from __future__ import annotations

import random
import sqlite3

from edge.message import ALARM, TELEMETRY, Message
from edge.outbox import Outbox, Stored

PLENTY = 10**9
NONE_FLYING: frozenset[int] = frozenset()


def telemetry(text: str, rows: int = 1) -> Message:
    return Message("talus/g/slope/telemetry", text.encode(), TELEMETRY, rows=rows)


def noise(seed: int) -> str:
    """Text that no compression makes much smaller."""
    return random.Random(seed).randbytes(498).hex()


def alarm(text: str) -> Message:
    return Message("talus/g/slope/alarm", text.encode(), ALARM)


def retained(text: str, topic: str = "talus/g/slope/state", priority: int = ALARM) -> Message:
    return Message(topic, text.encode(), priority, retain=True)


def waiting(outbox: Outbox, limit: int = 10**6) -> list[Stored]:
    found = outbox.waiting(limit, NONE_FLYING, PLENTY)
    outbox.waiting(0, NONE_FLYING, PLENTY)  # and nothing of it is on the air
    return found


def texts(outbox: Outbox) -> list[str]:
    return [stored.message.payload.decode() for stored in waiting(outbox)]


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def on_disk(outbox: Outbox) -> list[str]:
    with sqlite3.connect(outbox.path) as db:
        found = [row[0].decode() for row in db.execute("SELECT payload FROM message ORDER BY id")]
    db.close()
    return found
