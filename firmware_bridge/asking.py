"""Commands to a TW1 node: one at a time, asked again until answered, each carried out once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from firmware_bridge.commands import ENTER_UPDATE, REBOOT, Refusal, refusal_text
from firmware_bridge.framing import ACK_REQ, ERROR, RESPONSE, VERSION, Frame

FIRST_WAIT_MS = 250
"""Wait for an answer before the command is put again; doubled at each silence."""
MAX_WAIT_MS = 5_000
TRIES = 6
MAX_WAITING = 16
_SEQ_WRAP = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command."""

    ticket: int
    type: int
    payload: bytes
    refused: str
    """Why it was not done, for people; "" if it was."""
    code: int
    """The node's `Refusal`; 0 if it did it, -1 if it did not answer."""


@dataclass(frozen=True, slots=True)
class _Command:
    ticket: int
    type: int
    payload: bytes
    tries: int


class Asking:
    """The commands of one node. Time is an argument."""

    __slots__ = ("_due_ms", "_frame", "_now", "_queue", "_seq", "_tickets", "_tried", "_wait_ms")

    def __init__(self) -> None:
        self._queue: deque[_Command] = deque()
        self._now: _Command | None = None
        self._frame: Frame | None = None
        self._due_ms: int | None = None
        self._wait_ms = FIRST_WAIT_MS
        self._tried = 0
        self._tickets = 0
        self._seq: int | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is asked and nothing waits."""
        return self._now is None and not self._queue

    def put(self, type: int, payload: bytes, tries: int = TRIES) -> int | None:
        """Ask this in its turn; gives the ticket of its answer, None if too much waits already."""
        if len(self._queue) >= MAX_WAITING:
            return None
        self._tickets += 1
        self._queue.append(_Command(self._tickets, type, payload, tries))
        return self._tickets

    def again(self) -> None:
        """Ask at once: the port was opened anew, and the answer may have gone with it."""
        self._due_ms = None
        self._wait_ms = FIRST_WAIT_MS

    def due_ms(self, now_ms: int) -> int | None:
        """Say when `next_frame` has something to do; None for never."""
        if self._now is None:
            return now_ms if self._queue else None
        return now_ms if self._due_ms is None else self._due_ms

    def next_frame(self, now_ms: int) -> Frame | Answer | None:
        """Give the frame to send now, or the answer of a command that got none."""
        if self._now is None:
            if not self._queue:
                return None
            self._begin(self._queue.popleft(), now_ms)
        command, frame = self._now, self._frame
        assert command is not None
        assert frame is not None
        if self._due_ms is not None and now_ms < self._due_ms <= now_ms + MAX_WAIT_MS:
            return None
        if self._tried >= command.tries:
            self._now = None
            return Answer(command.ticket, command.type, b"", "no answer", -1)
        self._tried += 1
        self._due_ms = now_ms + self._wait_ms
        self._wait_ms = min(2 * self._wait_ms, MAX_WAIT_MS)
        return frame

    def _begin(self, command: _Command, now_ms: int) -> None:
        # Numbers start from the clock: after a restart ours must not be those of before.
        self._seq = ((now_ms // 100 if self._seq is None else self._seq) + 1) % _SEQ_WRAP
        self._now = command
        self._frame = Frame(VERSION, ACK_REQ, command.type, self._seq, 0, command.payload)
        self._due_ms = None
        self._wait_ms = FIRST_WAIT_MS
        self._tried = 0

    def take(self, frame: Frame) -> Answer | None:
        """Take a frame with the flag RESPONSE; None if it answers nothing that was asked."""
        command = self._now
        if command is None or frame.type != command.type or frame.seq != self._seq:
            return None
        if not frame.flags & RESPONSE:
            return None
        self._now = None
        if not frame.flags & ERROR:
            return Answer(command.ticket, command.type, frame.payload, "", 0)
        code = frame.payload[0] if frame.payload else Refusal.UNKNOWN
        if code == Refusal.OTHER_BOOT and command.type in (REBOOT, ENTER_UPDATE):
            return Answer(command.ticket, command.type, b"", "", 0)  # it has restarted: done
        return Answer(command.ticket, command.type, b"", refusal_text(frame.payload), code)
