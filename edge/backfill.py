"""What was measured in a span of time, published again from the capture, marked as replayed.

A process of its own reads the capture from its beginning, as a driver has to know what a node said
of itself; the gateway takes its messages few at a time, and only while little else waits.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from edge.message import TELEMETRY, Message, number, to_json
from edge.remote_child import Child, given

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.bundle import Bundle
    from edge.config import Config
    from edge.outbox import Outbox
    from edge.remote_command import Backfill

ROWS = 50
"""Rows a message."""
EVERY_MS, AT_ONCE = 100, 4
MAX_WAITING = 64
"""With more messages in the outbox a backfill waits: it is the last to need the link and disk."""


class BackfillRun:
    """A backfill at work. Raises OSError where none can be started."""

    def __init__(self, config: Config, request: Backfill, command_id: str) -> None:
        self.id = command_id
        self._prefix = f"{config.mqtt.topic}/{config.name}"
        self._child = Child("edge.backfill", (config, request, command_id))
        self._looked_ms: int | None = None
        self._told = ""

    def look(self, now_ms: int, outbox: Outbox) -> str:
        """Pass on what may go; returns at its end what came of it."""
        if self._looked_ms is not None and 0 <= now_ms - self._looked_ms < EVERY_MS:
            return ""
        self._looked_ms = now_ms
        if outbox.messages >= MAX_WAITING:
            return ""
        messages = []
        for line in self._child.lines(AT_ONCE):
            station, _, payload = line.partition(b" ")
            if station == b".":
                self._told = payload.decode()
                continue
            topic = f"{self._prefix}/{station.decode()}/telemetry"
            messages.append(Message(topic, payload, TELEMETRY))  # its readings were counted once
        if messages:
            outbox.put(messages)
        if not self._child.ended:
            return ""
        return self._told or "failed: the process that reads the capture ended without a word"

    def stop(self) -> None:
        """Give it up."""
        self._child.stop()


def filled(config: Config, request: Backfill, command_id: str) -> Iterator[tuple[str, bytes]]:
    """Give the messages of a span, (station, payload), and at last (".", what came of it)."""
    from edge.errors import TalusError
    from edge.replay import recorded, replay

    fields = {s.name: ["time_ms", "sequence", *(c.name for c in s.channels)]
              for s in config.stations}  # fmt: skip
    held: dict[str, list[list[Any]]] = {name: [] for name in fields}
    count = rows = 0

    def flush(name: str) -> bytes:
        nonlocal count
        count += 1
        values = {
            "format": 1, "id": f"{name}-{command_id}-{count}", "gateway": config.name,
            "station": name, "replayed": True, "backfill": command_id,
            "fields": fields[name], "rows": held[name],
        }  # fmt: skip
        held[name] = []
        return to_json(values)

    ended = ""
    unwatched: dict[str, Bundle | str] = dict.fromkeys(fields, "backfill runs no models")
    try:
        # To its end: what a node sent late lies far behind its time.
        items = recorded(config, [str(config.data_dir / config.capture)])
        for _, outcome in replay(config, unwatched, items):
            for row in outcome.rows if outcome is not None else ():
                if request.from_ms <= row.time_ms <= request.to_ms:
                    rows += 1
                    values = [number(v) for v in row.values]
                    held[row.station].append([row.time_ms, row.sequence, *values])
                    if len(held[row.station]) >= ROWS:
                        yield row.station, flush(row.station)
    except TalusError as error:
        if not str(error).endswith("cut short"):  # the line that is being written now
            ended = f"; the capture ends early: {error}"
    for name in fields:
        if held[name]:
            yield name, flush(name)
    yield ".", f"{rows} rows published again in {count} messages{ended}".encode()


def main() -> None:
    """Read the capture for a gateway, which reads what this prints."""
    config, request, command_id = given()
    for station, payload in filled(config, request, command_id):
        sys.stdout.buffer.write(station.encode() + b" " + payload + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
