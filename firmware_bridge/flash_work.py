"""One update carried out: the folder and the port held, the gateway told, each step shown."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.lock import hold
from firmware_bridge.port import Port
from firmware_bridge.update_journal import Journal, JournalError
from firmware_bridge.update_manifest import Conditions
from firmware_bridge.update_notes import begin_maintenance, end_maintenance, raised_alarm
from firmware_bridge.update_run import Surroundings, carry_out
from firmware_bridge.update_state import Job, State, Step
from firmware_bridge.update_target import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firmware_bridge.flash_files import Firmware
    from firmware_bridge.flash_show import Progress
    from firmware_bridge.update_journal import Setup
    from firmware_bridge.update_target import Target

LOCK_WAIT_S = 15.0
"""How long the gateway may take to let go of the port."""
PAUSE_S = 1.0
_TICK_S = 0.1


def now_ms() -> int:
    """Give the time of day, ms since 1970."""
    return time.time_ns() // 1_000_000


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold a journal's folder. JournalError: another talus-flash has it."""
    held = hold(folder)
    if held is None:
        raise JournalError(f"{folder}: another talus-flash is at work here: let it end")
    try:
        yield
    finally:
        held.close()


class Maintenance:
    """The note to the gateway that a port is being updated; without a gateway, nothing."""

    def __init__(self, setup: Setup) -> None:
        self._folder = Path(setup.gateway) if setup.gateway else None
        self._port = setup.name
        self._minutes = setup.maintenance_min
        self._renew_ms = 0

    def go_on(self) -> None:
        """Write the note, and again each time half of it is over. TargetError if it cannot be."""
        now = now_ms()
        if self._folder is None or now < self._renew_ms:
            return
        try:
            begin_maintenance(self._folder, self._port, now, self._minutes)
        except OSError as error:
            why = f"{self._folder}: {error.strerror or error}"
            raise TargetError(f"the gateway cannot be told: {why}: is --data-dir right?") from error
        self._renew_ms = now + self._minutes * 30_000

    def end(self) -> None:
        """Take it away; where that cannot be, it expires."""
        if self._folder is not None and self._renew_ms:
            try:
                end_maintenance(self._folder, self._port)
            except OSError:
                self._minutes = 0

    def alarm(self) -> str:
        """Say which alarm is raised, as the gateway tells it."""
        return "" if self._folder is None else raised_alarm(self._folder, now_ms())


def take_port(device: str, limit_s: float = LOCK_WAIT_S) -> None:
    """Wait until the port can be had, and leave it free. TargetError says what is in the way.

    It is not kept: the programs that write open it themselves.
    """
    port = Port(device)
    end = time.monotonic() + limit_s
    reason = "does not open"
    try:
        while time.monotonic() < end:
            event = port.poll(now_ms())
            if port.is_open:
                return
            reason = event.reason if event is not None else reason
            time.sleep(_TICK_S)
    finally:
        port.close()
    raise TargetError(f"{device}: {reason} (if the gateway has it: is --name its name there?)")


def work(journal: Journal, firmware: Firmware, target: Target, progress: Progress) -> State:
    """Begin or resume the update of a journal; gives the state it ends in."""
    setup = journal.setup
    job = Job(
        firmware.manifest,
        target.prepare(firmware.image),
        target.slots,
        target.chunk_bytes,
        Conditions(setup.min_battery_mv, setup.counter_floor),
        setup.good_samples,
    )
    maintenance = Maintenance(setup)
    simulated = setup.target == "sim"

    def lock() -> None:
        maintenance.go_on()
        if not simulated:
            take_port(setup.port)

    def watch(state: State) -> None:
        progress.show(state)
        if state.doing not in (Step.LOCK, Step.END):
            try:
                maintenance.go_on()
            except TargetError:  # an update that has begun is not given up for that
                return

    around = Surroundings(
        now_ms, lock, maintenance.alarm, lambda: time.sleep(0.0 if simulated else PAUSE_S), watch
    )
    try:
        return carry_out(job, firmware.image, target, journal, around)
    finally:
        progress.end()
        maintenance.end()
        target.close()
