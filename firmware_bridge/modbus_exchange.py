"""One question on a Modbus line and the bytes that come after it, until its answer is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.modbus_frame import REFUSAL_SIZE, WRITE_ONE, NoAnswer, cut_answer

if TYPE_CHECKING:
    from firmware_bridge.modbus_frame import Answer, Refusal, Request


class Exchange:
    """Searches what arrives for the answer to one request, wherever it begins.

    Bytes before, between and after are passed over: what makes an answer is address, function,
    length and CRC, and not where it stands. Holds fewer bytes than one answer or one echo has.

    Our own request may come back first (a two-wire adapter that hears itself). The answer to
    function 6 is the request again, so there only ``echo`` tells which of the two a copy is.
    """

    __slots__ = (
        "_echo", "_echo_due", "_held", "_keep", "_sent", "damaged", "echoes", "noise", "request",
    )  # fmt: skip

    def __init__(self, request: Request, *, echo: bool) -> None:
        self.request = request
        self.damaged = False
        """Whether an answer came whose CRC does not match."""
        self.echoes = 0
        self.noise = 0
        """Bytes that are neither echo nor answer (while none is found: all but the echo)."""
        self._sent = request.encode()
        self._echo = echo
        self._echo_due = echo or request.function != WRITE_ONE
        self._keep = max(len(self._sent), request.answer_size) - 1
        self._held = b""

    @property
    def came(self) -> bool:
        """Whether so many bytes came that an answer can have been among them."""
        return self.damaged or self.noise >= REFUSAL_SIZE

    def receive(self, data: bytes) -> Answer | Refusal | None:
        """Take any bytes; gives the answer once it is there."""
        held = self._held + data
        self.noise += len(data)
        first = bytes((self.request.slave,))
        at = held.find(first)
        while at >= 0:
            if self._echo_due and held.startswith(self._sent, at):
                held = held[:at] + held[at + len(self._sent) :]
                self.noise -= len(self._sent)
                self.echoes += 1
                self._echo_due = False
                at = held.find(first, at)
                continue
            # The beginning of an echo can be a whole answer: 04 03 02 B0 00 01 84 to function 3.
            maybe_echo = self._echo_due and self._sent.startswith(held[at:])
            found = None if maybe_echo else cut_answer(held, at, self.request)
            if isinstance(found, NoAnswer):
                self.damaged = self.damaged or found.damaged
            elif found is not None:
                self.noise -= found.size
                self._held = b""
                return found
            at = held.find(first, at + 1)
        self._held = held[-self._keep :]
        return None

    def give_up(self) -> Answer | Refusal | None:
        """Take it that nothing more comes; gives what was an answer, as no echo came of it."""
        if self._echo:
            return None
        self._echo_due = False
        return self.receive(b"")
