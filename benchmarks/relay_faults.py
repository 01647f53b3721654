"""The faults of the chaos run: which comes next, drawn from a seed, and how it is brought about."""

from __future__ import annotations

import errno
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay_parts import await_true
from relay_proxy import DOWN, UP
from relay_room import PATIENCE_S

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from relay_parts import Broker, Gateway
    from relay_proxy import Proxy
    from relay_room import Room

WEIGHTS = {
    "delay": 24,
    "one-way partition, healed": 24,
    "connection cut": 14,
    "one-way partition, lost": 8,
    "silent drop": 8,
    "kill -9 of the gateway": 12,
    "kill -9 of the broker": 6,
    "full disk": 4,
}
"""How often each comes, in a hundred."""
ON_A_CONNECTION = frozenset(
    {"delay", "one-way partition, healed", "connection cut", "one-way partition, lost",
     "silent drop"}
)  # fmt: skip
"""Faults that say nothing where no connection stands."""
_CONNECT_S = 25.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: how long it lasts, which way it goes, and how long until the next may come."""

    kind: str
    lasts_s: float
    way: str
    pause_s: float


_LASTS_S = {
    "delay": (0.1, 0.6),
    "one-way partition, healed": (0.1, 0.8),
    "connection cut": (0.0, 0.0),
    "one-way partition, lost": (0.1, 1.5),
    "silent drop": (0.3, 5.0),
    "kill -9 of the gateway": (0.0, 0.3),
    "kill -9 of the broker": (0.0, 0.5),
    "full disk": (0.3, 2.5),
}


def draw(dice: random.Random, kinds: dict[str, int]) -> Fault:
    """Draw a fault."""
    kind = dice.choices(list(kinds), list(kinds.values()))[0]
    pause_s = 0.0 if dice.random() < 0.2 else dice.uniform(0.05, 0.5)
    return Fault(kind, dice.uniform(*_LASTS_S[kind]), dice.choice((UP, DOWN)), pause_s)


@dataclass
class Shared:
    """What all lanes have in common: the broker, its subscriber, and the count."""

    broker: Broker
    room: Room
    wanted: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    broker_lock: threading.Lock = field(default_factory=threading.Lock)
    counts: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    """Faults not counted, as the gateway was not connected in time."""
    deaths: int = 0
    """Times that a gateway ended by itself."""

    @property
    def injected(self) -> int:
        """Faults that hit."""
        with self.lock:
            return self.counts.total()

    def count(self, kind: str) -> None:
        """Count one that hit."""
        with self.lock:
            self.counts[kind] += 1

    def count_death(self) -> None:
        """Count a gateway that ended by itself."""
        with self.lock:
            self.deaths += 1


def fill(path: Path) -> bool:
    """Take all room of a disk; whether it is full now."""
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            return error.errno == errno.ENOSPC


def inject(fault: Fault, gateway: Gateway, proxy: Proxy, disk: Path, shared: Shared) -> None:
    """Bring a fault about, let it last, end it, and count it if it hit."""
    if fault.kind in ON_A_CONNECTION and not await_true(lambda: proxy.live, _CONNECT_S, 0.02):
        shared.missed += 1
        return
    hit = True
    if fault.kind == "delay":
        proxy.delay(fault.lasts_s)
        time.sleep(fault.lasts_s)
        proxy.heal()
    elif fault.kind == "connection cut":
        hit = proxy.cut() > 0
    elif fault.kind == "one-way partition, healed":
        proxy.hold(fault.way)
        time.sleep(fault.lasts_s)
        proxy.heal()
    elif fault.kind in ("one-way partition, lost", "silent drop"):
        proxy.swallow(*((fault.way,) if fault.kind != "silent drop" else (UP, DOWN)))
        time.sleep(fault.lasts_s)
        proxy.cut()
        proxy.heal()
    elif fault.kind == "kill -9 of the gateway":
        gateway.kill()
        time.sleep(fault.lasts_s)
        gateway.start()
    elif fault.kind == "kill -9 of the broker":
        kill_broker(fault, shared)
    else:
        hit = full_disk(fault, disk)
    if hit:
        shared.count(fault.kind)
    time.sleep(fault.pause_s)


def kill_broker(fault: Fault, shared: Shared) -> None:
    """Kill the broker and start it again.

    Not before the subscriber is back: what Mosquitto has acknowledged and holds in memory for a
    subscriber that is away is lost with it, and no gateway could know.
    """
    with shared.broker_lock:
        shared.room.await_connected()
        shared.broker.stop(signal.SIGKILL)
        time.sleep(fault.lasts_s)
        shared.broker.start()
        if not await_true(lambda: not shared.room.away, PATIENCE_S, 0.02):
            raise RuntimeError("the subscriber did not come back")


def full_disk(fault: Fault, disk: Path) -> bool:
    """Fill the disk for a while; whether it was full."""
    ballast = disk / "ballast"
    try:
        full = fill(ballast)
        end_s = time.monotonic() + fault.lasts_s
        while time.monotonic() < end_s:  # what the gateway frees is taken as well
            time.sleep(0.1)
            full = fill(ballast) or full
        return full
    finally:
        ballast.unlink()
