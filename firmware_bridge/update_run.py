"""The loop between the update's state machine, its journal and the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_bridge.update import action, advance, resumed
from firmware_bridge.update_state import (
    Booted,
    Confirmed,
    Event,
    Failed,
    Identified,
    Locked,
    State,
    Step,
)
from firmware_bridge.update_target import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_bridge.update_journal import Journal
    from firmware_bridge.update_state import Action, Job
    from firmware_bridge.update_target import Target


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the loop asks of the world around it."""

    now_ms: Callable[[], int]
    lock: Callable[[], None]
    """Take the port; TargetError if somebody else has it."""
    alarm: Callable[[], str]
    """Which alarm is raised; "" for none."""
    pause: Callable[[], None]
    """Wait before a failure is tried again."""
    watch: Callable[[State], None]
    """Told of each state."""


def carry_out(
    job: Job, image: bytes, target: Target, journal: Journal, around: Surroundings
) -> State:
    """Begin or resume the update of a journal; gives the state it ends in.

    Each state is on disk before its action begins. JournalError if it cannot be: then the node is
    left as it is.
    """
    state = resumed(journal.state)
    while state.doing is not Step.END:
        journal.append(state, around.now_ms())
        around.watch(state)
        event = _answer(action(job, state), job, image, target, around)
        state = advance(job, state, event)
        if isinstance(event, Failed) and state.doing is not Step.END:
            around.pause()
    if state != journal.state:
        journal.append(state, around.now_ms())
    around.watch(state)
    return state


def _answer(due: Action, job: Job, image: bytes, target: Target, around: Surroundings) -> Event:
    try:
        return _do(due, job, image, target, around)
    except TargetError as error:
        return Failed(str(error))


def _do(due: Action, job: Job, image: bytes, target: Target, around: Surroundings) -> Event:
    event: Event
    match due.step:
        case Step.LOCK:
            around.lock()
            event = Locked()
        case Step.IDENTIFY:
            event = Identified(target.identify(), around.alarm())
        case Step.BACKUP:
            event = target.backup()
        case Step.WRITE:
            event = target.write(due.offset, image[due.offset : due.offset + due.size])
        case Step.VERIFY:
            event = target.read_back(due.size)
        case Step.TEST_BOOT:
            target.test_boot(job.digest)
            event = Booted()
        case Step.PROVE:
            event = target.samples(due.count)
        case Step.CONFIRM:
            target.confirm(job.digest)
            event = Confirmed()
        case _:
            event = target.revert(due.old)
    return event
