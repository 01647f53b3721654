"""An update carried on: each step stored before it is done, and told at its end."""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Protocol

from edge.update_config import ConfigPart
from edge.update_item import CONFIG, UpdateError
from edge.update_package import PackagePart
from edge.update_place import Place, flush, keep_counter, load, read_json, save
from edge.update_state import (
    LASTING,
    REFUSED,
    Done,
    Failed,
    Phase,
    State,
    after,
    begin,
    words,
)
from edge.update_take import Request, drop_request, read_request, take

if TYPE_CHECKING:
    from pathlib import Path

    from edge.update_system import System

log = logging.getLogger("talus-update")


class Part(Protocol):
    """The actions that differ by kind; each can be done twice. Raise UpdateError, OSError."""

    def now(self) -> str:
        """Return what is in place."""

    def prepare(self, state: State) -> str:
        """Put the new one beside the old one, give what it is called."""

    def prove(self, state: State) -> str:
        """Let the new one prove itself; gives what a person should know of it, "" for nothing."""

    def switch(self, state: State) -> None:
        """Let the new one take the old one's place, in one step."""

    def holds(self, state: State) -> bool:
        """Whether the new one is in place."""

    def revert(self, state: State) -> None:
        """Let the old one be in its place, in one step; clear up."""

    def commit(self, state: State) -> None:
        """Keep the old one as the one before; clear up."""


class StuckError(Exception):
    """A step that must be done cannot be now: it is begun again later."""


class Run:
    """Updates of one place. One process at a time: `hold`."""

    def __init__(self, place: Place, system: System) -> None:
        self._place = place
        self._system = system

    def hold(self) -> IO[str] | None:
        """Hold the place until the file is closed; None: another has it. Raises OSError."""
        self._place.make()
        held = (self._place.folder / "lock").open("w", encoding="ascii")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            return None
        return held

    def go_on(self) -> State | None:
        """Carry on what was at work when the power went. Raises StuckError, OSError."""
        try:
            state = load(self._place)
        except UpdateError as error:  # written whole or not at all: the disk is failing
            log.error("%s: set aside; what is in place stays", error)
            self._place.journal.replace(self._place.journal.with_suffix(".damaged"))
            return None
        if state is None:
            return None
        log.info("%s: goes on at %s", state.item.label, state.phase.value)
        return self._carry(state)

    def requested(self) -> State | str | None:
        """Do what `talus run` asks for: gives its end, or why it was not begun. As `go_on`."""
        try:
            request = read_request(self._place)
            if request is None:
                return None
            if not request.kind or request.id == self._told_id():
                drop_request(self._place, request)
                return None
        except (UpdateError, OSError) as error:
            raise StuckError(str(error)) from error
        return self.put_in(request)

    def _told_id(self) -> str:
        """Return which command was answered last: one that is told is not done again."""
        try:
            values = read_json(self._place.folder / "outcome.json") or {}
        except UpdateError:
            values = {}
        return str(values.get("id", ""))

    def put_in(self, request: Request, by_hand: Path | None = None) -> State | str:
        """Take an update and put it in: gives its end, or why it was refused at once."""
        try:
            state = take(self._place, request, by_hand)
            state = replace(state, old=self._part(state).now())
            save(self._place, state)
        except (UpdateError, OSError) as error:
            why = str(error)[:1000].replace("\n", "; ")
            log.error("refused: %s", why)
            self._tell(request.id, request.kind, 0, REFUSED, f"refused: {why}")
            self._clear()
            self._drop(request, by_hand)
            return why
        self._drop(request, by_hand)
        log.info("%s, asked for by %s", state.item.label, state.who or "a person here")
        return self._carry(state)

    def _drop(self, request: Request, by_hand: Path | None) -> None:
        """Take the request away, now that what it asks for is stored, or refused and told."""
        if by_hand is None:
            with suppress(UpdateError, OSError):
                drop_request(self._place, request)

    def _part(self, state: State) -> Part:
        kind = ConfigPart if state.item.kind == CONFIG else PackagePart
        return kind(self._place, replace(self._system, skip=state.skip))

    def _carry(self, state: State) -> State:
        part = self._part(state)
        while state.phase is not Phase.END:
            state = begin(state)
            event: Done | Failed = self._stored(state) or self._act(state, part)
            if isinstance(event, Failed):
                log.warning("%s: %s", state.phase.value, event.why)
                if state.phase in LASTING:
                    raise StuckError(f"{state.phase.value}: {event.why}")
            state = after(state, event)
        log.info("%s", words(state))
        return state

    def _stored(self, state: State) -> Failed | None:
        """Store a step. One that cannot be stored is not done, unless it leads out."""
        try:
            save(self._place, state)
        except OSError as error:
            if state.phase in LASTING - {Phase.COMMIT} or state.phase is Phase.AGAIN:
                log.error("not stored: %s", error)
                return None
            # COMMIT is only then decided when it is stored.
            why = f"{state.phase.value} cannot be stored: {error}"
            if state.phase is Phase.COMMIT:
                raise StuckError(why) from error
            return Failed(why)
        return None

    def _act(self, state: State, part: Part) -> Done | Failed:
        log.info("%s: %s", state.item.label, state.phase.value)
        try:
            return self._do(state, part)
        except (UpdateError, OSError) as error:
            return Failed(str(error).replace("\n", "; "))

    def _do(self, state: State, part: Part) -> Done:
        """Do the action of a phase."""
        phase, system = state.phase, replace(self._system, skip=state.skip)
        if phase is Phase.PREPARE:
            return Done(new=part.prepare(state))
        if phase is Phase.PROVE:
            return Done(note=part.prove(state) or "")
        if phase is Phase.SWITCH:
            part.switch(state)
        elif phase in (Phase.RESTART, Phase.AGAIN):
            system.restart()
        elif phase is Phase.GATE:
            system.gate()
        elif phase is Phase.COMMIT:
            keep_counter(self._place, state.item)
            part.commit(state)
        elif phase is Phase.REVERT:
            part.revert(state)
            self._place.file.unlink(missing_ok=True)  # room to tell of it, on a full disk
        else:
            item = state.item
            self._tell(state.id, item.kind, item.counter, state.outcome, words(state))
            self._clear()
            self._place.make()  # the ballast, where it was given up
        if phase in (Phase.RESTART, Phase.GATE) and not part.holds(state):
            raise UpdateError("what was put in is not in place any more")
        return Done()

    def _tell(self, identity: str, kind: str, counter: int, outcome: str, text: str) -> None:
        """Write what came of an update where `talus run` reads it."""
        now_ms = time.time_ns() // 1_000_000
        values = {"format": 1, "id": identity, "kind": kind, "counter": counter,
                  "outcome": outcome, "text": text, "time_ms": now_ms}  # fmt: skip
        path = self._place.folder / "outcome.json"
        self._place.write(path, json.dumps(values).encode(), 0o644)

    def _clear(self) -> None:
        """Take away what was at work; the journal last."""
        for path in self._place.work.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        self._place.journal.unlink(missing_ok=True)
        flush(self._place.folder)
