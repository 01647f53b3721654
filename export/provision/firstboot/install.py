"""The package, from the card and without network; then the configuration; then the service."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from export.provision.firstboot.place import StepError, command, flush, scrub, write

if TYPE_CHECKING:
    from pathlib import Path

    from export.provision.firstboot.card import Card, Copy
    from export.provision.firstboot.place import Place

USER = "talus"
CONFIGURED, _CONNECTED = "configured", "connected"
_SIGNS = {
    "depends on": "the OS lacks it: was the right --suite chosen? Else give its .deb with --deb",
    "does not match system": "the .deb is for another kind of board: the right --arch makes it",
    "No space left": "take a larger card",
    "locked by": "wait: the system installs something of its own",
}
_CONNECTIONS = "/etc/NetworkManager/system-connections"


def install(place: Place, card: Card) -> str:
    """Install the packages of the card, unless that very version is there. Raises StepError."""
    label = f"{card.package} {card.version}"
    found = installed_version(place, card.package)
    if found == card.version or (found and place.did(CONFIGURED, card.id)):  # updated from afar
        return f"{card.package} {found} is installed"
    root = [] if place.is_system else [f"--root={place.root}"]
    paths = [str(place.card / name) for name in card.packages]
    try:
        command("dpkg", *root, "--force-confold", "-i", *paths,
                env={"DEBIAN_FRONTEND": "noninteractive"})  # fmt: skip
    except StepError as error:
        print(error.said, flush=True)  # the journal has all of it
        what, todo = _words(error)
        raise StepError(f"dpkg: {what}", todo) from error
    if (found := installed_version(place, card.package)) != card.version:
        raise StepError(f"{label} wanted, dpkg says {found or 'nothing'}", "write the card again")
    return f"{label} installed"


def installed_version(place: Place, package: str) -> str:
    """Return the version of an installed package, "" where it is not, or half."""
    words = ["dpkg-query", f"--admindir={place.at('/var/lib/dpkg')}", "-W"]
    done = subprocess.run(
        [*words, "-f", "${db:Status-Status} ${Version}", package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    state, _, version = done.stdout.strip().partition(" ")
    return version if state == "installed" else ""


def _words(error: StepError) -> tuple[str, str]:
    """Return the line of dpkg that tells why, and what to do; its last line tells nothing."""
    for line in error.said.splitlines():
        for sign, todo in _SIGNS.items():
            if sign in line:
                return line.strip().removeprefix("dpkg: "), todo
    return str(error), "see journalctl -u talus-firstboot; write the card again"


def configure(place: Place, card: Card) -> str:
    """Copy configuration and bundle, once a card: what came later from afar is not overwritten."""
    if place.did(CONFIGURED, card.id):
        return "in place since the first boot"
    owner = place.owner(USER)
    try:
        for each in card.copies:
            _copy(place, each, owner)
    except OSError as error:
        raise StepError(f"cannot be copied: {error}", "is the card full, or read-only?") from error
    place.note(CONFIGURED, card.id)
    return f"{len(card.copies)} in place"


def _copy(place: Place, each: Copy, owner: tuple[int, int] | None) -> None:
    source, target = place.card / each.source, place.target(each.target)
    group = (0, owner[1]) if owner else None  # read by the service, written by root alone
    _folders(place, target.parent, group)
    if not source.is_dir():
        write(target, source.read_bytes(), each.mode, group)
        return
    for path in sorted(source.rglob("*")):
        final = target / path.relative_to(source)
        if path.is_dir():
            _folders(place, final, group)
        else:
            _folders(place, final.parent, group)
            write(final, path.read_bytes(), each.mode, group)
    flush(target)


def _folders(place: Place, path: Path, group: tuple[int, int] | None) -> None:
    """Make folders that are not there, for root and the service alone."""
    if path.is_dir() or path == place.root:
        return
    _folders(place, path.parent, group)
    path.mkdir(mode=0o750)
    if group is not None:
        shutil.chown(path, *group)


def connect(place: Place, card: Card) -> str:
    """Hand the network's secrets to NetworkManager, and take them off the card. Returns what."""
    wanted = [place.card / name for name in card.connections]
    there = [path for path in wanted if path.exists()]
    told = f"{len(wanted)} connections" if wanted else "as the system has it"
    if place.did(_CONNECTED, card.id):
        for path in there:  # a power cut while they were overwritten
            scrub(path)
        return told
    if there and not place.at(_CONNECTIONS).is_dir():
        todo = "no NetworkManager here: set up the network by hand"
        raise StepError(f"{place.at(_CONNECTIONS)} is not there", todo)
    for path in there:
        write(place.at(_CONNECTIONS) / path.name, path.read_bytes(), 0o600, None)
    if there and place.has_systemd:
        command("nmcli", "connection", "reload")
    place.note(_CONNECTED, card.id)
    for path in there:
        scrub(path)
    return told


def start(place: Place, *, anew: bool) -> str:
    """Enable and start the service; ``anew``: it may run with what was there before the card.

    Raises StepError.
    """
    if not place.has_systemd:
        return "not started: no systemd here"
    command("systemctl", "enable", "talus.service")
    command("systemctl", "restart" if anew else "start", "talus.service")  # waits for its READY
    return "runs, and starts with the gateway"
