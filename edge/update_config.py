"""gateway.toml put in by an update: beside the old one, proven there, renamed over it."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge.update_item import UpdateError
from edge.update_place import flush

if TYPE_CHECKING:
    from edge.update_place import Place
    from edge.update_state import State
    from edge.update_system import System

NEW, OLD, PREVIOUS = ".gateway.toml.new", ".gateway.toml.old", "gateway.toml.previous"
USER = "talus"


class ConfigPart:
    """The actions for a configuration; each can be done twice. Raise UpdateError, OSError."""

    def __init__(self, place: Place, system: System) -> None:
        self._place = place
        self._system = system
        self._live = place.config
        self._new, self._old, self._previous = (
            place.config.with_name(name) for name in (NEW, OLD, PREVIOUS)
        )

    def now(self) -> str:
        """Return what is in place."""
        return _sha256(self._live)

    def prepare(self, state: State) -> str:
        """Put the new one beside the old one, where its relative paths hold."""
        content = self._place.file.read_bytes()
        owner = self._place.owner(USER)
        group = (0, owner[1]) if owner else None
        self._place.write(self._new, content, 0o640, group)
        return _sha256(self._new)

    def prove(self, state: State) -> str:
        """Have it read, compared with the old one, and its bundles proven, by the service's user.

        In a process of its own: neither its text nor its models are root's to run. Gives what it
        leaves out.
        """
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r}); "
            "from edge.update_sane import main; sys.exit(main())"
        )
        said = self._system.run(
            sys.executable, "-I", "-c", code, self._new, self._live, state.item.subject,
            as_user=True,
        )  # fmt: skip
        return "; ".join(said.splitlines())

    def switch(self, state: State) -> None:
        """Rename it over the old one, which is kept by a second name: taking it back needs no room.

        What a person has changed meanwhile is not overwritten.
        """
        live = _sha256(self._live)
        if live == state.new:
            return
        if live != state.old:
            raise UpdateError(f"{self._live} was changed by somebody meanwhile")
        if _sha256(self._new) != state.new:
            raise UpdateError(f"{self._new} was changed by somebody meanwhile")
        self._old.unlink(missing_ok=True)
        os.link(self._live, self._old)
        flush(self._live.parent)
        self._new.replace(self._live)
        flush(self._live.parent)

    def holds(self, state: State) -> bool:
        """Whether the new one is in place."""
        return _sha256(self._live) == state.new

    def revert(self, state: State) -> None:
        """Rename the old one back."""
        if state.new and state.new != state.old and self.holds(state):
            if _sha256(self._old) != state.old:
                raise UpdateError(f"{self._old} is not the one that was in place before")
            self._old.replace(self._live)
            flush(self._live.parent)
        for path in (self._new, self._old):
            path.unlink(missing_ok=True)
        flush(self._live.parent)

    def commit(self, state: State) -> None:
        """Keep the one before beside it."""
        if self._old.exists():
            self._old.replace(self._previous)
        self._new.unlink(missing_ok=True)
        flush(self._live.parent)


def _sha256(path: Path) -> str:
    """Return the sha256 of a file, "" where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
