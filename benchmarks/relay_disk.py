"""What the relay writes to disk, and what an outage of three days takes.

  python benchmarks/relay_disk.py --json disk.json

Steady (relay_steady.py): real gateways, 64 channels at 1 Hz as 8 nodes and as one, a real Mosquitto
that acknowledges at once. A reading is one row of a node, of 8 channels;
``bytes_written_per_day_64ch_1hz`` is the same, for a day; ``disk_bytes_per_row_of_64`` and
``disk_bytes_per_value_of_64`` are of the one.

Outage: an outbox fed with the telemetry of 64 channels at 1 Hz, on a clock of its own; then
emptied into Mosquitto. ``outage_small_*``: the same with a bound that makes it thin.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from figures import machine, parse, write
from relay_steady import CHANNELS, steady

from edge.disk_use import written_bytes
from edge.fields import Mistakes, Table
from edge.message import ALARM, TELEMETRY, Message, to_json
from edge.outbox import Outbox
from edge.parse_mqtt import parse_mqtt
from edge.relay import Relay
from export.local_broker import Mosquitto

MB = 1e6


def telemetry(second: int, values: list[float]) -> Message:
    """Make the telemetry message of one second, as the batch does."""
    text: dict[str, Any] = {
        "format": 1,
        "id": f"slope-{1_700_000_000_000 + second * 1000}-{second}",
        "gateway": "disk",
        "station": "slope",
        "level": 0,
        "no_data": False,
        "fields": ["time_ms", "sequence", *(f"tilt_{i:02d}" for i in range(CHANNELS))],
        "rows": [[1_700_000_000_000 + second * 1000, second, *values]],
        "score_fields": ["kind", "channel", "value", "threshold", "armed"],
        "forecast_fields": [],
        "steps": [],
    }
    return Message("talus/disk/slope/telemetry", to_json(text), TELEMETRY, rows=1)


class Outage:
    """An outbox that nobody empties for hours."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.now_s = 0.0
        self.folder = folder
        self.outbox = Outbox(folder, max_bytes, clock=lambda: self.now_s)
        self.put_rows = 0
        self.raw_bytes = 0

    def last(self, hours: float) -> None:
        """Let it last so long: 64 channels at 1 Hz, an alarm an hour."""
        dice = random.Random(4)
        values, step = [dice.uniform(-50, 50) for _ in range(CHANNELS)], 0.01
        for second in range(round(hours * 3600)):
            values = [float(f"{v + step * dice.random():.7g}") for v in values]
            step = -step
            message = telemetry(second, values)
            self.raw_bytes += len(message.payload)
            self.outbox.put([message])
            self.put_rows += 1
            if second % 3600 == 0:
                self.outbox.put([Message("talus/disk/slope/alarm", b"{}" * 500, ALARM)])
            self.now_s += 1.0
            self.outbox.settle()
            self.outbox.notes.clear()

    def disk_bytes(self) -> int:
        """Return what its files take."""
        return sum(file.stat().st_size for file in self.folder.glob("outbox.db*"))

    def figures(self, name: str) -> dict[str, float]:
        """Return what it came to; stops where a reading is not accounted for."""
        lost = dict(self.outbox.lost)
        if self.put_rows != self.outbox.rows + sum(lost.values()):
            sys.exit(f"{name}: readings are not accounted for")
        print(f"{name}: {self.put_rows} readings, {self.raw_bytes / MB:.0f} MB of messages; "
              f"waiting {self.outbox.messages} messages, {self.outbox.rows} readings; "
              f"files {self.disk_bytes() / MB:.0f} MB; given up {lost}")  # fmt: skip
        return {
            f"{name}_disk_mb": self.disk_bytes() / MB,
            f"{name}_thinned": lost.get("thinned", 0),
            f"{name}_dropped": lost.get("outbox_full", 0) + lost.get("outbox_old", 0),
        }

    def drain(self, name: str, port: int) -> dict[str, float]:
        """Send it all to a broker; how long that takes."""
        self.outbox.close()
        began_s = time.monotonic()
        outbox = Outbox(self.folder, 10**12)
        opened_s = time.monotonic() - began_s
        broker = Table({"host": "127.0.0.1", "port": port}, "mqtt", Mistakes("benchmark"))
        relay = Relay(parse_mqtt(broker), self.folder, "disk", outbox)
        messages, rows = outbox.messages, outbox.rows
        relay.start()
        while not relay.health().connected:
            relay.pump()
        began_s = time.monotonic()
        while outbox.messages:
            outbox.settle()
            if relay.pump():
                time.sleep(0.001)
        took_s = time.monotonic() - began_s
        if relay.published_rows != rows:
            sys.exit(f"{name}: {rows} readings waited, {relay.published_rows} were delivered")
        relay.stop()
        outbox.close()
        print(f"{name}: opened in {opened_s:.2f} s, {messages} messages sent in {took_s:.1f} s")
        return {
            f"{name}_open_s": opened_s,
            f"{name}_drain_s": took_s,
            f"{name}_drain_msgs_per_s": messages / took_s,
        }


def outages(folder: Path, hours: float) -> dict[str, float]:
    """Run two outages, one within the bound and one that makes it thin, and empty both."""
    found: dict[str, float] = {}
    with Mosquitto(folder) as broker:
        for name, max_mb in (("outage", 512), ("outage_small", max(2, round(hours)))):
            outage = Outage(folder / name, max_mb * 1024 * 1024)
            outage.last(hours)
            found |= outage.figures(name) | outage.drain(name, broker.port)
    return found


def writes_in_an_outage(folder: Path, messages: int) -> dict[str, float]:
    """Return what a message of 64 channels costs on a real disk while nobody takes it."""
    outage = Outage(folder, 512 * 1024 * 1024)
    before, commits = written_bytes() or 0, outage.outbox.disk.commits
    outage.last(messages / 3600)
    written = (written_bytes() or 0) - before
    print(f"outage: {messages} messages of a second: {written / messages:.0f} bytes to disk each, "
          f"{(outage.outbox.disk.commits - commits) / messages:.2f} commits")  # fmt: skip
    outage.outbox.close()
    return {"outage_disk_bytes_per_message": written / messages}


def measure(*, quick: bool) -> dict[str, float]:
    """Measure everything; the figures by name."""
    memory = Path("/dev/shm")  # three days of fsync are not what is measured
    where = memory if memory.is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="disk-") as disk,
        tempfile.TemporaryDirectory(prefix="outage-", dir=where) as fast,
    ):
        (Path(disk) / "steady").mkdir()
        return (
            steady(Path(disk) / "steady", 1 if quick else 3, warm=not quick)
            | writes_in_an_outage(Path(disk) / "writes", 300 if quick else 1500)
            | outages(Path(fast), 4.0 if quick else 72.0)
        )


def main() -> None:
    """Run the benchmark."""
    args = parse(__doc__)
    print(machine())
    write(measure(quick=args.quick), args.json)


if __name__ == "__main__":
    main()
