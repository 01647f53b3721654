"""One gateway at a time: latency, CPU a reading, memory, and how many readings a second it holds.

Latency is from the write to the pty to the message at a subscriber, at 10 readings a second that
keep step with no timer. CPU is that of the whole process tree, at 10 and at 100 a second.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peers_rig import Rig
from peers_tally import percentile, sustained
from relay_parts import await_true
from relay_room import Room

from export.local_broker import Mosquitto

if TYPE_CHECKING:
    from pathlib import Path

    from peers_gateways import Peer

SETTINGS = "allow_anonymous true\nqueue_qos0_messages true"
SLOW_HZ, FAST_HZ = 10, 100
RATES_HZ = (200, 500, 1000, 2000, 5000)
QUICK_RATES_HZ = (500, 1000, 2000)
SETTLE_ROWS = 10
PATIENCE_S = 20.0
_BURST_S = 0.01


@dataclass(frozen=True, slots=True)
class Lengths:
    """How much is measured."""

    slow_rows: int
    fast_rows: int
    rates_hz: tuple[int, ...]
    rate_s: float
    patience_s: float
    """How long a row of the highest rates may take to arrive."""


FULL = Lengths(600, 3000, RATES_HZ, 10.0, 20.0)
QUICK = Lengths(80, 500, QUICK_RATES_HZ, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Speed:
    """What one gateway came to."""

    p50_ms: float
    p99_ms: float
    cpu_us_10hz: float
    cpu_us_100hz: float
    rss_mb: float
    held_hz: float
    """The highest rate held without loss; 0: none of those tried."""
    lost: int
    """Rows lost at 10 and 100 a second."""
    steps: float
    """Share of the rows with a forecast."""


class NotRunningError(Exception):
    """Why a gateway cannot be measured."""


def measure(peer: Peer, folder: Path, lengths: Lengths) -> Speed:
    """Measure a gateway, alone with a broker of its own."""
    folder.mkdir()
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder, settings=SETTINGS))
        room = stack.enter_context(Room(broker.port, peer.topic))
        stack.enter_context(peer.server(broker.port))
        rig = stack.enter_context(Rig(peer, folder / "rig", broker.port))
        if not rig.await_open():
            raise NotRunningError(f"it does not open its port; it said last:\n{rig.said()}")
        for _ in range(SETTLE_ROWS):
            rig.write()
            time.sleep(0.1)
        if not await_true(lambda: rig.came(room.arrived).at_s, PATIENCE_S):
            raise NotRunningError(f"nothing comes from it; it said last:\n{rig.said()}")
        slow_us = _paced(rig, room, SLOW_HZ, lengths.slow_rows)
        slow = [row for row in rig.written_s if row >= SETTLE_ROWS]
        fast_us = _paced(rig, room, FAST_HZ, lengths.fast_rows)
        rss_mb = rig.use()[1]
        came = rig.came(room.arrived)
        took = [came.at_s[row] - rig.written_s[row] for row in slow if row in came.at_s]
        if not took:
            raise NotRunningError("no row came in time")
        lost = sum(row >= SETTLE_ROWS and row not in came.at_s for row in rig.written_s)
        steps = came.steps / max(1, len(came.at_s))
        held_hz = 0.0
        for rate_hz in (FAST_HZ, *lengths.rates_hz):
            if not _holds(rig, room, rate_hz, lengths):
                break
            held_hz = rate_hz
    return Speed(
        percentile(took, 0.5) * 1000, percentile(took, 0.99) * 1000, slow_us, fast_us, rss_mb,
        held_hz, lost, steps,
    )  # fmt: skip


def _paced(rig: Rig, room: Room, rate_hz: float, rows: int) -> float:
    """Write rows at a pace; the CPU of the gateway, us for each of them."""
    dice = random.Random(1)
    before_s = rig.use()[0]
    due_s = time.monotonic()
    for _ in range(rows):
        rig.write()
        due_s += dice.uniform(0.7, 1.3) / rate_hz
        time.sleep(max(0.0, due_s - time.monotonic()))
    written = set(rig.written_s)
    await_true(lambda: written <= set(rig.came(room.arrived).at_s), PATIENCE_S, 0.5)
    return (rig.use()[0] - before_s) / rows * 1e6


def _holds(rig: Rig, room: Room, rate_hz: float, lengths: Lengths) -> bool:
    """Write at a rate for a while; whether every row came, and in time."""
    before, arrived = set(rig.written_s), len(room.arrived)
    began_s = time.monotonic()
    count, total, behind_s = 0, round(rate_hz * lengths.rate_s), 0.0
    while count < total:
        wanted = min(total, (time.monotonic() - began_s) * rate_hz)
        while count < wanted:
            rig.write()
            count += 1
        if not rig.flush():
            behind_s = max(behind_s, _await_room(rig))
        time.sleep(_BURST_S)
    rig.flush(lengths.patience_s)
    late_s = time.monotonic() - began_s - lengths.rate_s
    written = set(rig.written_s) - before

    def came() -> int:
        return len(written & set(rig.came(room.arrived[arrived:]).at_s))

    await_true(lambda: came() >= len(written), lengths.patience_s, 0.5)
    return sustained(count, came(), max(behind_s, late_s))


def _await_room(rig: Rig) -> float:
    """Wait a while for the gateway to read; how long it took."""
    began_s = time.monotonic()
    while not rig.flush(0.05) and time.monotonic() - began_s < 1.0:
        pass
    return time.monotonic() - began_s
