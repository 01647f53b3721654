"""Power cuts of the gateway in the virtual machine, and what must be there after each."""

from __future__ import annotations

import random
import statistics
import sys
import time
from typing import TYPE_CHECKING

from flash_update import STATION
from flash_vm import await_true
from relay_judge import judge

if TYPE_CHECKING:
    from flash_life import Life

BOOT_S = 900.0
"""How long is waited for a boot; it is no target."""
UPDATE_S = 40.0
"""The latest that the power is cut after a bundle has begun to come."""


def update(life: Life) -> dict[str, float]:
    """Send a bundle undisturbed and start it; how long that takes, from the desk to its watch."""
    before, began_s = len(life.updates.committed), time.monotonic()

    def committed() -> bool:
        """Say that the gateway has taken a bundle."""
        return len(life.updates.committed) > before

    life.updates.begin()
    await_true(committed, BOOT_S)
    life.updates.rest()
    sent_s = time.monotonic() - began_s
    life.vm.ask("systemctl restart talus", BOOT_S)  # once: it takes a minute where it is emulated
    bundle = life.bundle(time.monotonic())
    if bundle != life.updates.committed[before]:
        raise RuntimeError(f"{STATION} is watched by {bundle or 'nothing'} after an update")
    took_s = time.monotonic() - began_s
    print(f"{bundle}: committed after {sent_s:.0f} s, watches after {took_s:.0f} s")
    return {"bundle_update_s": took_s}


def power_cut(life: Life, dice: random.Random, *, updating: bool) -> bool:
    """Kill the machine at some moment, await alarms of its next life; whether all is there."""
    if updating:
        life.updates.begin()
    time.sleep(dice.uniform(1.0, UPDATE_S if updating else 8.0))
    doing = life.updates.doing if updating else "normal running"
    life.vm.kill()
    life.updates.rest()
    there = {(a["station"], a["id"]) for a in life.room.alarms()}
    began_s = time.monotonic()
    life.vm.start()
    try:
        life.await_more("hot", BOOT_S)
        life.recovery_s.append(time.monotonic() - began_s)
        known = set(life.journal())
        ready = life.vm.must("systemctl show talus -p ActiveEnterTimestampMonotonic --value")
        life.ready_s.append(int(ready) / 1e6)
        bundle = life.bundle(began_s)
    except (RuntimeError, ValueError) as error:
        print(f"not back: {error}", file=sys.stderr)
        return False
    lost = there - known
    life.missing += len(lost)
    if lost:
        print(f"in the room, and not in the journal: {sorted(lost)}", file=sys.stderr)
    print(f"killed during: {doing}; {STATION} is watched by {bundle or 'NO MODEL'}")
    return not lost and bundle in life.updates.labels()


def kills(life: Life, count: int) -> dict[str, float]:
    """Cut the power again and again; then let all arrive, and judge."""
    dice = random.Random(7)
    survived = 0
    for number in range(count):
        good = power_cut(life, dice, updating=bool(number % 2))
        survived += good
        back_s, ready_s = (each[-1] if each else 0.0 for each in (life.recovery_s, life.ready_s))
        print(f"kill {number + 1}: {'back' if good else 'LOST'}, READY after {ready_s:.0f} s, "
              f"an alarm after {back_s:.0f} s, "
              f"{len(life.room.alarms())} alarms in the room", flush=True)  # fmt: skip
    life.quiet.set()
    raised = life.journal()
    wanted = set(raised)

    def arrived() -> bool:
        """All that was raised has come."""
        return wanted <= {(a["station"], a["id"]) for a in life.room.alarms()}

    try:
        await_true(arrived, 120.0, 0.5)
    except RuntimeError as error:
        print(error, file=sys.stderr)
    time.sleep(2.0)
    found = judge(life.journal(), life.room.alarms())
    print(f"alarms: {found}")
    fsck = life.vm.must("dmesg | grep -ciE 'ext4-fs error|ext4.*corrupt'; echo").split()[0]
    lost = found.lost + found.unknown + life.missing
    committed = life.updates.committed
    print(f"bundles committed: {', '.join(committed) or 'none'}")
    return {
        "kills": count,
        "kills_while_updating": count // 2,
        "bundles_committed": len(committed),
        "kills_survived": survived if not lost else min(survived, count - 1),
        "recovery_s": statistics.median(life.recovery_s) if life.recovery_s else 0.0,
        "boot_ready_s": statistics.median(life.ready_s) if life.ready_s else 0.0,
        "vm_alarms_raised": found.raised,
        "vm_alarms_lost": lost,
        "vm_alarms_out_of_order": found.out_of_order,
        "vm_level_chain_broken": found.broken,
        "vm_disk_errors": int(fsck),
    }
