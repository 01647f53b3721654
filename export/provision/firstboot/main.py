"""``talus-firstboot``: from a card to a gateway; each run does what is not done yet."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from typing import TYPE_CHECKING

from export.provision.firstboot.ask import ask
from export.provision.firstboot.card import prove, read_card
from export.provision.firstboot.grow import grow_data, is_data_there
from export.provision.firstboot.identity import WaitsError, enrol, is_plausible, settle
from export.provision.firstboot.install import CONFIGURED, configure, connect, install, start
from export.provision.firstboot.login import open_login
from export.provision.firstboot.place import (
    Place,
    StepError,
    command,
    find_place,
    overwrite,
)
from export.provision.firstboot.status import OK, WAITS, WRONG, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.provision.firstboot.card import Card

DONE = "done"
_TIMER = "talus-firstboot.timer"
_NETWORK_TAKEN = b"""\
# Taken over by the system at first boot; the Wi-Fi key that stood here was removed.
network: {version: 2}
"""


def main() -> int:
    """Run what is left to do; returns 0 when all is done, 1 when it is to be tried again."""
    try:
        place = find_place()
        if _is_done(place):
            return 0
        lock = (place.state / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)  # by hand, and by the timer
    except (StepError, OSError) as error:
        print(f"talus-firstboot: {error}", file=sys.stderr)
        return 1
    status, card = Status(), None
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
    status.write(place.boot)  # before it is done for good: the power may go in between
    if card is None or not status.is_done:
        return 1
    place.note(DONE, card.id)
    if place.has_systemd:
        command("systemctl", "stop", _TIMER)
    return 0


def _is_done(place: Place) -> bool:
    """Whether all was done for this very card: one that was written again is begun again."""
    done = place.state / DONE
    if not done.exists():
        return False
    try:
        if place.did(DONE, read_card(place.card).id):
            return True
    except StepError:
        pass  # it will be told with all else
    done.unlink()
    if place.has_systemd:
        command("systemctl", "start", "--no-block", _TIMER)
    return False


def _may_write(place: Place, status: Status) -> None:
    try:
        command("mount", "-o", "remount,rw", str(place.boot))
    except StepError as error:
        status.add("boot part.", WAITS, f"stays read-only: {error}")


def _steps(place: Place, card: Card, status: Status) -> None:
    """Do the steps in order. Without package or configuration there is nothing to go on with."""
    anew = not place.did(CONFIGURED, card.id)
    if anew:
        status.add("card", OK, f"{prove(place.card, card)} files proven")
    else:
        status.add("card", OK, f"written {time.strftime('%Y-%m-%d', time.gmtime(card.made_s))}")
    _try(status, "data", lambda: grow_data(place))
    _try(status, "network", lambda: connect(place, card))
    if card.country and place.has_systemd:
        _try(status, "login", lambda: open_login(place, card))
    ready = is_data_there(place) and _try(status, "package", lambda: install(place, card))
    ready = ready and _try(status, "settings", lambda: configure(place, card))
    ready = ready and _try(status, "key", lambda: settle(place, card))
    if not ready:
        return
    _try(status, "service", lambda: start(place, anew=anew))
    now_s = time.time()
    if is_plausible(now_s, card):
        status.add("clock", OK, f"can be right: {time.strftime('%Y-%m-%d', time.gmtime(now_s))}")
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
    held = path.read_bytes() if path.exists() else b""
    cut = held.startswith(_NETWORK_TAKEN[:32]) and held.rstrip() != _NETWORK_TAKEN.rstrip()
    if b"password" in held or cut:  # cut: by the power, while it was overwritten
        taken = list(place.at("/etc/netplan").glob("*.yaml"))
        connections = place.at("/etc/NetworkManager/system-connections")
        if not taken and not list(connections.glob("*")):
            what = "the system has not taken over network-config, and the Wi-Fi key in it, yet"
            raise WaitsError(what, "nothing on Raspberry Pi OS; else set up Wi-Fi by hand")
        overwrite(path, _NETWORK_TAKEN)
    return "none left on the boot partition"


if __name__ == "__main__":
    sys.exit(main())
