"""From provisioning to the alarm in a booted gateway, and on through hangs and power cuts.

  scripts/boot [--suite trixie] [--kills 20] [--json OUT]

A card is provisioned and its image built as a person does it; Debian for arm64 boots it in a
virtual machine (a Cortex-A72, emulated), the first boot installs Talus from the card, and readings
of nodes on USB reach a Mosquitto here as alarms: of the demo's slope by its models, of a node whose
level changes every second by rules, of the C node on an emulated Cortex-M3. Then the service is
made to hang, and the machine is killed while alarms go out, every other time while a bundle comes
in over MQTT. Where that cannot be run this says why, and ends with 0.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flash_board
from figures import machine, write
from flash_card import NAME, gateway_toml, make_card, make_hot
from flash_cpu import on_its_cpu
from flash_cuts import BOOT_S, kills, update
from flash_debian import cache
from flash_update import STATION, Updates
from flash_vm import Vm, await_true, boot_root, first_boot_told, tell, why_not
from relay_parts import Broker
from relay_room import Room

from export.demo import make_node
from export.package.deb import make_deb
from export.package.targets import SUITES, target

SLOPE_ROWS_A_SECOND = 20.0
ALARM_S = 900.0
"""How long is waited; it is no target."""
_STATE = "systemctl show talus -p ActiveState --value"
_JOURNAL = (
    'python3 -c \'import json,sqlite3; db=sqlite3.connect("file:/var/lib/talus/outbox.db?mode=ro",'
    "uri=True); print(json.dumps([p[0] if isinstance(p[0], str) else p[0].decode() for p in "
    'db.execute("SELECT payload FROM journal ORDER BY number")]))\''
)


@dataclass
class Life:
    """One gateway and what is around it."""

    vm: Vm
    room: Room
    quiet: threading.Event
    has_board: bool
    updates: Updates
    recovery_s: list[float] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)
    missing: int = 0
    """Alarms that were in the room before a kill, and not in the gateway's journal after it."""

    def alarms(self, station: str = "") -> list[str]:
        """Return the ids of alarms that have come, of a station or of all."""
        found = self.room.alarms()
        return [a["id"] for a in found if a["level"] > 0 and station in ("", a["station"])]

    def active(self) -> bool:
        """Return whether the service is up."""
        return (self.vm.ask(_STATE, 10.0) or "").strip() == "active"

    def await_more(self, station: str, patience_s: float) -> float:
        """Wait for one more alarm of a station; returns how long."""
        began_s, before = time.monotonic(), len(self.alarms(station))

        def more() -> bool:
            return len(self.alarms(station)) > before

        more.__doc__ = f"an alarm of station {station}"
        await_true(more, patience_s)
        return time.monotonic() - began_s

    def bundle(self, since_s: float) -> str:
        """Return what watches the demo's slope, as health says after a moment; "" for nothing."""

        def told() -> list[dict[str, Any]]:
            """Health that tells of the stations."""
            arrived = [m for m in list(self.room.arrived) if m.kind == "health"]
            found = [m.values() for m in arrived if m.at_s > since_s]
            return [each["stations"][STATION] for each in found if each.get("stations")]

        await_true(told, BOOT_S)
        station = told()[-1]
        return "" if station["unarmed"] else str(station["bundle"])

    def journal(self) -> list[tuple[str, str]]:
        """Return (station, id) of all that the gateway has raised, asked of its file."""
        lines = self.vm.must(_JOURNAL).strip().splitlines()
        alarms = [json.loads(each) for each in json.loads(lines[-1])]
        return [(a["station"], a["id"]) for a in alarms]


def first_boot(life: Life, began_s: float) -> dict[str, float]:
    """Wait for the alarms of all stations; what the first boot says of itself."""
    took_s = life.await_more("hot", BOOT_S) and time.monotonic() - began_s
    print(f"first alarm {took_s:.0f} s after talus-export provision began")
    print(first_boot_told(life.vm, BOOT_S))
    print(
        life.vm.must("df -h /var/lib/talus; systemctl --failed --no-legend; ls /dev/serial/by-id")
    )
    for station in ("slope", *(["board"] if life.has_board else [])):
        if not life.alarms(station):
            life.await_more(station, ALARM_S)
        print(f"station {station}: alarm after {time.monotonic() - began_s:.0f} s")
    health = [m.values() for m in list(life.room.arrived) if m.kind == "health"][-1]
    print(f"resident there: {health['rss_mb']} MB")
    return {"flash_to_alarm_s": took_s, "arm64_rss_mb": health["rss_mb"]}


def hang(life: Life) -> dict[str, float]:
    """Stop the service where it stands; the watchdog is to start it anew."""
    before = life.vm.must("systemctl show talus -p NRestarts --value").strip()
    life.vm.must("kill -STOP $(systemctl show talus -p MainPID --value)")
    began_s = time.monotonic()

    def again() -> bool:
        """Say that the service was started again."""
        now = (life.vm.ask("systemctl show talus -p NRestarts --value") or before).strip()
        return now != before and life.active()

    await_true(again, 300.0, 2.0)
    life.await_more("hot", ALARM_S)
    took_s = time.monotonic() - began_s
    print(life.vm.must("journalctl -u talus -n 400 --no-pager | grep -i watchdog | tail -3"))
    print(f"hung: alarms again after {took_s:.0f} s")
    return {"watchdog_recovery_s": took_s}


def run(suite: str, count: int) -> dict[str, float]:
    """Do all of it; the figures by name. Raises RuntimeError, TalusError."""
    root = boot_root(suite)
    with ExitStack() as stack:
        cache().mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix="vm.", dir=cache())
        folder = Path(stack.enter_context(scratch))
        made = make_deb(target(suite, "arm64"), slim=True)
        (folder / made.name).write_bytes(made.content)
        broker = stack.enter_context(Broker(folder / "broker"))
        room = stack.enter_context(Room(broker.port))
        quiet = threading.Event()
        nodes = {"slope": make_node(SLOPE_ROWS_A_SECOND), "hot": make_hot(quiet, 11)}
        devices = {name: stack.enter_context(node).device for name, node in nodes.items()}
        why = flash_board.why_not()
        if why:
            print(f"the C node on a Cortex-M3: NOT TESTED: {why}", file=sys.stderr)
        else:
            devices["board"] = stack.enter_context(flash_board.Board(folder / "board")).device
        config = gateway_toml(broker.port, firmware=not why)
        began_s = time.monotonic()
        card = make_card(folder, folder / made.name, root, config, suite)
        figures = {"image_mb": card.stat().st_size / 1e6, "image_s": time.monotonic() - began_s}
        vm = stack.enter_context(Vm(root, card, devices, folder))
        updates = stack.enter_context(Updates(folder, broker.port, NAME))
        life = Life(vm, room, quiet, "board" in devices, updates)
        try:
            figures |= first_boot(life, began_s)
            figures |= on_its_cpu(vm)
            figures |= hang(life)
            figures |= update(life)
            figures |= kills(life, count)
        except Exception:
            tell(vm, folder)
            raise
    return figures


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", choices=SUITES, default="bookworm")
    parser.add_argument("--kills", type=int, default=20, metavar="N")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    args = parser.parse_args()
    why = why_not()
    if why:
        print(f"boot: NOT TESTED: {why}", file=sys.stderr)
        return 0
    print(f"{machine()}; {args.suite} on arm64 by qemu-system-aarch64")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is taken down again
    figures = run(args.suite, args.kills)
    write(figures, args.json)
    good = figures["kills_survived"] == figures["kills"] and not figures["vm_alarms_lost"]
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
