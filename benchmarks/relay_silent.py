"""Links that die without a word: the proxy takes all and gives nothing, then resets.

60 s, 180 s and an hour for a gateway with the usual keepalive of 15 s. Here the keepalive is 2 s,
the least there is, and every time is scaled alike, 2 : 15 (with --quick the hour is cut shorter:
it is then 15 keepalives long). All at once, each with a gateway of its own; what was written on the
pty is held against what the subscriber has in the end, readings and alarms.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay_judge import journal, judge, level_at
from relay_parts import Broker, Gateway, Logger, await_true, write_config
from relay_proxy import DOWN, UP, Proxy
from relay_room import PATIENCE_S, Room

if TYPE_CHECKING:
    from pathlib import Path

KEEPALIVE_S, USUAL_S = 2, 15
QUICK_HOUR_S = 30.0
DROPS_S = (60, 180, 3600)
RATE_HZ = 10.0
"""As of the peers: 950 lines over and around 60 s."""
EVERY = 15
AROUND_S = 3.0


@dataclass(frozen=True, slots=True)
class Drop:
    """What one silent drop came to."""

    simulated_s: float
    real_s: float
    rows: int
    rows_lost: int
    rows_twice: int
    alarms: int
    alarms_lost: int
    out_of_order: int


def scaled(simulated_s: float, *, quick: bool) -> float:
    """Return how long a drop lasts here."""
    real_s = simulated_s * KEEPALIVE_S / USUAL_S
    return min(real_s, QUICK_HOUR_S) if quick else real_s


def drop(folder: Path, broker: Broker, simulated_s: float, real_s: float) -> Drop:
    """Run a gateway through one drop."""
    folder.mkdir()
    name = f"silent{simulated_s:.0f}"
    with ExitStack() as stack:
        room = stack.enter_context(Room(broker.port, f"talus/{name}/+/+", name=f"room-{name}"))
        proxy = stack.enter_context(Proxy(broker.port))
        logger = stack.enter_context(Logger(step_ms=round(1000 / RATE_HZ)))
        config = write_config(
            folder, name=name, device=logger.pty.device, port=proxy.port,
            stations={name: "hot"}, keepalive_s=KEEPALIVE_S, step_s=1 / RATE_HZ,
        )  # fmt: skip
        gateway = stack.enter_context(Gateway(config))
        logger.await_listener()
        if not await_true(lambda: proxy.live, PATIENCE_S):
            raise RuntimeError("the gateway does not connect")
        write_for(logger, AROUND_S)
        proxy.swallow(UP, DOWN)
        write_for(logger, real_s)
        proxy.cut()
        proxy.heal()
        write_for(logger, AROUND_S)
        rows = len(logger.sent_s)
        await_true(lambda: len(room.rows(name)) >= rows, PATIENCE_S, 0.5)
        gateway.stop()
        await_true(lambda: len(room.rows(name)) >= rows, 2.0, 0.5)
        came = room.rows(name)
        found = judge(journal(folder / "data"), room.alarms())
        twice = sum(
            len(m.values()["rows"]) for m in room.arrived if m.kind == "telemetry"
        ) - len(came)  # fmt: skip
        return Drop(
            simulated_s, real_s, rows, rows - len(came), twice, found.raised, found.lost,
            found.out_of_order,
        )  # fmt: skip


def write_for(logger: Logger, seconds: float) -> None:
    """Write rows at the pace for so long."""
    due_s = time.monotonic()
    for _ in range(round(seconds * RATE_HZ)):
        level = level_at(len(logger.sent_s), EVERY, 1)
        logger.write(level + 0.5 if level else 0.0)
        due_s += 1 / RATE_HZ
        time.sleep(max(0.0, due_s - time.monotonic()))


def run(folder: Path, *, quick: bool) -> list[Drop]:
    """Run them all at once."""
    found: list[Drop] = []
    with Broker(folder / "broker") as broker:
        threads = [
            threading.Thread(
                target=lambda s=each: found.append(
                    drop(folder / f"drop{s}", broker, s, scaled(s, quick=quick))
                )
            )
            for each in DROPS_S
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if len(found) < len(DROPS_S):
        raise RuntimeError("a silent drop could not be brought about, see above")
    return sorted(found, key=lambda each: each.simulated_s)


def report(found: list[Drop]) -> dict[str, float]:
    """Print the table; the figures by name."""
    print(f"keepalive {KEEPALIVE_S} s for {USUAL_S} s, {RATE_HZ:g} readings a second")
    print(f"{'drop':>7} {'here':>7} {'readings':>9} {'lost':>5} {'twice':>6} {'alarms':>7} "
          f"{'lost':>5} {'disorder':>9}")  # fmt: skip
    for d in found:
        times = f"{d.simulated_s:>5.0f} s {d.real_s:>5.0f} s"
        print(f"{times} {d.rows:>9} {d.rows_lost:>5} {d.rows_twice:>6} {d.alarms:>7} "
              f"{d.alarms_lost:>5} {d.out_of_order:>9}")  # fmt: skip
    return {
        "silent_drop_lost": sum(d.rows_lost + d.alarms_lost for d in found),
        "silent_drop_readings": sum(d.rows for d in found),
        "silent_drop_twice": sum(d.rows_twice for d in found),
    }
