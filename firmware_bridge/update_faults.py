"""Every fault at every moment of an update of a simulated node, each followed by resume.

The promise: the node ends on the new image, confirmed, whole and with good samples, or on the old
one, confirmed; it boots something at every moment; the journal says which. `fault_matrix` counts.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.update_journal import Journal, Setup
from firmware_bridge.update_manifest import FirmwareManifest
from firmware_bridge.update_run import Surroundings, carry_out
from firmware_bridge.update_sim import (
    BOARD,
    Behaviour,
    Memory,
    SimTarget,
    Swap,
    behaviour_of,
    make_image,
)
from firmware_bridge.update_state import Job, Outcome, State
from firmware_bridge.update_target import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

MAX_RUNS = 12
"""Runs of talus-flash, the first and its resumes, after which an update must have ended."""
CALL_FAULTS = (
    "gateway dies before",
    "gateway dies after",
    "node's power cut before",
    "node's power cut after",
    "node's power cut within",
    "question lost",
    "answer lost",
    "node hangs",
    "chunk damaged",
    "battery low from here",
    "alarm from here",
)
LINE_FAULTS = ("gateway dies before line", "gateway dies within line", "gateway dies after line")
OLD = make_image(Behaviour((1, 0, 0)))
IMAGES = {
    "good": Behaviour((1, 1, 0)),
    "does not boot": Behaviour((1, 1, 0), boots=False),
    "hangs without watchdog": Behaviour((1, 1, 0), boots=False, watchdog=False),
    "wrong hash": Behaviour((1, 1, 0), reports="f" * 64),
    "samples out of range": Behaviour((1, 1, 0), samples="out"),
    "samples missing": Behaviour((1, 1, 0), samples="nan"),
    "no samples": Behaviour((1, 1, 0), samples="none"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: at which call of the target, or which line of the journal."""

    kind: str
    at: int


class Died(BaseException):
    """The gateway's process ends here, as at a power cut: nobody may catch it."""


class _Fate:
    """Which faults are still to come, and how far the update is."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.calls: list[str] = []
        self.lines = 0
        self.injected = 0
        self.alarm = ""
        self._due = {(f.kind, f.at) for f in faults}

    def strikes(self, kind: str, at: int) -> bool:
        """Whether this fault is due here; it strikes once."""
        if (kind, at) not in self._due:
            return False
        self._due.discard((kind, at))
        self.injected += 1
        return True


class _DyingJournal(Journal):
    """The journal of a gateway that dies."""

    fate: _Fate

    def append(self, state: State, now_ms: int) -> None:
        at = self.fate.lines
        self.fate.lines += 1
        if self.fate.strikes(LINE_FAULTS[0], at):
            raise Died
        before = self.path.stat().st_size
        super().append(state, now_ms)
        if self.fate.strikes(LINE_FAULTS[1], at):
            line = self.path.read_bytes()[before:]
            with self.path.open("r+b") as file:
                file.truncate(before + len(line) // 2)
            raise Died
        if self.fate.strikes(LINE_FAULTS[2], at):
            raise Died


class _FaultyTarget(SimTarget):
    """A node to which the faults happen, call by call."""

    def __init__(self, memory: Memory, slots: int, fate: _Fate) -> None:
        super().__init__(memory, slots)
        self._fate = fate
        for name in (
            "identify", "backup", "write", "read_back", "test_boot", "samples", "confirm", "revert",
        ):  # fmt: skip
            setattr(self, name, self._struck(name, getattr(super(), name)))

    def _struck(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def struck(*arguments: object) -> object:
            fate = self._fate
            at = len(fate.calls)
            fate.calls.append(name)
            self._befall(name, at)
            answer = call(*arguments)
            if fate.strikes("gateway dies after", at):
                raise Died
            if fate.strikes("node's power cut after", at):
                self.power_cut()
                raise TargetError("its power was cut before it answered")
            if fate.strikes("answer lost", at):
                raise TargetError("does not answer")
            return answer

        return struck

    def _befall(self, name: str, at: int) -> None:
        fate = self._fate
        if fate.strikes("gateway dies before", at):
            raise Died
        if fate.strikes("node's power cut before", at):
            self.power_cut()
        if fate.strikes("question lost", at):
            raise TargetError("does not answer")
        if fate.strikes("node hangs", at):
            self.hangs = True
        if fate.strikes("battery low from here", at):
            self.battery_mv = 2900
        if fate.strikes("alarm from here", at):
            fate.alarm = "slope"
        if name == "write" and fate.strikes("chunk damaged", at):
            self.damages = True
        tearable = name in ("write", "test_boot", "revert")
        if tearable and fate.strikes("node's power cut within", at):
            self.tears = True


@dataclass(frozen=True, slots=True)
class Fated:
    """What became of one update to which faults happened."""

    outcome: Outcome
    wrong: str
    """Why the promise was broken; "" if it was kept."""
    injected: int
    """Faults that struck."""
    runs: int
    calls: tuple[str, ...]
    lines: int


def endure(behaviour: Behaviour, slots: int, faults: Sequence[Fault], folder: Path) -> Fated:
    """Update a fresh simulated node, resuming until it ends; between the runs its power is cut."""
    image = make_image(behaviour)
    fate = _Fate(faults)
    target = _FaultyTarget(Memory(OLD), slots, fate)
    job = _job(target, image, behaviour)
    around = Surroundings(lambda: 0, lambda: None, lambda: fate.alarm, lambda: None, _ignore)
    _DyingJournal.start(folder, Setup("sim", "sim", "sim"), 0, _no_sync)
    wrong, runs = "", 0
    while runs < MAX_RUNS:
        journal = _DyingJournal.read(folder, _no_sync)
        if journal is None:
            raise RuntimeError("the journal vanished")
        if journal.ended:
            break
        journal.fate = fate
        runs += 1
        try:
            carry_out(job, image, target, journal, around)
        except Died:
            wrong = wrong or _unbootable(target)
            continue
        wrong = wrong or _unbootable(target)
        if not journal.ended:
            _power_cut(target)
    last = _DyingJournal.read(folder, _no_sync)
    outcome = Outcome.NONE if last is None else last.state.outcome
    wrong = wrong or _broken(outcome, target, image, behaviour)
    return Fated(outcome, wrong, fate.injected, runs, tuple(fate.calls), fate.lines)


def single_faults(behaviour: Behaviour, slots: int, folder: Path) -> Iterator[Fault]:
    """Give every fault at every moment of the update that runs without any."""
    clean = endure(behaviour, slots, (), folder)
    for at, name in enumerate(clean.calls):
        for kind in CALL_FAULTS:
            if kind == "chunk damaged" and name != "write":
                continue
            if kind == "node's power cut within" and name not in ("write", "test_boot", "revert"):
                continue
            yield Fault(kind, at)
    for at in range(clean.lines):
        for kind in LINE_FAULTS:
            yield Fault(kind, at)


def fault_matrix(images: Iterable[str] = tuple(IMAGES)) -> tuple[int, int]:
    """Give how many faults were injected, and after how many the promise was broken (bricked).

    Each image of `IMAGES`, on nodes with one slot and with two, with every fault at every moment.
    """
    injected = bricked = 0
    with tempfile.TemporaryDirectory() as name:
        number = itertools.count()
        for behaviour in (IMAGES[name] for name in images):
            for slots in (1, 2):
                for fault in single_faults(behaviour, slots, _fresh(name, number)):
                    fated = endure(behaviour, slots, (fault,), _fresh(name, number))
                    injected += fated.injected
                    bricked += bool(fated.wrong)
    return injected, bricked


def _fresh(name: str, number: Iterator[int]) -> Path:
    folder = Path(name) / str(next(number))
    folder.mkdir()
    return folder


def _job(target: SimTarget, image: bytes, behaviour: Behaviour) -> Job:
    sha256 = hashlib.sha256(image).hexdigest()
    manifest = FirmwareManifest(BOARD, behaviour.version, len(image), sha256, 2)
    return Job(manifest, target.prepare(image), target.slots, target.chunk_bytes)


def _power_cut(target: SimTarget) -> None:
    """Cut its power until it has got through its start."""
    for _ in range(3):
        try:
            target.power_cut()
        except TargetError:
            continue
        return


def _unbootable(target: SimTarget) -> str:
    """Say why the node, were its power cut now, would be dead; "" if it would not."""
    twin = SimTarget(copy.deepcopy(target.memory), target.slots)
    _power_cut(twin)
    if target.slots == 1 or twin.runs:  # with one slot the boot loader in ROM is always there
        return ""
    _power_cut(twin)  # an image on trial that does not boot is swapped back
    return "" if twin.runs else "at one moment it boots nothing"


def _broken(outcome: Outcome, target: SimTarget, image: bytes, behaviour: Behaviour) -> str:
    """Say how the end breaks the promise; "" if it keeps it. Looks at the flash itself."""
    if outcome in (Outcome.NONE, Outcome.INTERRUPTED):
        return "it never ended"
    _power_cut(target)
    memory = target.memory
    if not target.runs or behaviour_of(memory.primary) is None:
        return "bricked"
    if not memory.confirmed or {memory.swap, memory.swapping} != {Swap.NONE}:
        return "half confirmed"
    if outcome is Outcome.CONFIRMED:
        proven = behaviour == IMAGES["good"]
        return "" if memory.primary == image and proven else "confirmed what it must not"
    return "" if memory.primary == OLD else f"{outcome.value}, but not on the old image"


def _ignore(_: State) -> None:
    pass


def _no_sync(_: int) -> None:
    """Do not flush: the simulated gateway dies in its process, not with its disk."""
