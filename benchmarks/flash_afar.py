"""A booted gateway from afar: enrolled by a token, over TLS, updated by signed files, cut off.

  scripts/boot --afar [--suite trixie] [--json OUT]
  python benchmarks/flash_afar.py

A card is provisioned with a token and a signed bundle, and nothing in it allows what is unsigned.
Debian for arm64 boots it in a virtual machine: the gateway makes its key, has it signed over the
reference broker, and tells the room of its alarms over TLS. From the desk come, signed, a
configuration that serves, one that does not and is taken back, a bundle on trial, a package, and a
package during which the power is cut. Where that cannot be run this says why, and ends with 0.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from figures import machine, write
from flash_afar_desk import Desk
from flash_afar_inside import asked, doctor, left_in, status_wrongs, wrongs
from flash_afar_site import make_bundle, make_card, make_package
from flash_afar_updates import bundle_on_trial, configurations, package, package_cut, strangers
from flash_card import make_hot
from flash_cuts import BOOT_S
from flash_debian import cache
from flash_vm import Vm, await_true, boot_root, first_boot_told, tell, why_not

from export.demo import make_node
from export.package.targets import SUITES

if TYPE_CHECKING:
    from flash_afar_desk import Ear

NEW, NEWER = "0.1.1", "0.1.2"
"""Versions of the packages that come from afar."""
CALM_DAYS, ROWS_A_SECOND = 100.0, 2.0
"""The slope does not fail: a bundle takes over where no level stands."""
GOOD = {"secrets_left": 0, "inside_wrong": 0, "doctor_faults": 0, "package_cut_survived": 1,
        "strangers_heard": 0}  # fmt: skip


@dataclass
class Afar:
    """One gateway, and the desk that reaches it."""

    vm: Vm
    desk: Desk

    @property
    def room(self) -> Ear:
        """What the room has heard."""
        return self.desk.room

    def await_alarm(self, since_s: float, patience_s: float = BOOT_S) -> float:
        """Wait for an alarm of "hot" that came since; returns how long after that."""

        def came() -> bool:
            """Tell whether station hot was alarmed."""
            return bool(self.room.alarms("hot", since_s))

        await_true(came, patience_s)
        return time.monotonic() - since_s


def first_boot(afar: Afar, began_s: float) -> dict[str, float]:
    """From power on to the first message over TLS, and what is to be found inside then."""

    def heard() -> bool:
        """Tell whether health came over TLS."""
        return bool(afar.room.of("health"))

    await_true(heard, 2 * BOOT_S)
    took_s = time.monotonic() - began_s
    print(f"first message over TLS {took_s:.0f} s after power on", flush=True)
    alarm_s = afar.await_alarm(began_s)
    print(f"first alarm after {alarm_s:.0f} s")
    status = first_boot_told(afar.vm, BOOT_S)
    print(status)
    print(asked(afar.vm, "systemd-analyze security --no-pager talus talus-update"
                " | grep -i overall; true"))  # fmt: skip
    found = [*status_wrongs(status), *wrongs(afar.vm)]
    for each in found:
        print(f"WRONG: {each}", flush=True)
    faults = [each for each in doctor(afar.vm) if each["state"] == "fault"]
    return {"enrol_s": took_s, "afar_alarm_s": alarm_s, "inside_wrong": len(found),
            "doctor_faults": len(faults)}  # fmt: skip


def run(suite: str) -> dict[str, float]:
    """Do all of it; the figures by name. Raises RuntimeError, TalusError."""
    root = boot_root(suite)
    with ExitStack() as stack:
        cache().mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix="afar.", dir=cache())
        folder = Path(stack.enter_context(scratch))
        desk = Desk(folder)
        card = make_card(desk, make_package(desk, suite), root, suite)
        packages = [make_package(desk, suite, each) for each in (NEW, NEWER)]
        stack.enter_context(desk)
        nodes = {
            "slope": make_node(ROWS_A_SECOND, CALM_DAYS),
            "hot": make_hot(threading.Event(), 11),
        }
        devices = {name: stack.enter_context(node).device for name, node in nodes.items()}
        began_s = time.monotonic()
        afar = Afar(stack.enter_context(Vm(root, card, devices, folder)), desk)
        try:
            figures = first_boot(afar, began_s)
            figures |= strangers(afar)
            figures |= configurations(afar)
            figures |= bundle_on_trial(afar, make_bundle(desk, 2))
            figures |= package(afar, packages[0], NEW)
            figures |= package_cut(afar, packages[1], (NEW, NEWER))
        except Exception:
            tell(afar.vm, folder, "cat /var/lib/talus-update/outcome.json")
            raise
        afar.vm.kill()
        figures["secrets_left"] = left_in(card, (desk.token().encode(),))
    return figures


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", choices=SUITES, default="bookworm")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    args = parser.parse_args()
    why = why_not()
    if why:
        print(f"afar: NOT TESTED: {why}", file=sys.stderr)
        return 0
    print(f"{machine()}; {args.suite} on arm64 by qemu-system-aarch64, from afar")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is taken down again
    figures = run(args.suite)
    write(figures, args.json)
    return 0 if all(figures[name] == wanted for name, wanted in GOOD.items()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
