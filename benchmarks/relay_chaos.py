"""Chaos: real gateways, a real Mosquitto, a durable subscriber, and faults from a seed.

Several gateways at once ("lanes"), each with a node on a pty, a proxy and a small disk of its own,
as a gateway that has been cut off many times waits some seconds before it comes back. What was
raised is what stands in the gateways' own journals; what came is what the subscriber got.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from relay_faults import WEIGHTS, Shared, draw, inject
from relay_judge import Verdict, hot_rows, journal, judge
from relay_parts import TW1_PORT, Broker, Gateway, await_true, write_config
from relay_proxy import Proxy
from relay_room import PATIENCE_S, Room

from firmware_bridge.reading import Channel, Quantity, Unit
from firmware_bridge.simulator import PtyNode, SimulatedNode, describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LANES = 4
INTERVAL_S = 0.018
"""Between two rows of a lane: 222 a second in all, 200 with the time gateways are down."""
KEEPALIVE_S = 2
DISK = "12m"
CHANNELS = ("hot_a", "hot_b", "load")
EVERY = (40, 65)
"""Rows between two changes of level, of the two stations of a lane."""
MAX_S = 3600.0


@contextmanager
def small_disk(folder: Path) -> Iterator[str]:
    """Mount a disk that is soon full; gives "" or why there is none."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    try:
        yield done.stderr.strip() or "mount failed" if done.returncode else ""
    finally:
        if not done.returncode:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass
class Lane:
    """One gateway and what belongs to it."""

    number: int
    folder: Path
    gateway: Gateway
    proxy: Proxy
    node: PtyNode
    quiet: threading.Event
    """Set: the node sends nothing more."""

    @property
    def stations(self) -> tuple[str, str]:
        """Return the names of its stations."""
        return f"a{self.number}", f"b{self.number}"

    def raised(self) -> list[tuple[str, str]]:
        """Return what its journal holds."""
        return journal(self.folder / "data")


def make_lane(
    stack: ExitStack, folder: Path, number: int, port: int, seed: int
) -> tuple[Lane, str]:
    """Start a lane; also gives why it has no small disk, "" if it has."""
    folder.mkdir()
    (folder / "data").mkdir()
    refused = stack.enter_context(small_disk(folder / "data"))
    proxy = stack.enter_context(Proxy(port))
    channels = [
        Channel(name, Quantity.OTHER, Unit.RAW, -1e9, 1e9, round(INTERVAL_S * 1000))
        for name in CHANNELS
    ]
    quiet = threading.Event()
    node = PtyNode(
        SimulatedNode(describe(channels), stats_every=100),
        takewhile(lambda _: not quiet.is_set(), hot_rows(EVERY, seed + 100 * number)),
        interval_s=INTERVAL_S,
        step_us=round(INTERVAL_S * 1e6),
    )
    config = write_config(
        folder,
        name=f"lane{number}",
        device=node.device,
        port=proxy.port,
        stations={f"a{number}": "hot_a", f"b{number}": "hot_b"},
        protocol=TW1_PORT,
        gateway="telemetry_every_s = 0.25\noutbox_max_mb = 4\nsnapshot_every_s = 5",
        keepalive_s=KEEPALIVE_S,
        step_s=INTERVAL_S,
    )
    gateway = stack.enter_context(Gateway(config))
    stack.enter_context(node)
    return Lane(number, folder, gateway, proxy, node, quiet), refused


def torment(lane: Lane, shared: Shared, kinds: dict[str, int], seed: int) -> None:
    """Inject faults into a lane until there were enough of them in all."""
    dice = random.Random(f"{seed}/{lane.number}")
    end_s = time.monotonic() + MAX_S
    while shared.injected < shared.wanted and time.monotonic() < end_s:
        fault = draw(dice, kinds)
        inject(fault, lane.gateway, lane.proxy, lane.folder / "data", shared)
        process = lane.gateway.process
        if process is not None and process.poll() is not None:
            print(f"lane {lane.number}: the gateway ended by itself after {fault.kind!r}: "
                  f"{lane.gateway.log()[-600:]}", file=sys.stderr)  # fmt: skip
            shared.count_death()
            lane.gateway.start()


def run(folder: Path, wanted: int, seed: int = 6) -> dict[str, float]:
    """Run it; the figures by name."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder / "broker"))
        room = stack.enter_context(Room(broker.port))
        broker.save()
        made = [make_lane(stack, folder / f"lane{n}", n, broker.port, seed) for n in range(LANES)]
        lanes = [lane for lane, _ in made]
        kinds = dict(WEIGHTS)
        refused = next((why for _, why in made if why), "")
        if refused:
            print(f"full disk: not injected: {refused} (needs root, to mount a small disk)")
            del kinds["full disk"]
        if not await_true(lambda: all(lane.proxy.live for lane in lanes), PATIENCE_S):
            raise RuntimeError("the gateways do not connect")
        shared = Shared(broker, room, wanted)
        began_s = time.monotonic()
        threads = [
            threading.Thread(target=torment, args=(lane, shared, kinds, seed)) for lane in lanes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took_s = time.monotonic() - began_s
        rows = sum(lane.node.rows_sent for lane in lanes)
        found = settle(lanes, room)
        print_counts(shared, took_s, rows, lanes)
        print(f"alarms: {found}")
        return {
            "faults_injected": shared.injected,
            "alarms_raised": found.raised,
            "alarms_lost": found.lost,
            "alarms_out_of_order": found.out_of_order,
            "alarms_duplicated": found.duplicates,
            "alarms_unknown": found.unknown,
            "alarms_level_chain_broken": found.broken,
            "gateway_deaths": shared.deaths,
            "chaos_readings_per_s": rows / took_s,
        }


def settle(lanes: list[Lane], room: Room) -> Verdict:
    """Let everything arrive that will, stop the gateways in order, and judge."""
    for lane in lanes:
        lane.quiet.set()
    wanted = {key for lane in lanes for key in lane.raised()}
    await_true(lambda: wanted <= {(a["station"], a["id"]) for a in room.alarms()}, PATIENCE_S, 0.5)
    for lane in lanes:
        lane.gateway.stop()
    time.sleep(1.0)
    alarms = room.alarms()
    found = Verdict(0, 0, 0, 0, 0, 0)
    for lane in lanes:
        mine = [alarm for alarm in alarms if alarm["station"] in lane.stations]
        found += judge(lane.raised(), mine)
    return found


def print_counts(shared: Shared, took_s: float, rows: int, lanes: list[Lane]) -> None:
    """Say what was done to them."""
    print(f"{shared.injected} faults in {took_s:.0f} s, {rows / took_s:.0f} readings a second, "
          f"{sum(lane.gateway.starts for lane in lanes)} starts of {LANES} gateways, "
          f"{sum(lane.proxy.accepted for lane in lanes)} connections; {shared.missed} not counted, "
          "as there was no connection to hit")  # fmt: skip
    for kind, count in shared.counts.most_common():
        print(f"  {kind:<27} {count:>5}")
