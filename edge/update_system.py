"""What an update asks of the system: programs, the service, and whether the gateway serves."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.update_item import UpdateError

if TYPE_CHECKING:
    from pathlib import Path

    from edge.update_place import Place

UNIT = "talus.service"
GATE_S = 300.0
"""Within this time after the restart a new one must serve, or the old one comes back."""
SETTLE_S = 60.0
"""It must serve at the beginning and at the end of so long, and be the same process."""
RESTART_S = 900.0
"""A damaged outbox of half a gigabyte is salvaged at a start."""
PROGRAM_S = 600.0
_MAX_SAID = 600


@dataclass(frozen=True, slots=True)
class System:
    """The service of one place, and the patience with it."""

    place: Place
    gate_s: float = GATE_S
    settle_s: float = SETTLE_S
    skip: str = ""

    def run(
        self, *words: str | Path, as_user: bool = False, limit_s: float = PROGRAM_S,
        env: dict[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Run a program, give what it prints. Raises UpdateError with what it says."""
        owner = self.place.owner("talus") if as_user and os.geteuid() == 0 else None
        if as_user and owner is None and os.geteuid() == 0 and self.place.is_system:
            raise UpdateError(f"{words[0]}: no user talus here, and it is not for root to run")
        uid, gid = owner or (None, None)
        try:
            done = subprocess.run(
                list(map(str, words)), capture_output=True, text=True, errors="replace",
                stdin=subprocess.DEVNULL, timeout=limit_s, check=False, cwd="/",
                env={**os.environ, "LC_ALL": "C", "NO_COLOR": "1", **(env or {})},
                user=uid, group=gid, extra_groups=None if owner is None else [],
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise UpdateError(f"{words[0]}: not done in {limit_s:g} s") from error
        except OSError as error:
            raise UpdateError(f"{words[0]}: {error.strerror or error}") from error
        if done.returncode:
            raise UpdateError(_said(str(words[0]), done))
        return done.stdout

    def systemctl(self, *words: str, limit_s: float = 60.0) -> str:
        """Ask systemd. Raises UpdateError where there is none, or it refuses."""
        if self.place.is_system and not self.place.at("run/systemd/system").is_dir():
            raise UpdateError("no systemd here that would restart talus")
        path = "systemctl" if self.place.is_system else self.place.at("usr/bin/systemctl")
        return self.run(path, *words, limit_s=limit_s)

    def restart(self) -> None:
        """Restart the service; done when it says that it is ready. Raises UpdateError."""
        self.systemctl("daemon-reload")
        self.systemctl("reset-failed", UNIT)
        self.systemctl("restart", UNIT, limit_s=RESTART_S)

    def gate(self) -> None:
        """Wait until the gateway serves, and still does a while later. Raises UpdateError."""
        end_s = time.monotonic() + self.gate_s
        while True:
            self._doctor(max(0.0, end_s - time.monotonic()))
            before = self._process()
            time.sleep(self.settle_s)
            if before and self._process() == before:
                self._doctor(max(15.0, end_s - time.monotonic()))
                if self._process() == before:
                    return
            if time.monotonic() > end_s:
                raise UpdateError(f"talus did not keep running for {self.settle_s:g} s")

    def _doctor(self, wait_s: float) -> None:
        """Ask the doctor, as the service's user: what it opens and runs is that user's."""
        talus = self.place.opt / "current/bin/talus"
        words = ["doctor", "--health-gate", "--wait", f"{wait_s:.0f}"]
        words += ["--skip", self.skip] if self.skip else []
        words += ["--config", str(self.place.config)]
        self.run(talus, *words, as_user=True, limit_s=wait_s + 120)

    def _process(self) -> str:
        """Return which process it is, and how often it was restarted; "" where none runs."""
        said = self.systemctl("show", UNIT, "-p", "MainPID,NRestarts")
        found = dict(line.partition("=")[::2] for line in said.splitlines())
        return said if found.get("MainPID", "0") not in ("", "0") else ""


def _said(program: str, done: subprocess.CompletedProcess[str]) -> str:
    """Return why a program failed: the lines of the doctor that say so, else the last ones."""
    lines = (done.stdout + "\n" + done.stderr).splitlines()
    # What it cannot see counts in a gate as well, but much of that is told to a person alone.
    telling = [line for mark in ("FAIL", "??") for line in lines if line.startswith(mark)]
    telling = telling or lines[-3:]
    text = "; ".join(line.strip() for line in telling if line.strip())
    return f"{program.rpartition('/')[2]}: {text[:_MAX_SAID] or f'ended with {done.returncode}'}"
