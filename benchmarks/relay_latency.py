"""From the last byte on the pty to the message at a subscriber, beside a bare pyserial + paho.

Both run at once, on a pty each, and are written to in turn, so that a busy machine is as busy for
both. The gateway sends telemetry as soon as it may (``telemetry_every_s = 0.05``); every fifth
row changes the level, and that alarm, with its fsync and the state that led to it, is timed apart.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relay_judge import percentile
from relay_parts import Broker, Gateway, Logger, await_true, write_config
from relay_room import PATIENCE_S, Room

if TYPE_CHECKING:
    from relay_room import Arrived

BARE = Path(__file__).with_name("relay_bare.py")
SPACING_S = (0.07, 0.13)
"""Between two rows of the gateway: 10 a second, in step with no timer."""
ALARM_EVERY = 5
SETTLE = 10
"""Rows at the start that are not timed."""
FAST = "telemetry_every_s = 0.05\noutbox_max_mb = 64"


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from byte to subscriber."""

    telemetry: list[float]
    alarms: list[float]
    bare: list[float]


def timed(
    ours: list[float], bare: list[float], arrived: list[Arrived], settle: int = SETTLE
) -> Times:
    """Match what came with when its row was written; the first arrival of each counts."""
    seen: dict[tuple[str, int], float] = {}
    for each in arrived:
        if each.kind == "telemetry":
            for row in each.values()["rows"]:
                seen.setdefault(("telemetry", row[1]), each.at_s)
        elif each.kind == "alarm":
            hits = [hit for rule in each.values()["rules"] for found in rule["conditions"]
                    for hit in found["hits"]]  # fmt: skip
            if hits:  # the value names the row: see alarm_value
                number = round(hits[0]["value"] % 1 * 1_000_000)
                seen.setdefault(("alarm", number), each.at_s)
        elif each.topic == "bare/line":
            seen.setdefault(("bare", int(each.payload.split(b",")[1])), each.at_s)
    return Times(
        [seen["telemetry", n] - at_s for n, at_s in enumerate(ours)
         if ("telemetry", n) in seen and n >= settle and n % ALARM_EVERY],
        [seen["alarm", n] - at_s for n, at_s in enumerate(ours)
         if ("alarm", n) in seen and n >= settle],
        [seen["bare", n] - at_s for n, at_s in enumerate(bare)
         if ("bare", n) in seen and n >= settle],
    )  # fmt: skip


def alarm_value(row: int) -> float:
    """Return a value of level 1 or 2, by turns, that bears the number of its row."""
    return 1 + row // ALARM_EVERY % 2 + row / 1_000_000


def latency(folder: Path, rows: int) -> dict[str, float]:
    """Time so many rows of each; the figures by name."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder / "broker"))
        room = stack.enter_context(Room(broker.port, "talus/+/+/+", "bare/line"))
        ours, theirs = stack.enter_context(Logger(step_ms=100)), stack.enter_context(Logger())
        config = write_config(
            folder, name="fast", device=ours.pty.device, port=broker.port,
            stations={"s": "hot"}, gateway=FAST, step_s=0.1,
        )  # fmt: skip
        gateway = stack.enter_context(Gateway(config))
        command = [sys.executable, str(BARE), theirs.pty.device, str(broker.port)]
        bare = subprocess.Popen(command)
        stack.callback(bare.wait)
        stack.callback(bare.kill)
        ours.await_listener()
        theirs.await_listener()
        time.sleep(1.0)
        dice = random.Random(1)
        value = 0.0
        for row in range(rows):
            value = alarm_value(row) if row % ALARM_EVERY == 0 else value
            ours.write(value)
            pause_s = dice.uniform(*SPACING_S) / 2
            time.sleep(pause_s)
            theirs.write(0.0)
            time.sleep(pause_s)
        await_true(lambda: len(room.rows("s")) >= rows, PATIENCE_S, 0.2)
        lost = rows - len(room.rows("s"))
        gateway.stop()
        found = timed(ours.sent_s, theirs.sent_s, list(room.arrived))
    return report(found, lost) | {"fsync_p50_ms": fsync_ms(folder / "probe")}


def fsync_ms(path: Path, times: int = 50) -> float:
    """Say what this disk takes to keep a page, without SQLite: an alarm waits for that at least."""
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            began_s = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began_s)
    p50 = percentile(took, 0.5) * 1000
    print(f"to append a page and fsync it takes {p50:.2f} ms here (p50)")
    return p50


def report(found: Times, lost: int) -> dict[str, float]:
    """Print the table; the figures by name."""
    print(f"{'byte to subscriber':<26} {'count':>6} {'p50 ms':>8} {'p99 ms':>8}")
    figures: dict[str, float] = {"latency_rows_lost": lost}
    names = (("gateway, telemetry", "telemetry", found.telemetry),
             ("gateway, alarm with fsync", "alarm", found.alarms),
             ("bare pyserial + paho", "bare", found.bare))  # fmt: skip
    for text, name, times in names:
        if not times:
            raise RuntimeError(f"{text}: nothing came")
        p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
        figures |= {f"{name}_p50_ms": p50 * 1000, f"{name}_p99_ms": p99 * 1000}
        print(f"{text:<26} {len(times):>6} {p50 * 1000:>8.2f} {p99 * 1000:>8.2f}")
    return figures | {
        "p50_over_bare": figures["telemetry_p50_ms"] / figures["bare_p50_ms"],
        "alarm_p50_over_bare": figures["alarm_p50_ms"] / figures["bare_p50_ms"],
    }


def throughput(folder: Path, rows: int) -> dict[str, float]:
    """Write rows as fast as the gateway reads them, until the subscriber has the last."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder / "broker"))
        room = stack.enter_context(Room(broker.port, "talus/+/+/telemetry"))
        logger = stack.enter_context(Logger())
        config = write_config(
            folder, name="full", device=logger.pty.device, port=broker.port, stations={"s": "hot"}
        )
        gateway = stack.enter_context(Gateway(config))
        logger.await_listener()
        began_s = time.monotonic()
        for row in range(rows):
            logger.write(0.0, row % 100)
        read_s = time.monotonic() - began_s
        await_true(lambda: room.arrived and sum_of_rows(room) >= rows, PATIENCE_S, 0.2)
        took_s = room.arrived[-1].at_s - began_s
        gateway.stop()
        lost = rows - len(room.rows("s"))
    print(f"throughput: {rows} readings read in {read_s:.1f} s, delivered and acknowledged "
          f"in {took_s:.1f} s, {lost} lost")  # fmt: skip
    return {"confirmed_readings_per_s": rows / took_s, "throughput_rows_lost": lost}


def sum_of_rows(room: Room) -> int:
    """Return how many rows have come, by the commas alone: it is asked often."""
    last = room.arrived[-1].values()["rows"]
    return int(last[-1][1]) + 1
