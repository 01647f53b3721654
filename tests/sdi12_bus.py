"""An SDI-12 driver and a simulated bus, joined in virtual time."""

from __future__ import annotations

from random import Random

from firmware_bridge.drivers.sdi12 import (
    Sdi12Driver,
    Sdi12Plan,
    Sdi12Sensor,
)
from firmware_bridge.reading import Dropped, Reading
from firmware_bridge.sim_sdi12 import SimulatedBus

T0_MS = 1_700_000_000_000
Items = list[Reading | Dropped]


def sensor(address: str = "0", command: str = "MC", values: int = 2, **other) -> Sdi12Sensor:
    channels = tuple((f"{address}_{i}", i) for i in range(values))
    arguments = {"period_s": 10.0, "timeout_ms": 500, **other}
    return Sdi12Sensor(address, f"s{address}", command, channels, **arguments)


def driver_of(*sensors: Sdi12Sensor, **other) -> Sdi12Driver:
    return Sdi12Driver("bus", Sdi12Plan(sensors, **other))


def rows(count: int = 500, values: int = 2, seed: int = 0) -> list[tuple[float, ...]]:
    random = Random(seed)
    return [tuple(round(random.uniform(-99, 99), 2) for _ in range(values)) for _ in range(count)]


def ran(
    driver: Sdi12Driver,
    bus: SimulatedBus,
    span_ms: int,
    *,
    single: bool = False,
    noise: bytes = b"",
) -> Items:
    """Let both speak for so long; ``noise`` comes every 10 ms."""
    now_ms, end_ms, items = T0_MS, T0_MS + span_ms, []
    driver.opened(now_ms)
    while now_ms < end_ms:
        said = bus.say(now_ms) + noise
        parts = [said[i : i + 1] for i in range(len(said))] if single else [said]
        for part in [*parts, b""]:
            items += driver.receive(part, now_ms)
        bus.hear(driver.write_next(now_ms), now_ms)
        due_ms, next_ms = driver.due_ms(now_ms), bus.next_ms()
        assert due_ms is not None
        assert due_ms <= now_ms + 1_000_000
        wake_ms = min(each for each in (due_ms, next_ms, end_ms) if each is not None)
        now_ms = max(now_ms + 1, min(wake_ms, now_ms + 10) if noise else wake_ms)
    return items


def replayed(driver: Sdi12Driver, events: list[tuple[int, bytes | None]]) -> Items:
    """Do what a replay of a capture does: only what arrived or was done is known to it."""
    items: Items = []
    driver.opened(T0_MS)
    for now_ms, data in events:
        items += driver.receive(data or b"", now_ms)
        if data is None:
            driver.write_next(now_ms)
    return items


def readings(items: Items) -> list[Reading]:
    return [item for item in items if isinstance(item, Reading)]


def reasons(items: Items) -> list[str]:
    return [item.reason if isinstance(item, Dropped) else "reading" for item in items]


def nodes(driver: Sdi12Driver) -> dict[str, dict[str, int]]:
    return {address: dict(counts) for address, counts in driver.health().nodes}
