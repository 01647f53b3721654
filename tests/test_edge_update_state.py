"""The update as a state machine against a model of a board: power cuts and failures anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.update_item import Item
from edge.update_state import (
    COMMITTED,
    LASTING,
    MAX_BEGUN,
    REFUSED,
    REVERTED,
    Done,
    Failed,
    Phase,
    State,
    after,
    begin,
    words,
)

ITEM = Item("config", "bluff", 7, 10, "a" * 64)
FORWARD = (Phase.PREPARE, Phase.PROVE, Phase.SWITCH, Phase.RESTART, Phase.GATE, Phase.COMMIT)


@dataclass
class Board:
    """What is in place, what runs, and the journal: all that outlives a power cut."""

    healthy: bool
    live: str = "old"
    runs: str = "old"
    counter: int = 3
    journal: State | None = field(default_factory=lambda: State(ITEM, old="old"))
    told: list[str] = field(default_factory=list)
    unhealthy_watched: int = 0

    def act(self, state: State, fails: bool) -> Done | Failed:
        phase = state.phase
        if phase is Phase.GATE:
            self.unhealthy_watched += not self.healthy
            return Done() if self.healthy and self.runs == "new" and not fails else Failed("sick")
        if fails:
            return Failed("disk")
        if phase is Phase.PREPARE:
            return Done("new")
        if phase is Phase.SWITCH:
            self.live = "new"
        elif phase in (Phase.RESTART, Phase.AGAIN):
            self.runs = self.live
        elif phase is Phase.COMMIT:
            self.counter = max(self.counter, state.item.counter)
        elif phase is Phase.REVERT:
            self.live = "old"
        elif phase is Phase.TELL:
            self.told.append(state.outcome)
        return Done()


def step(board: Board, what: str) -> None:
    """One step; what: how far it comes before the power goes, or whether its action fails."""
    state = begin(board.journal)
    if what == "cut before":
        board.runs = board.live
        return
    board.journal = state
    if what == "cut after storing":
        board.runs = board.live
        return
    event = board.act(state, what == "fails")
    if what == "cut after acting":
        board.runs = board.live
        return
    board.journal = after(state, event)


STEPS = st.sampled_from(["ok", "ok", "ok", "fails", "cut before", "cut after storing",
                         "cut after acting"])  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.booleans(), st.lists(STEPS, max_size=40))
def test_whatever_happens_the_old_or_the_new_runs_and_the_end_is_told(healthy, steps) -> None:
    board = Board(healthy)
    for what in [*steps, *["ok"] * 40]:
        if board.journal.phase is Phase.END:
            break
        before = board.counter
        step(board, what)
        assert board.live in ("old", "new")
        assert board.counter >= before  # never an older one
        if board.counter == ITEM.counter:
            assert board.live == "new"
            assert healthy
        if not board.journal.switched:
            assert board.live == "old"
    end = board.journal
    assert end.phase is Phase.END
    assert board.told
    assert set(board.told) == {end.outcome}
    if end.outcome == COMMITTED:
        assert healthy
        assert (board.live, board.runs, board.counter) == ("new", "new", 7)
    else:
        assert (board.live, board.counter) == ("old", 3)
        assert end.detail
        assert (end.outcome == REVERTED) == end.switched
    assert words(end)


@given(st.lists(st.sampled_from(["cut after storing", "cut after acting"]), min_size=1))
def test_a_new_one_that_takes_the_board_down_each_time_is_given_up(cuts) -> None:
    for phase in FORWARD[:-1]:
        board = Board(healthy=False)
        while board.journal.phase is not phase and board.journal.phase in FORWARD:
            step(board, "ok")
        for what in [*cuts, *[cuts[-1]] * MAX_BEGUN]:
            if board.journal.phase is phase:
                step(board, what)
        assert board.journal.phase is Phase.REVERT, phase
        assert board.unhealthy_watched <= MAX_BEGUN


def test_nothing_happened_and_all_well_are_committed_in_order() -> None:
    board = Board(healthy=True)
    seen = []
    while board.journal.phase is not Phase.END:
        seen.append(board.journal.phase)
        step(board, "ok")
    assert tuple(seen) == (*FORWARD, Phase.TELL)
    assert board.told == [COMMITTED]
    assert "stays" in words(board.journal)


def test_what_failed_before_the_switch_restarts_nothing() -> None:
    for phase in (Phase.PREPARE, Phase.PROVE):
        state = begin(State(ITEM, phase=phase, old="old"))
        state = after(state, Failed("no"))
        assert state.phase is Phase.REVERT
        state = after(begin(state), Done())
        assert (state.phase, state.outcome) == (Phase.TELL, REFUSED)
        assert f"{phase.value}: no" in words(state)


def test_what_leads_out_is_begun_until_it_is_done() -> None:
    for phase in LASTING:
        state = State(ITEM, phase=phase, outcome=REVERTED)
        for _ in range(20):
            state = after(begin(state), Failed("disk"))
        assert (state.phase, state.begun) == (phase, 20)


def test_an_old_one_that_does_not_come_back_is_told() -> None:
    state = State(ITEM, phase=Phase.AGAIN, outcome=REVERTED, detail="gate: sick", switched=True)
    state = after(begin(state), Failed("unit failed"))
    assert state.phase is Phase.TELL
    assert "gate: sick; and talus has not come back yet: unit failed" in words(state)
