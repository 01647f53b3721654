"""The steps of a modem, what it is asked in each, and the messages it takes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    """Where the modem is; the value is said to people."""

    CLOSED = "closed"
    REST = "waiting to try again"
    WAKE = "asked whether it is there"
    ECHO = "set up: echo"
    ERRORS = "set up: errors"
    PIN = "asked for its SIM"
    PIN_GIVEN = "given its PIN"
    FORMAT = "set up: text mode"
    CHARACTERS = "set up: characters"
    SIGNAL = "asked for the signal"
    NETWORK = "asked for the network"
    NETWORK_4G = "asked for the 4G network"
    IDLE = "ready"
    PROMPT = "given a number"
    RESULT = "sending"


COMMANDS = {
    Step.WAKE: b"AT",
    Step.ECHO: b"ATE0",
    Step.ERRORS: b"AT+CMEE=1",
    Step.PIN: b"AT+CPIN?",
    Step.FORMAT: b"AT+CMGF=1",
    Step.CHARACTERS: b'AT+CSCS="GSM"',
    Step.SIGNAL: b"AT+CSQ",
    Step.NETWORK: b"AT+CREG?",
    Step.NETWORK_4G: b"AT+CEREG?",
}
# Where any final answer will do: not every modem knows these.
ANYHOW = {
    Step.ECHO: Step.ERRORS,
    Step.ERRORS: Step.PIN,
    Step.CHARACTERS: Step.SIGNAL,
    Step.SIGNAL: Step.NETWORK,
}


@dataclass(frozen=True, slots=True)
class Sms:
    """A text message: ``ref`` comes back with its result."""

    ref: str
    number: str
    text: str


@dataclass(frozen=True, slots=True)
class SmsResult:
    """What became of a message. ``doubtful``: it may have gone all the same."""

    ref: str
    sent: bool
    doubtful: bool
    reason: str
