"""A package put in by an update: tried aside, installed by dpkg, switched by one renamed link.

dpkg replaces what it has unpacked and the units, nothing that runs: its postinst is told a name
(TALUS_RELEASE) and makes the release beside those that are there, and no more. `current` is
switched here; `updater`, whose code puts updates in and takes them back, only once the new release
has shown that it serves.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from edge.update_item import UpdateError
from edge.update_place import flush, read_json

if TYPE_CHECKING:
    from pathlib import Path

    from edge.update_place import Place
    from edge.update_state import State
    from edge.update_system import System

NAME = "talus-edge"
TRIAL = "releases/.trial"
ASKED = "TALUS_RELEASE"
"""The environment by which our postinst is told to make a release of that name and no more."""
LOCK_S = 300.0
"""So long another program may hold dpkg's lock."""
_LOCKED = re.compile(r"locked by another process")
_CHECKS = "config,runtime,bundles,trust"
_NOT_OURS = ("opt/", "etc/", "usr/share/doc/")


class PackagePart:
    """The actions for a package; each can be done twice. Raise UpdateError, OSError."""

    def __init__(self, place: Place, system: System) -> None:
        self._place = place
        self._system = system
        self._opt = place.opt
        self._before = place.work / "before"

    def now(self) -> str:
        """Return which release is current."""
        return self._at("current")

    def prepare(self, state: State) -> str:
        """Look into the package, unpack it aside, keep the files of the system it will replace."""
        file = self._place.file
        fields = {}
        for name in ("Package", "Version"):
            fields[name] = self._system.run("dpkg-deb", "-f", file, name).strip()
        if fields != {"Package": NAME, "Version": state.item.subject}:
            raise UpdateError(f"is {fields}, and {state.item.subject} of {NAME} was signed")
        if ASKED not in self._system.run("dpkg-deb", "-I", file, "postinst"):
            raise UpdateError("of a time when packages could not be taken back: install it by hand")
        if not state.old:
            raise UpdateError(f"{self._opt}/current: none: talus was installed in another way")
        trial = self._opt / TRIAL
        _clear(trial)
        self._system.run("dpkg-deb", "-x", file, trial)
        self._keep(trial)
        if not self._at("updater"):
            self._point("updater", state.old)
        names = {path.name for path in (self._opt / "releases").iterdir()}
        number, name = 1, state.item.subject
        while name in names:
            number += 1
            name = f"{state.item.subject}.{number}"
        return f"releases/{name}"

    def prove(self, state: State) -> str:
        """Run it, and the golden vectors of each installed bundle on it, as the service's user."""
        talus = self._opt / TRIAL / "opt/talus/package/bin/talus"
        self._system.run(talus, "--version", as_user=True)
        self._system.run(
            talus, "doctor", "--health-gate", "--only", _CHECKS, "--config", self._place.config,
            as_user=True,
        )  # fmt: skip
        return ""

    def switch(self, state: State) -> None:
        """Install it, then let `current` be it."""
        if self.holds(state):
            return
        if self.now() != state.old:
            raise UpdateError("another release was installed by somebody meanwhile")
        self._install(state)
        if not (self._opt / state.new / "bin/talus").exists() or self.now() != state.old:
            raise UpdateError(f"the package has not made {state.new}")
        os.sync()  # whole on the disk before anything points at it
        self._point("current", state.new)

    def holds(self, state: State) -> bool:
        """Whether the new one is current."""
        return bool(state.new) and self.now() == state.new

    def revert(self, state: State) -> None:
        """Let `current` be the old one; give the system its files back; the new one goes."""
        if self.holds(state):
            self._point("current", state.old)
        if state.switched:
            if state.begun <= 1:  # once: should that take the board down, it is left out
                self._finish(state)
            self._give_back()
        if state.new and self.now() != state.new:
            _clear(self._opt / state.new)
        _clear(self._opt / TRIAL)

    def commit(self, state: State) -> None:
        """Keep the one before, and none that is older; from now on this one puts updates in."""
        if state.old != state.new:
            self._point("previous", state.old)
        self._point("updater", state.new)
        kept = {self._at(link) for link in ("current", "previous", "updater")}
        for path in (self._opt / "releases").iterdir():
            if f"releases/{path.name}" not in kept:
                _clear(path)

    def _finish(self, state: State) -> None:
        """Let dpkg come to the end of what was cut off, in a release that goes.

        Else whoever runs `dpkg --configure -a` afterwards, as apt asks for, would put in what was
        taken back: our postinst would then be told no name. What dpkg cannot end stays.
        """
        admin = f"--admindir={self._place.at('var/lib/dpkg')}"
        with suppress(UpdateError):
            stands = self._system.run("dpkg-query", admin, "-W", "-f", "${db:Status-Abbrev}", NAME)
            if stands[1:2] in ("U", "F", "W", "t"):  # unpacked, half configured, triggers
                self._patient_dpkg(state, "--force-depends", "--configure", NAME)
            elif stands[1:2] == "H":
                self._patient_dpkg(state, "--force-depends", "-i", self._place.file)

    def _dpkg(self, state: State, *words: str | Path) -> None:
        root: list[str] = []
        if not self._place.is_system:
            root = [f"--root={self._place.root}", "--force-script-chrootless"]
        env = {ASKED: state.new.removeprefix("releases/"), "DEBIAN_FRONTEND": "noninteractive"}
        self._system.run("dpkg", *root, "--force-confold", *words, env=env)

    def _install(self, state: State) -> None:
        self._patient_dpkg(state, "-i", self._place.file)

    def _patient_dpkg(self, state: State, *words: str | Path) -> None:
        """Wait for whoever holds dpkg's lock."""
        end_s = time.monotonic() + LOCK_S
        while True:
            try:
                self._dpkg(state, *words)
            except UpdateError as error:
                if not _LOCKED.search(str(error)) or time.monotonic() > end_s:
                    raise
                time.sleep(5)
            else:
                return

    def _keep(self, trial: Path) -> None:
        """Keep what the package will replace or take away outside of its own folder: units."""
        found: dict[str, tuple[int, int] | str] = {}  # number and mode, what a link says, "": none
        _clear(self._before)
        self._before.mkdir(mode=0o700)
        brought = {
            str(path.relative_to(trial))
            for path in trial.rglob("*")
            if path.is_symlink() or path.is_file()
        }
        for name in sorted(brought | self._installed()):
            if name.startswith(_NOT_OURS):
                continue
            live = self._place.root / name
            if live.is_symlink():
                found[name] = os.readlink(live)  # noqa: PTH115 - relative, as it stands
            elif live.is_file():
                number = len(found)
                found[name] = number, stat.S_IMODE(live.stat().st_mode)
                self._place.write(self._before / str(number), live.read_bytes(), 0o600)
            elif name in brought:
                found[name] = ""
        self._place.write(self._before / "names", json.dumps(found).encode(), 0o600)

    def _installed(self) -> set[str]:
        """Return the files that dpkg knows of: those that the new one does not have, it removes."""
        admin = self._place.at("var/lib/dpkg")
        try:
            said = self._system.run("dpkg-query", f"--admindir={admin}", "-L", NAME)
        except UpdateError:  # put in without dpkg: then it removes none
            return set()
        return {line.lstrip("/") for line in said.splitlines() if line.startswith("/")}

    def _give_back(self) -> None:
        for name, kept in (read_json(self._before / "names") or {}).items():
            live = self._place.root / name
            if kept in ("", -1):  # -1: in the words of a release before
                live.unlink(missing_ok=True)
                continue
            live.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(kept, str):
                if not live.is_symlink() or os.readlink(live) != kept:  # noqa: PTH115
                    _link(live, kept)
                continue
            number, mode = kept if isinstance(kept, list) else (kept, 0o644)
            content = (self._before / str(number)).read_bytes()
            if not _is(live, content, mode):
                self._place.write(live, content, mode)

    def _at(self, link: str) -> str:
        """Return what a link says, "" where there is none."""
        try:
            return os.readlink(self._opt / link)  # noqa: PTH115 - relative, as it stands
        except OSError:
            return ""

    def _point(self, link: str, to: str) -> None:
        """Let a link say something else, in one step."""
        _link(self._opt / link, to)


def _is(path: Path, content: bytes, mode: int) -> bool:
    """Whether it is that plain file already."""
    if path.is_symlink() or not path.is_file():
        return False
    return stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == content


def _link(path: Path, to: str) -> None:
    aside = path.with_name(f".{path.name}.aside")
    aside.unlink(missing_ok=True)
    aside.symlink_to(to)
    aside.replace(path)
    flush(path.parent)


def _clear(path: Path) -> None:
    """Remove a folder with all that is in it; what is not there is fine. Raises OSError."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
