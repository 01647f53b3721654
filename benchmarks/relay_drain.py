"""A backlog of 100,000 messages, and alarms that are to overtake it.

The outbox is filled beforehand, then broker, subscriber and gateway are started. Alarm latency is
from the last byte of the row on the pty to the subscriber: longer than from ``put``.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from relay_judge import percentile
from relay_latency import ALARM_EVERY, alarm_value, timed
from relay_parts import Broker, Gateway, Logger, await_true, write_config
from relay_room import PATIENCE_S, Room

from edge.message import TELEMETRY, Message, to_json
from edge.outbox import Outbox

if TYPE_CHECKING:
    from pathlib import Path

SPACING_S = 0.02
"""Between two rows: an alarm ten times a second while the backlog drains."""
OUTBOX_MB = 512
NAME = "drain"
_LOOK_S = 0.2
_LONGEST_S = 900.0


def backlog_message(number: int) -> Message:
    """Make one message of the backlog: five rows of four channels."""
    began_ms = 1_700_000_000_000 + number * 1000
    values = {
        "format": 1,
        "id": f"old-{began_ms}-{number}",
        "gateway": NAME,
        "station": "old",
        "level": 0,
        "no_data": False,
        "fields": ["time_ms", "sequence", "a", "b", "c", "d"],
        "rows": [
            [began_ms + 200 * i, number * 5 + i, number / 7, i / 3, number % 11, 20.5]
            for i in range(5)
        ],
        "score_fields": ["kind", "channel", "value", "threshold", "armed"],
        "forecast_fields": [],
        "steps": [],
    }
    return Message(f"talus/{NAME}/old/telemetry", to_json(values), TELEMETRY, rows=5)


def prefill(folder: Path, messages: int) -> float:
    """Fill the outbox that a gateway is to find; returns how long that took, s."""
    began_s = time.monotonic()
    outbox = Outbox(folder, OUTBOX_MB * 1024 * 1024)
    for number in range(messages):
        outbox.put([backlog_message(number)])
    waiting = outbox.messages
    outbox.close()
    if waiting != messages:
        raise RuntimeError(f"{waiting} messages wait, {messages} were put")
    return time.monotonic() - began_s


class Backlog:
    """Counts what comes of the backlog, each message once."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._at = 0
        self._seen: set[bytes] = set()
        self.first_s = self.last_s = 0.0

    @property
    def came(self) -> int:
        """How many have come."""
        return len(self._seen)

    def look(self) -> None:
        """Take what came since the last look; the texts are not parsed, as time is short."""
        end = len(self._room.arrived)
        for each in self._room.arrived[self._at : end]:
            if each.topic.endswith("/old/telemetry"):
                self._seen.add(each.payload.split(b'"id":"', 1)[1].split(b'"', 1)[0])
                self.first_s = self.first_s or each.at_s
                self.last_s = each.at_s
        self._at = end


def raise_alarms(logger: Logger, backlog: Backlog, messages: int) -> int:
    """Write rows until the backlog is gone; returns how many were written by then."""
    end_s = time.monotonic() + _LONGEST_S
    looked_s = 0.0
    while backlog.came < messages and time.monotonic() < end_s:
        row = len(logger.sent_s)
        logger.write(alarm_value(row - row % ALARM_EVERY))
        time.sleep(SPACING_S)
        if time.monotonic() - looked_s > _LOOK_S:
            looked_s = time.monotonic()
            backlog.look()
    return len(logger.sent_s)


def run(folder: Path, messages: int) -> dict[str, float]:
    """Drain it; the figures by name."""
    filled_s = prefill(folder / "data", messages)
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder / "broker"))
        room = stack.enter_context(Room(broker.port, f"talus/{NAME}/+/+"))
        logger = stack.enter_context(Logger())
        config = write_config(
            folder, name=NAME, device=logger.pty.device, port=broker.port,
            stations={"s": "hot"}, gateway=f"telemetry_every_s = 1\noutbox_max_mb = {OUTBOX_MB}",
        )  # fmt: skip
        gateway = stack.enter_context(Gateway(config))
        logger.await_listener()
        backlog = Backlog(room)
        written = raise_alarms(logger, backlog, messages)
        drained_s = backlog.last_s - backlog.first_s
        await_true(lambda: len(room.rows("s")) >= written, PATIENCE_S, 0.2)
        gateway.stop()
        backlog.look()
        arrived = list(room.arrived)
        during = [m for m in arrived if backlog.first_s <= m.at_s <= backlog.last_s]
        times = timed(logger.sent_s, [], during, settle=0).alarms
        lost = messages - backlog.came
        wanted = -(-written // ALARM_EVERY)
        alarms = len({m.values()["id"] for m in arrived if m.kind == "alarm"})
    if not times:
        raise RuntimeError("no alarm came while it drained: the backlog is too small")
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    rate = backlog.came / drained_s
    print(f"{messages} messages put in {filled_s:.1f} s, drained in {drained_s:.1f} s, "
          f"{rate:.0f} a second, {lost} lost; {len(times)} alarms meanwhile: p50 {p50 * 1000:.1f} "
          f"ms, p99 {p99 * 1000:.1f} ms, worst {max(times) * 1000:.1f} ms; "
          f"{alarms} alarms of {wanted} in all")  # fmt: skip
    return {
        "drain_msgs_per_s": rate,
        "drain_lost": lost,
        "drain_alarms_lost": wanted - alarms,
        "alarm_p50_s_while_draining": p50,
        "alarm_p99_s_while_draining": p99,
    }
