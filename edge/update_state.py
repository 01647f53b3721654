"""An update of configuration or package as a state machine: what is next, and what follows. Pure.

    PREPARE -> PROVE -> SWITCH -> RESTART -> GATE -> COMMIT -> TELL -> END
    each of the first five, failed -> REVERT [-> AGAIN, where it was switched] -> TELL -> END

The shell stores the state (`begin`) before each action, does it, and says how it ended (`after`).
Every action can be done twice, so after a power cut the stored one is simply done again; one that
was begun too often (the board went down each time) is taken for failed. Until COMMIT is stored the
old one comes back, from then on the new one stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.update_item import Item


class Phase(Enum):
    """A step, in order."""

    PREPARE = "prepare"
    """Put the new one beside the old one."""
    PROVE = "prove"
    """Let it prove itself before anything depends on it."""
    SWITCH = "switch"
    RESTART = "restart"
    GATE = "gate"
    """Does it serve?"""
    COMMIT = "commit"
    REVERT = "revert"
    AGAIN = "again"
    """Restart the old one."""
    TELL = "tell"
    END = "end"


COMMITTED, REFUSED, REVERTED = "committed", "refused", "reverted"
"""The new one runs and stays; nothing was switched; the old one runs again."""
MAX_BEGUN = 3
"""So often is one action begun, where power cuts or the new one itself end it each time."""
MAX_DETAIL = 800


@dataclass(frozen=True, slots=True)
class State:
    """Where an update stands; all of it goes into the journal."""

    item: Item
    id: str = ""
    """Of the command that asked for it; "": a person at the gateway did."""
    who: str = ""
    skip: str = ""
    """Checks that the health gate leaves out, as a person at the gateway said."""
    phase: Phase = Phase.PREPARE
    begun: int = 0
    """How often the action of this phase was begun."""
    old: str = ""
    """What was in place: sha256 of a configuration, folder of a release."""
    new: str = ""
    switched: bool = False
    """The new one may have been in place."""
    outcome: str = ""
    detail: str = ""
    """For people: why; of one that stays, what it leaves out."""


@dataclass(frozen=True, slots=True)
class Done:
    """The action was done. ``new``: what PREPARE has put beside the old one."""

    new: str = ""
    note: str = ""
    """Of PROVE, for people: what the new one leaves out."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The action could not be done, or the new one did not hold."""

    why: str


_NEXT = {
    Phase.PREPARE: Phase.PROVE, Phase.PROVE: Phase.SWITCH, Phase.SWITCH: Phase.RESTART,
    Phase.RESTART: Phase.GATE, Phase.GATE: Phase.COMMIT,
}  # fmt: skip
LASTING = frozenset({Phase.COMMIT, Phase.REVERT, Phase.TELL})
"""Begun until they are done: there is no other way out."""


def begin(state: State) -> State:
    """Return the state to store before its action: one that is begun too often is given up."""
    if state.phase not in LASTING and state.begun >= MAX_BEGUN:
        why = f"{state.phase.value} was begun {state.begun} times, and ended by none of them"
        state = after(state, Failed(why))
    switched = state.switched or state.phase is Phase.SWITCH
    return replace(state, begun=state.begun + 1, switched=switched)


def after(state: State, event: Done | Failed) -> State:
    """Return what follows from how the action of this phase ended."""
    phase = state.phase
    if isinstance(event, Failed):
        return _failed(state, event.why[:MAX_DETAIL])
    if phase in _NEXT:
        return _to(state, _NEXT[phase], new=event.new, detail=event.note[:MAX_DETAIL])
    if phase is Phase.COMMIT:
        return _to(state, Phase.TELL, outcome=COMMITTED)
    if phase is Phase.REVERT:
        outcome = REVERTED if state.switched else REFUSED
        return _to(state, Phase.AGAIN if state.switched else Phase.TELL, outcome=outcome)
    return _to(state, Phase.TELL if phase is Phase.AGAIN else Phase.END)


def _failed(state: State, why: str) -> State:
    if state.phase in _NEXT:
        return _to(state, Phase.REVERT, detail=f"{state.phase.value}: {why}")
    if state.phase is Phase.AGAIN:
        detail = f"{state.detail}; and talus has not come back yet: {why}"[: 2 * MAX_DETAIL]
        return _to(state, Phase.TELL, detail=detail)
    return state  # LASTING: begun again


def _to(state: State, phase: Phase, *, new: str = "", outcome: str = "", detail: str = "") -> State:
    return replace(
        state, phase=phase, begun=0, new=new or state.new, outcome=outcome or state.outcome,
        detail=detail or state.detail,
    )  # fmt: skip


def words(state: State) -> str:
    """Return the outcome for a person."""
    label = state.item.label
    if state.outcome == COMMITTED:
        left_out = f"; {state.detail}" if state.detail else ""
        return f"{label} runs and stays; the one before is kept{left_out}"
    kept = "the one before runs again" if state.outcome == REVERTED else "nothing was changed"
    return f"{label} {state.outcome}, {kept}: {state.detail}"
