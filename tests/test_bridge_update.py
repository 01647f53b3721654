"""An update survives whatever happens at whatever moment: never bricked, never half confirmed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_bridge.update import MAX_FAILS, action, advance, resumed
from firmware_bridge.update_faults import (
    CALL_FAULTS,
    IMAGES,
    LINE_FAULTS,
    Fault,
    endure,
    single_faults,
)
from firmware_bridge.update_manifest import Conditions, FirmwareManifest
from firmware_bridge.update_state import (
    Booted,
    Confirmed,
    Failed,
    Identified,
    Job,
    Locked,
    Outcome,
    State,
    Step,
)
from firmware_bridge.update_target import (
    Backup,
    Identity,
    ReadBack,
    Reverted,
    Sample,
    Samples,
    Written,
)

OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64
MANIFEST = FirmwareManifest("node", (1, 1, 0), 1000, "0" * 64, 7)
GOOD = Sample((1.0,), (0.0,), (2.0,))
BAD = Sample((3.0,), (0.0,), (2.0,))
WANTED = {
    "good": Outcome.CONFIRMED,
    "does not boot": Outcome.REVERTED,
    "hangs without watchdog": Outcome.REVERTED,
    "wrong hash": Outcome.REVERTED,
    "samples out of range": Outcome.REVERTED,
    "samples missing": Outcome.REVERTED,
    "no samples": Outcome.REVERTED,
}


def job(slots: int = 2, **conditions) -> Job:
    return Job(MANIFEST, NEW, slots, 400, Conditions(**conditions))


def identity(running: str = OLD, *, confirmed: bool = True, slots: int = 2, **more) -> Identity:
    return Identity("node", running, confirmed, slots, battery_mv=3700, **more)


def walk(of: Job, *events) -> State:
    state = State()
    for event in events:
        assert action(of, state).step is not Step.END, state
        state = advance(of, state, event)
    return state


TO_WRITE = (Locked(), Identified(identity()), Backup(OLD))
TO_VERIFY = (*TO_WRITE, Written(400), Written(800), Written(1000))
TO_BOOT = (*TO_VERIFY, ReadBack(NEW), Identified(identity()))
TO_PROVE = (*TO_BOOT, Booted(), Identified(identity(NEW, confirmed=False)))


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("image", IMAGES)
def test_without_faults_a_good_image_stays_and_a_bad_one_goes(tmp_path, image, slots) -> None:
    found = endure(IMAGES[image], slots, (), tmp_path)
    assert found.wrong == ""
    assert found.outcome is WANTED[image]


@pytest.mark.parametrize("slots", [1, 2])
def test_every_fault_at_every_moment_of_a_good_update(tmp_path: Path, slots: int) -> None:
    number = itertools.count()

    def fresh() -> Path:
        folder = tmp_path / str(next(number))
        folder.mkdir()
        return folder

    struck = 0
    for fault in single_faults(IMAGES["good"], slots, fresh()):
        found = endure(IMAGES["good"], slots, (fault,), fresh())
        assert found.wrong == "", fault
        struck += found.injected
    assert struck > 150


SEVERAL = st.lists(
    st.builds(Fault, st.sampled_from(CALL_FAULTS + LINE_FAULTS), st.integers(0, 40)),
    min_size=2, max_size=4,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(IMAGES)), st.sampled_from([1, 2]), SEVERAL)
def test_several_faults_at_any_moments(tmp_path_factory, image, slots, faults) -> None:
    folder = tmp_path_factory.mktemp("double")
    assert endure(IMAGES[image], slots, faults, folder).wrong == ""


@pytest.mark.soak
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(IMAGES)), st.sampled_from([1, 2]), SEVERAL)
def test_several_faults_in_thousands_of_updates(tmp_path_factory, image, slots, faults) -> None:
    folder = tmp_path_factory.mktemp("soak")
    assert endure(IMAGES[image], slots, faults, folder).wrong == ""


def test_the_harness_notices_a_broken_promise(tmp_path, monkeypatch) -> None:
    """An updater that confirms without proof is found out."""
    import firmware_bridge.update as update

    monkeypatch.setattr(update, "_sampled", lambda job, state, event: update._go(
        replace(state, confirms=1), Step.CONFIRM))  # fmt: skip
    found = endure(IMAGES["samples out of range"], 2, (), tmp_path)
    assert found.wrong == "confirmed what it must not"


# The table, step by step


def test_the_straight_road() -> None:
    state = walk(job(), *TO_PROVE)
    assert state.phase is Step.PROVE
    assert action(job(), state).count == 5
    state = advance(job(), state, Samples((GOOD,) * 5))
    assert action(job(), state).step is Step.CONFIRM
    state = advance(job(), state, Confirmed())
    assert state.doing is Step.IDENTIFY  # that it stays, the node is asked
    state = advance(job(), state, Identified(identity(NEW)))
    assert state.outcome is Outcome.CONFIRMED


@pytest.mark.parametrize(
    ("found", "alarm", "conditions", "said"),
    [
        (replace(identity(), board="other"), "", {}, "this is a other, the image is for node"),
        (identity(counter=8), "", {}, "downgrade: counter 7, the node has run 8"),
        (identity(), "", {"counter_floor": 8}, "downgrade: counter 7, the node has run 8"),
        (identity(version=(1, 2, 0)), "", {}, "downgrade: version 1.1.0, the node runs 1.2.0"),
        (replace(identity(), battery_mv=3299), "", {}, "battery at 3299 mV, at least 3300"),
        (replace(identity(), battery_mv=None), "", {}, "battery not measured"),
        (identity(), "slope (level 2)", {}, "alarm raised: slope (level 2)"),
        (identity(confirmed=False), "", {}, "on trial"),
        (identity(slot_bytes=999), "", {}, "1000 bytes do not fit into the 999"),
        (replace(identity(), slots=1), "", {}, "another node answers"),
    ],
)
def test_what_must_not_be_updated_is_refused_untouched(found, alarm, conditions, said) -> None:
    of = job(**conditions)
    state = walk(of, Locked(), Identified(found, alarm))
    assert state.outcome is Outcome.REFUSED
    assert said in state.detail


def test_what_lets_an_update_through() -> None:
    assert walk(job(counter_floor=7), Locked(), Identified(identity())).doing is Step.BACKUP
    older = Identified(identity(version=(9, 0, 0), counter=7))  # the counter decides
    assert walk(job(), Locked(), older).doing is Step.BACKUP
    mains = Identified(replace(identity(), battery_mv=None))
    assert walk(job(min_battery_mv=0), Locked(), mains).doing is Step.BACKUP


@pytest.mark.parametrize("why", ["alarm", "battery"])
def test_two_slots_give_way_until_the_test_boot_and_one_goes_on(why: str) -> None:
    alarm = "slope" if why == "alarm" else ""
    low = replace(identity(), battery_mv=2000) if why == "battery" else identity()
    state = advance(job(), walk(job(), *TO_WRITE), Failed("x"))
    assert advance(job(), state, Identified(low, alarm)).phase is Step.REVERT
    low = replace(low, slots=1, running="")
    start = (Locked(), Identified(identity(slots=1)), Backup(OLD), Failed("x"))
    assert advance(job(1), walk(job(1), *start), Identified(low, alarm)).doing is Step.WRITE


def test_samples_must_be_good_in_a_row_and_come() -> None:
    state = walk(job(), *TO_PROVE, Samples((GOOD, GOOD, BAD, GOOD)))
    assert (state.phase, state.good) == (Step.PROVE, 1)
    for _ in range(7):
        state = advance(job(), state, Samples((BAD,)))
    assert state.phase is Step.REVERT
    assert "out of low..high" in state.detail
    state = walk(job(), *TO_PROVE, *[Samples(())] * 8)
    assert "too few samples" in state.detail


@pytest.mark.parametrize(
    "sample",
    [
        Sample((), (), ()),
        Sample((float("nan"),), (0.0,), (2.0,)),
        Sample((float("inf"),), (0.0,), (float("inf"),)),
        Sample((1.0, 1.0), (0.0,), (2.0,)),
        Sample((-0.1,), (0.0,), (2.0,)),
    ],
)
def test_what_is_no_good_sample(sample: Sample) -> None:
    assert not sample.good


def test_a_node_that_lies_about_how_much_it_holds_gets_nowhere_and_no_further() -> None:
    state = walk(job(), *TO_WRITE)
    for offset in (0, -5, 1001, 2**60, 0, 0):
        state = advance(job(), state, Written(offset))
        if state.doing is Step.IDENTIFY:
            state = advance(job(), state, Identified(identity()))
        assert 0 <= state.offset <= 1000
    assert state.outcome is Outcome.INTERRUPTED


def test_an_answer_to_another_question_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError):
        advance(job(), State(), Backup(OLD))


_IDENTITIES = st.builds(
    Identity,
    st.sampled_from(["node", "node", "node", "other"]),
    st.sampled_from([OLD, NEW, OTHER, "", "b" * 16, "b" * 8]),
    st.booleans(),
    st.sampled_from([1, 2]),
    st.none(),
    st.none(),
    st.sampled_from([None, 6, 7, 8]),
    st.sampled_from([None, 3000, 3700]),
)
_FAILED = st.just(Failed("x" * 1000))
_ANSWERS = {
    Step.LOCK: st.just(Locked()),
    Step.IDENTIFY: st.builds(Identified, _IDENTITIES, st.sampled_from(["", "", "slope"])),
    Step.BACKUP: st.builds(Backup, st.sampled_from([OLD, NEW, ""])),
    Step.WRITE: st.builds(Written, st.sampled_from([-5, 0, 400, 800, 1000, 1200])),
    Step.VERIFY: st.builds(ReadBack, st.sampled_from([NEW, NEW, OLD, ""])),
    Step.TEST_BOOT: st.just(Booted()),
    Step.PROVE: st.builds(
        Samples, st.sampled_from([(), (GOOD,), (GOOD, BAD), (GOOD,) * 5, (BAD,) * 70])
    ),
    Step.CONFIRM: st.just(Confirmed()),
    Step.REVERT: st.builds(Reverted, st.sampled_from([OLD, NEW, ""]), st.booleans()),
}
_EVENTS = {step: st.one_of(answer, answer, _FAILED) for step, answer in _ANSWERS.items()}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from([1, 2]), st.sets(st.integers(0, 60), max_size=3))
def test_whatever_a_node_answers_it_ends_and_confirms_only_what_was_proven(
    data, slots, cuts
) -> None:
    of = job(slots)
    state, proven = State(), False
    for asked in range(500):
        if state.doing is Step.END:
            break
        before, due = state, action(of, state)
        assert 0 <= due.offset <= due.offset + due.size <= 1000
        state = advance(of, state, data.draw(_EVENTS[due.step]))
        proven |= before.phase is Step.PROVE and state.phase is Step.CONFIRM
        if asked in cuts:
            state = resumed(state)
    assert state.doing is Step.END
    assert len(state.detail) < 700
    if state.outcome is Outcome.CONFIRMED:
        assert proven or state.detail == "it ran this image already"


def test_an_ended_update_stays_ended_and_an_interrupted_one_goes_on() -> None:
    done = State(doing=Step.END, outcome=Outcome.REVERTED)
    assert resumed(done) == done
    state = walk(job(), *TO_WRITE, Written(400), *[Failed("gone")] * (MAX_FAILS + 1))
    assert state.outcome is Outcome.INTERRUPTED
    again = resumed(state)
    assert (again.doing, again.phase, again.offset) == (Step.LOCK, Step.WRITE, 400)
