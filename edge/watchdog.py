"""The watchdog of systemd, petted only while sensors, inference and outbox go on.

The loop pets it itself: where the loop hangs, nobody does. `Progress` judges the rest.
"""

from __future__ import annotations

import logging
import math
import os
import time
from typing import TYPE_CHECKING

from edge.notify import Notifier
from edge.progress import Count, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from edge.intake import Intake
    from edge.outbox import Outbox
    from edge.pipeline import Outcome
    from edge.station import Station

log = logging.getLogger("talus")

_PETS = 4
"""How often it is petted in its time."""
_STEPS_LATE = 3
"""Steps of the grid: where it breaks, and where it begins, up to two close none."""
_REFUSED = 2
"""Snapshots: one may be refused by a card that is busy."""
_FULL_BYTES = 1024 * 1024


class Watchdog:
    """What the loop tells of itself, and what systemd hears of it. For one thread."""

    def __init__(self, stations: Iterable[Station], folder: Path) -> None:
        self._notifier = Notifier()
        self._every_s = self._notifier.watchdog_s / _PETS
        self._due_s = 0.0
        self._progress = Progress(self._notifier.watchdog_s / 2)
        self._folder = folder
        self._stalled: tuple[str, ...] = ()
        self._readable: dict[str, int] = {}
        self._read: dict[str, int] = {}
        self._snapshots = self._saved = 0
        self.renew(stations)

    def renew(self, stations: Iterable[Station]) -> None:
        """Take which stations there are, and what watches them."""
        self._steps = {
            s.name: (s.config.lateness_ms, s.watch.step_ms) for s in stations if s.watch is not None
        }
        self._newest: dict[str, int] = {}  # the newest step that readings have passed
        self._passed = dict.fromkeys(self._steps, 0)
        self._scored = dict.fromkeys(self._steps, 0)

    def read(self, port: str, *, taken: bool) -> None:
        """Take that a port could be read, and whether bytes came that its driver has taken."""
        self._readable[port] = self._readable.get(port, 0) + 1
        self._read[port] = self._read.get(port, 0) + taken

    def took(self, outcome: Outcome) -> None:
        """Take what became of a reading."""
        if not self._every_s:
            return
        for row in outcome.rows:
            if row.station in self._steps:
                lateness_ms, step_ms = self._steps[row.station]
                passed = (row.time_ms - lateness_ms) // step_ms
                if passed > self._newest.get(row.station, 0):
                    self._newest[row.station] = passed
                    self._passed[row.station] += 1  # once for a gap of any length
        for step in outcome.scored:
            self._scored[step.observation.station] += 1

    def saved(self, *, taken: bool) -> None:
        """Take that the state was to be stored, and whether the disk has taken it."""
        self._snapshots += 1
        self._saved += taken

    def ready(self) -> None:
        """Tell that the gateway serves."""
        self._notifier.ready("reading the ports")

    @property
    def stalled(self) -> tuple[str, ...]:
        """What does not go on: while there is some, it is not petted."""
        return self._stalled

    @property
    def wait_s(self) -> float:
        """How long the loop may sleep for it."""
        return max(0.0, self._due_s - time.monotonic()) if self._every_s else math.inf

    def look(self, intakes: list[Intake], outbox: Outbox, where: Callable[[], str]) -> None:
        """Pet it where that is due and all goes on; ``where``: how things stand, in words."""
        if not self._every_s or (now_s := time.monotonic()) < self._due_s:
            return
        self._due_s = now_s + self._every_s
        stalled = self._progress.look(now_s, self._counts(intakes, outbox))
        if stalled != self._stalled:
            self._stalled = stalled
            if stalled:
                log.error("%s: no progress; the watchdog is left to bite", ", ".join(stalled))
            else:
                log.warning("all parts go on again")
        if stalled:
            self._notifier.status(f"no progress: {', '.join(stalled)}")
        else:
            self._notifier.alive(where())

    def _counts(self, intakes: list[Intake], outbox: Outbox) -> dict[str, Count]:
        counts = {
            f"port {i.name}": Count(self._readable.get(i.name, 0), self._read.get(i.name, 0))
            for i in intakes
            if i.port.is_open
        }
        for name, passed in self._passed.items():
            lateness_ms, step_ms = self._steps[name]
            late = _STEPS_LATE + -(-lateness_ms // step_ms)  # a hole is waited for so long
            counts[f"inference of {name}"] = Count(passed, self._scored[name], late)
        excuse = "" if self._snapshots == self._saved else self._excuse(outbox)
        counts["outbox"] = Count(self._snapshots, self._saved, _REFUSED, excuse)
        return counts

    def _excuse(self, outbox: Outbox) -> str:
        """Say why a restart would not help a disk that takes nothing, or would cost alarms."""
        if outbox.unsaved:
            return "alarms are in memory alone"
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return ""
        if disk.f_flag & os.ST_RDONLY:
            return "the disk is read-only"
        return "the disk is full" if disk.f_bavail * disk.f_frsize < _FULL_BYTES else ""

    def stopping(self) -> None:
        """Tell that the gateway leaves."""
        self._notifier.stopping()
