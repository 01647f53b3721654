"""``talus-firstboot``: from a card to a gateway; each run does what is not done yet."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from typing import TYPE_CHECKING

from export.provision.firstboot.ask import ask
from export.provision.firstboot.card import prove, read_card
from export.provision.firstboot.grow import grow_data
from export.provision.firstboot.identity import WaitsError, enrol, is_plausible, settle
from export.provision.firstboot.install import configure, connect, install, start
from export.provision.firstboot.place import (
    Place,
    StepError,
    command,
    find_place,
    scrub,
    write,
    write_plain,
)
from export.provision.firstboot.status import OK, WAITS, WRONG, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.provision.firstboot.card import Card

DONE = "done"
_NETWORK_TAKEN = b"""\
# Taken over by the system at first boot; the Wi-Fi key that stood here was removed.
network: {version: 2}
"""


def main() -> int:
    """Run what is left to do; returns 0 when all is done, 1 when it is to be tried again."""
    try:
        place = find_place()
        lock = (place.state / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)  # by hand, and by the timer
    except (StepError, OSError) as error:
        print(f"talus-firstboot: {error}", file=sys.stderr)
        return 1
    status = Status()
    if place.has_systemd and not os.access(place.boot, os.W_OK):
        _may_write(place, status)
    try:
        card = read_card(place.card)
        status.gateway = card.gateway
        _steps(place, card, status)
    except StepError as error:
        status.add("card", WRONG, str(error), error.todo)
    except Exception as error:  # without screen or keyboard the text file must say what happened
        status.add("first boot", WRONG, f"{type(error).__name__}: {error}", "report this")
    if status.is_done:
        write(place.state / DONE, b"", 0o600, None)
        if place.has_systemd:
            command("systemctl", "disable", "--now", "talus-firstboot.timer")
    status.write(place.boot)
    return 0 if status.is_done else 1


def _may_write(place: Place, status: Status) -> None:
    try:
        command("mount", "-o", "remount,rw", str(place.boot))
    except StepError as error:
        status.add("boot part.", WAITS, f"stays read-only: {error}")


def _steps(place: Place, card: Card, status: Status) -> None:
    """Do the steps in order. Without package or configuration there is nothing to go on with."""
    if not (place.state / "configured").exists():
        status.add("card", OK, f"{prove(place.card, card)} files proven")
    else:
        status.add("card", OK, f"written {time.strftime('%Y-%m-%d', time.gmtime(card.made_s))}")
    _try(status, "data", lambda: grow_data(place))
    _try(status, "network", lambda: connect(place, card))
    ready = _try(status, "package", lambda: install(place, card))
    ready = ready and _try(status, "settings", lambda: configure(place, card))
    ready = ready and _try(status, "key", lambda: settle(place, card))
    if not ready:
        return
    _try(status, "service", lambda: start(place))
    now_s = time.time()
    if is_plausible(now_s, card):
        status.add("clock", OK, time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now_s)))
    else:
        text = f"says {time.strftime('%Y-%m-%d', time.gmtime(now_s))}: no TLS until it is set"
        status.add("clock", WAITS, text, "network for the time, or an RTC; readings are kept")
    _try(status, "broker", lambda: enrol(place, card, ask, now_s))
    _try(status, "secrets", lambda: _scrub_network(place))


def _try(status: Status, step: str, what: Callable[[], str]) -> bool:
    """Do one step, note what it came to; others go on."""
    try:
        status.add(step, OK, what())
    except WaitsError as error:
        status.add(step, WAITS, str(error), error.todo)
    except StepError as error:
        status.add(step, WRONG, str(error), error.todo)
    except OSError as error:
        status.add(step, WRONG, str(error), "is the card full, read-only, or failing?")
    else:
        return True
    return False


def _scrub_network(place: Place) -> str:
    """Take the Wi-Fi key off the boot partition, once the system has it in its own place."""
    path = place.boot / "network-config"
    if path.exists() and b"password" in path.read_bytes():
        taken = list(place.at("/etc/netplan").glob("*.yaml"))
        connections = place.at("/etc/NetworkManager/system-connections")
        if not taken and not list(connections.glob("*")):
            what = "the system has not taken over network-config, and the Wi-Fi key in it, yet"
            raise WaitsError(what, "nothing on Raspberry Pi OS; else set up Wi-Fi by hand")
        scrub(path)
        write_plain(path, _NETWORK_TAKEN)
    return "none left on the boot partition"


if __name__ == "__main__":
    sys.exit(main())
