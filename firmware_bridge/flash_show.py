"""What a person sees of an update: one line that grows on a terminal, lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from firmware_bridge.update_state import Outcome, Step

if TYPE_CHECKING:
    from firmware_bridge.update_state import State
    from firmware_bridge.update_target import Identity

_WIDTH = 30
_DOING = {
    Step.LOCK: "waiting for the port",
    Step.IDENTIFY: "asking who is there",
    Step.BACKUP: "keeping the old image",
    Step.WRITE: "writing",
    Step.VERIFY: "reading back",
    Step.TEST_BOOT: "restarting into the new image",
    Step.PROVE: "waiting for good samples",
    Step.CONFIRM: "making it stay",
    Step.REVERT: "bringing the old image back",
}
EXIT_CODES = {
    Outcome.CONFIRMED: 0,
    Outcome.INTERRUPTED: 1,
    Outcome.NONE: 1,
    Outcome.REFUSED: 3,
    Outcome.REVERTED: 4,
}


class Progress:
    """Says what is being done; each thing once, and of the writing each tenth."""

    def __init__(self, out: TextIO, size: int) -> None:
        self._out = out
        self._size = max(1, size)
        self._tty = out.isatty()
        self._said: tuple[Step, int, str] | None = None
        self._open = False

    def show(self, state: State) -> None:
        """Take the state that an update has come to."""
        if state.doing is Step.END:
            self.end()
            return
        share = state.offset / self._size
        tenth = int(share * 10) if state.doing is Step.WRITE else 0
        now = (state.doing, -1 if self._tty else tenth, state.detail)
        if now == self._said and not (self._tty and state.doing is Step.WRITE):
            return
        if state.detail and (self._said is None or state.detail != self._said[2]):
            self._line(f"{state.detail}: trying again")
        self._said = now
        text = _DOING.get(state.doing, state.doing.value)
        if state.doing is not Step.WRITE:
            self._line(text)
        elif self._tty:
            self._grow(text, share)
        else:
            self._line(f"{text} {share:.0%} of {self._size} bytes")

    def _grow(self, text: str, share: float) -> None:
        done = int(share * _WIDTH)
        bar = "#" * done + "." * (_WIDTH - done)
        self._out.write(f"\r{text} [{bar}] {share:4.0%} of {self._size} bytes")
        self._out.flush()
        self._open = True

    def _line(self, text: str) -> None:
        self.end()
        self._out.write(text + "\n")
        self._out.flush()

    def end(self) -> None:
        """End the line that grows."""
        if self._open:
            self._out.write("\n")
            self._out.flush()
        self._open = False


def ending(state: State, version: str, resume: str) -> str:
    """Say how an update ended, and what to do."""
    why = f": {state.detail}" if state.detail else ""
    if state.outcome is Outcome.CONFIRMED:
        return f"confirmed: the node runs {version}, and it stays{why}"
    if state.outcome is Outcome.REFUSED:
        return f"refused, nothing was changed{why}"
    if state.outcome is Outcome.REVERTED:
        return f"reverted: the old image runs again{why}"
    return f"not finished{why}\nmend that, then: {resume}"


def identity_lines(found: Identity) -> list[str]:
    """Say who a node is, a line each; what it does not tell is said too."""
    version = "not told" if found.version is None else ".".join(map(str, found.version))
    battery = "not told" if found.battery_mv is None else f"{found.battery_mv} mV"
    room = "" if found.slot_bytes is None else f" of {found.slot_bytes} bytes"
    trial = "" if found.confirmed else " (on trial: the next reset brings the old one back)"
    return [
        f"board    {found.board}",
        f"runs     {found.running or 'nothing that says what it is'}{trial}",
        f"version  {version}",
        f"slots    {found.slots}{room}",
        f"battery  {battery}",
    ]
