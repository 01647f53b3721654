"""A simulated modem for text messages, on a pty where wanted.

It reads byte by byte, as modems do, with code of its own: whoever writes text where it awaits a
command, or a command where it awaits text, sees what comes of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firmware_bridge.sim_instruments import Instrument

if TYPE_CHECKING:
    from pathlib import Path

_READ_S = 0.005
_MAX_HELD = 1024
_LARGEST_PIECE = 7
_SEND = re.compile(r'AT\+CMGS="([^"]*)"')
_UNLOCK = re.compile(r'AT\+CPIN="([^"]*)"')


@dataclass(slots=True)
class ModemFaults:
    """What goes wrong, by how often; each is counted down."""

    silent: int = 0
    """Commands that get no answer at all."""
    prompts_lost: int = 0
    """Prompts that never come, though it awaits the text."""
    errors: list[int] = field(default_factory=list)
    """+CMS ERROR numbers that the next texts get."""
    bare_errors: int = 0
    results_held: int = 0
    """Texts that go, and whose result comes only when `release` is called."""


class SimulatedModem:
    """A modem and its SIM. `receive` what it is told; it gives what it says."""

    def __init__(
        self, *, pin: str = "", echo: bool = True, registered: int = 1, chatter: bytes = b""
    ) -> None:
        self.sent: list[tuple[str, str]] = []
        """(number, text) of what has gone."""
        self.commands: list[str] = []
        self.faults = ModemFaults()
        self.registered = registered
        self.registered_4g = 0
        self.sim = "SIM PIN" if pin else "READY"
        self.tries_left = 3
        self._pin = pin
        self._echo = echo
        self._chatter = chatter  # comes in between, unasked
        self._text_mode = False
        self._number: str | None = None  # whose text it awaits
        self._held = ""
        self._withheld = b""

    def restart(self) -> None:
        """Forget what was set, as after a glitch of its power."""
        self._echo, self._text_mode, self._number, self._held = True, False, None, ""
        if self._pin:
            self.sim = "SIM PIN"

    def receive(self, data: bytes) -> bytes:
        """Take what is written to it."""
        said = b""
        for byte in data:
            said += self._byte(chr(byte))
        return said

    def release(self) -> bytes:
        """Give the results that were held."""
        said, self._withheld = self._withheld, b""
        return said

    def _byte(self, char: str) -> bytes:
        if self._number is not None:
            return self._text_byte(char)
        said = char.encode("latin-1") if self._echo and char != "\x1b" else b""
        if char == "\r":
            command, self._held = self._held.lstrip("\n"), ""
            return said + (self._obey(command) if command else b"")
        if char == "\x1b":
            self._held = ""
        else:
            self._held = (self._held + char)[-_MAX_HELD:]
        return said

    def _text_byte(self, char: str) -> bytes:
        if char == "\x1a":
            number, text = self._number or "", self._held
            self._number, self._held = None, ""
            return b"\r\n" + self._send(number, text)
        if char == "\x1b":
            self._number, self._held = None, ""
            return b"\r\nOK\r\n"
        self._held = (self._held + char)[-_MAX_HELD:]
        return char.encode("latin-1") if self._echo else b""

    def _send(self, number: str, text: str) -> bytes:
        if self.faults.errors:
            return self._say(f"+CMS ERROR: {self.faults.errors.pop(0)}")
        if self.faults.bare_errors:
            self.faults.bare_errors -= 1
            return self._say("ERROR")
        if len(text) > 160 or not self._text_mode:
            return self._say("+CMS ERROR: 305")
        self.sent.append((number, text))
        result = self._chatter + self._say(f"+CMGS: {len(self.sent) % 256}") + self._say("OK")
        if self.faults.results_held:
            self.faults.results_held -= 1
            self._withheld += result
            return b""
        return result

    def _obey(self, command: str) -> bytes:
        self.commands.append(command)
        if self.faults.silent:
            self.faults.silent -= 1
            return b""
        if found := _SEND.fullmatch(command):
            return self._prompt(found[1])
        if found := _UNLOCK.fullmatch(command):
            return self._unlock(found[1])
        return self._chatter + self._plain(command)

    def _plain(self, command: str) -> bytes:
        told = {
            "AT+CSQ": "+CSQ: 18,99",
            "AT+CREG?": f"+CREG: 0,{self.registered}",
            "AT+CEREG?": f'+CEREG: 0,{self.registered_4g},"00C3","01A2D003",7',
        }
        if command == "AT+CPIN?":
            if self.sim == "absent":
                return self._say("+CME ERROR: 10")
            return self._say(f"+CPIN: {self.sim}") + self._say("OK")
        if command in told:
            return self._say(told[command]) + self._say("OK")
        if command == "ATE0":
            self._echo = False
        elif command == "AT+CMGF=1":
            if self.sim != "READY":
                return self._say("+CMS ERROR: 311")
            self._text_mode = True
        elif command not in {"AT", "AT+CMEE=1", 'AT+CSCS="GSM"'}:
            return self._say("ERROR")
        return self._say("OK")

    def _prompt(self, number: str) -> bytes:
        if self.registered not in {1, 5} and self.registered_4g not in {1, 5}:
            return self._say("+CMS ERROR: 331")
        self._number = number
        if self.faults.prompts_lost:
            self.faults.prompts_lost -= 1
            return b""
        return self._chatter + b"\r\n> "

    def _unlock(self, pin: str) -> bytes:
        if self.sim != "SIM PIN":
            return self._say("+CME ERROR: 3")
        if pin == self._pin:
            self.sim, self.tries_left = "READY", 3
            return self._say("OK")
        self.tries_left -= 1
        if not self.tries_left:
            self.sim = "SIM PUK"
        return self._say("+CME ERROR: 16")

    @staticmethod
    def _say(line: str) -> bytes:
        return f"\r\n{line}\r\n".encode()


class ModemPty(Instrument):
    """A `SimulatedModem` on a pty. What it says comes in small pieces."""

    def __init__(self, modem: SimulatedModem, *, link: Path | str | None = None) -> None:
        super().__init__(link, _READ_S, hold=True)
        self.modem = modem

    def run(self) -> None:
        """Answer until stopped; in this thread."""
        while not self._stop.is_set():
            if not self._listened():
                self._stop.wait(_READ_S)
                continue
            data = self.pty.read(_READ_S)
            said = self.modem.receive(data) if data else b""
            while said:
                self._send(said[:_LARGEST_PIECE])
                said = said[_LARGEST_PIECE:]
