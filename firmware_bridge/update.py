"""Update of a sensor node's firmware as a state machine: events in, actions out. No I/O, no clock.

`action` says what is to be done; its answer goes into `advance`, which gives the next state. The
state is journalled before every action, so whoever dies resumes with `resumed(last state)`. After
a resume and after every failure the node is identified again: what it says counts, not what was
last known.

    step       action                answer          next
    LOCK       take the port         Locked          IDENTIFY
    IDENTIFY   ask what runs         Identified      by the phase, see below
    BACKUP     keep the old image    Backup          WRITE from 0
    WRITE      write a chunk         Written         WRITE, or VERIFY after the last
    VERIFY     read the hash back    ReadBack        TEST_BOOT; wrong: WRITE from 0 (3 times)
    TEST_BOOT  restart into the new  Booted          PROVE
    PROVE      wait for samples      Samples         CONFIRM after N good ones in a row
    CONFIRM    make it stay          Confirmed       IDENTIFY, which must find it confirmed
    REVERT     bring the old back    Reverted        END, reverted; wrong: again (3 times)

    phase            IDENTIFY finds                      goes to
    up to BACKUP     board, counter, battery, alarm      CHECK: BACKUP, or END (refused)
    WRITE, VERIFY    the old image, confirmed            goes on with the phase
    TEST_BOOT        the old image                       TEST_BOOT
    WRITE..PROVE     the new image                       PROVE
    PROVE, CONFIRM   the old image: it went back itself  VERIFY, once; then REVERT
    CONFIRM          the new image, not confirmed        CONFIRM (3 times, then REVERT)
    CONFIRM          the new image, confirmed            END, confirmed
    REVERT           anything                            REVERT
    any              any other image                     REVERT

With one slot the phases WRITE, VERIFY and TEST_BOOT go on whatever runs: the boot loader answers
even when no image does. With two, WRITE to TEST_BOOT give way (REVERT) to an alarm and to a low
battery; with one, half an image is worse than either.

A failure is tried again 5 times. Then: up to BACKUP, refused (nothing was changed); in TEST_BOOT
and PROVE, REVERT; else END, interrupted, and `resumed` goes on where it stopped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_bridge.update_manifest import refusal, unfit
from firmware_bridge.update_state import (
    Action,
    Booted,
    Confirmed,
    Event,
    Failed,
    Identified,
    Job,
    Locked,
    Outcome,
    State,
    Step,
)
from firmware_bridge.update_target import (
    MAX_SAMPLES,
    Backup,
    ReadBack,
    Reverted,
    Samples,
    Written,
    same_image,
)

if TYPE_CHECKING:
    from firmware_bridge.update_target import Identity

MAX_FAILS = 5
"""Failures in a row that are tried again."""
MAX_WRITES = 3
MAX_BOOTS = 2
"""Test boots: a power cut may have undone the first."""
MAX_CONFIRMS = 3
MAX_REVERTS = 3
MAX_ASKS = 8
"""Times that samples are waited for in one test boot."""
MAX_DETAIL = 300


_UNTOUCHED = (Step.LOCK, Step.IDENTIFY, Step.CHECK, Step.BACKUP)
_ANSWERS: dict[Step, type] = {
    Step.LOCK: Locked,
    Step.IDENTIFY: Identified,
    Step.BACKUP: Backup,
    Step.WRITE: Written,
    Step.VERIFY: ReadBack,
    Step.TEST_BOOT: Booted,
    Step.PROVE: Samples,
    Step.CONFIRM: Confirmed,
    Step.REVERT: Reverted,
}


def resumed(state: State) -> State:
    """Give the state to go on with after the journal's last one; an ended update stays ended."""
    if state.outcome not in (Outcome.NONE, Outcome.INTERRUPTED):
        return state
    return State(
        phase=state.phase,
        old=state.old,
        offset=state.offset,
        boots=state.boots,
        detail=state.detail if state.phase is Step.REVERT else "",
    )


def action(job: Job, state: State) -> Action:
    """Say what is to be done now; END: nothing any more."""
    size = job.manifest.size
    if state.doing is Step.WRITE:
        most = job.chunk_bytes or size
        return Action(Step.WRITE, state.offset, min(most, size - state.offset))
    if state.doing is Step.VERIFY:
        return Action(Step.VERIFY, size=size)
    if state.doing is Step.PROVE:
        return Action(Step.PROVE, count=job.good_samples - state.good)
    return Action(state.doing, old=state.old)


def advance(job: Job, state: State, event: Event) -> State:
    """Take the answer to the action; TypeError if it answers another one."""
    if not isinstance(event, (Failed, _ANSWERS.get(state.doing, Failed))):
        raise TypeError(f"{type(event).__name__} does not answer {state.doing.value}")
    match event:
        case Failed():
            state = _failed(state, event.why[:MAX_DETAIL])
        case Identified():
            state = _found(job, state, event)
        case Backup():
            state = _go(replace(state, old=event.digest, offset=0), Step.WRITE)
        case Written():
            state = _written(job, state, event.next_offset)
        case ReadBack():
            state = _verified(job, state, event.digest)
        case Booted():  # whether it did, the node is asked
            state = _go(state, Step.PROVE, doing=Step.IDENTIFY)
        case Samples():
            state = _sampled(job, state, event)
        case Reverted():
            state = _reverted(state, event)
        case Locked() | Confirmed():
            phase = Step.IDENTIFY if state.phase is Step.LOCK else state.phase
            state = replace(state, phase=phase, doing=Step.IDENTIFY)
    return state


def _found(job: Job, state: State, found: Identified) -> State:
    identity, phase = found.identity, state.phase
    known = phase in _UNTOUCHED or identity.board == job.manifest.board
    if identity.slots != job.slots or not known:
        why = f"another node answers ({identity.board}, {identity.slots} slots): connect the first"
        return _end(state, _stopped(phase), why)
    if phase in _UNTOUCHED:
        return _judged(job, state, found)
    if phase is Step.REVERT:
        return replace(state, doing=Step.REVERT)
    if phase in (Step.PROVE, Step.CONFIRM):
        return _after_boot(job, state, identity)
    return _before_boot(job, state, found)


def _judged(job: Job, state: State, found: Identified) -> State:
    identity = found.identity
    state = replace(state, phase=Step.CHECK)
    ours = identity.board == job.manifest.board and identity.confirmed
    if ours and same_image(identity.running, job.digest):
        return _end(state, Outcome.CONFIRMED, "it ran this image already")
    why = refusal(job.manifest, identity, job.conditions, found.alarm)
    return _end(state, Outcome.REFUSED, why) if why else _go(state, Step.BACKUP)


def _before_boot(job: Job, state: State, found: Identified) -> State:
    identity = found.identity
    if job.slots == 2:
        old = same_image(identity.running, state.old)
        if same_image(identity.running, job.digest) and not old:
            return _go(replace(state, asks=0, good=0), Step.PROVE)
        if not (old and identity.confirmed):
            return _revert(state, "it runs neither the old nor the new image")
        why = unfit(identity, job.conditions, found.alarm)
        if why:
            return _revert(state, why)
    return replace(state, asks=0, good=0, doing=state.phase)


def _after_boot(job: Job, state: State, identity: Identity) -> State:
    if same_image(identity.running, job.digest):
        return _runs_new(state, confirmed=identity.confirmed)
    silent = job.slots == 1 and not identity.running
    if not (silent or same_image(identity.running, state.old)):
        return _revert(state, "an image with another hash started")
    state = replace(state, boots=state.boots + 1)
    if state.boots >= MAX_BOOTS:
        return _revert(state, f"the new image did not last in {MAX_BOOTS} test boots")
    return _go(state, Step.VERIFY)


def _runs_new(state: State, *, confirmed: bool) -> State:
    if state.phase is Step.PROVE:
        return replace(state, doing=Step.PROVE)
    if confirmed:
        return _end(state, Outcome.CONFIRMED, "")
    if state.confirms >= MAX_CONFIRMS:
        return _revert(state, "the new image cannot be confirmed")
    return replace(state, confirms=state.confirms + 1, doing=Step.CONFIRM)


def _written(job: Job, state: State, next_offset: int) -> State:
    size = job.manifest.size
    if not state.offset < next_offset <= size:
        # The node may know better how much it holds, but must get on.
        kept = min(max(next_offset, 0), state.offset)
        return _failed(replace(state, offset=kept), f"wants byte {next_offset} of {size} next")
    state = replace(state, offset=next_offset, fails=0, detail="")
    return _go(state, Step.VERIFY) if next_offset == size else state


def _verified(job: Job, state: State, digest: str) -> State:
    if same_image(digest, job.digest):
        return _go(state, Step.TEST_BOOT, doing=Step.IDENTIFY)
    if state.writes + 1 >= MAX_WRITES:
        return _revert(state, f"what was written reads back wrong {MAX_WRITES} times: worn flash?")
    return _go(replace(state, writes=state.writes + 1, offset=0), Step.WRITE)


def _sampled(job: Job, state: State, event: Samples) -> State:
    good = state.good
    bad = 0
    for sample in event.samples[:MAX_SAMPLES]:
        good = good + 1 if sample.good else 0
        bad += not sample.good
    state = replace(state, good=good, asks=state.asks + 1, fails=0)
    if good >= job.good_samples:
        return _go(replace(state, confirms=1), Step.CONFIRM)
    if state.asks < MAX_ASKS:
        return state
    what = "samples are out of low..high, or missing" if bad else "too few samples came"
    return _revert(state, f"the new image started, but its {what}")


def _reverted(state: State, event: Reverted) -> State:
    if same_image(event.digest, state.old) and event.confirmed:
        return _end(state, Outcome.REVERTED, state.detail)
    if state.reverts + 1 >= MAX_REVERTS:
        why = f"{state.detail}; and the old image does not come back: reset the node, then resume"
        return _end(state, Outcome.INTERRUPTED, why)
    return replace(state, reverts=state.reverts + 1)


def _failed(state: State, why: str) -> State:
    if state.doing is Step.LOCK:
        return _end(state, _stopped(state.phase), why)
    state = replace(state, fails=state.fails + 1)
    if state.fails <= MAX_FAILS:
        # A revert that fails keeps the reason that led to it.
        revert = state.phase is Step.REVERT
        again = Step.REVERT if revert else Step.IDENTIFY
        return replace(state, doing=again, detail=state.detail if revert else why)
    if state.phase in (Step.TEST_BOOT, Step.PROVE):
        return _revert(state, f"after its test boot: {why}")
    return _end(state, _stopped(state.phase), why)


def _stopped(phase: Step) -> Outcome:
    return Outcome.REFUSED if phase in _UNTOUCHED else Outcome.INTERRUPTED


def _go(state: State, phase: Step, doing: Step | None = None) -> State:
    return replace(state, phase=phase, doing=doing or phase, fails=0, detail="")


def _revert(state: State, why: str) -> State:
    return replace(state, phase=Step.REVERT, doing=Step.REVERT, fails=0, reverts=0, detail=why)


def _end(state: State, outcome: Outcome, detail: str) -> State:
    return replace(state, doing=Step.END, outcome=outcome, detail=detail)
