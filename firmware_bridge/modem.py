"""A modem that sends text messages (AT, 3GPP 27.005): what to write, what came of it. Pure.

    opened -> WAKE -> ECHO -> ERRORS -> PIN -> FORMAT -> CHARACTERS -> SIGNAL -> NETWORK -> IDLE
    send   -> all of these anew (it may have restarted unseen), then PROMPT -> RESULT -> IDLE
    whatever gives no answer in its time, or the wrong one: REST, and WAKE again

A PIN is tried once and not again before the SIM was open: the third wrong one locks it. The text
is never written without its prompt. No answer after the text is *doubtful*: it may have gone.
"""

from __future__ import annotations

import re

from firmware_bridge.modem_steps import ANYHOW, COMMANDS, Sms, SmsResult, Step
from firmware_bridge.modem_words import (
    CME,
    REGISTRATION,
    error_words,
    is_number,
    plain_text,
    shown,
)

MAX_HELD = 512
"""Bytes held of a line that has not ended."""
_ESCAPE = b"\x1b"
_CTRL_Z = b"\x1a"
_ANSWER_MS = 5_000
_WAKE_MS = 1_500
_SETTLE_MS = 400
_REST_MS = 5_000
_LOCKED_MS = 60_000
_CHECK_MS = 60_000
_FINAL = re.compile(rb"OK|(?:ERROR|COMMAND NOT SUPPORT)|\+CM([ES]) ERROR: ?(.{1,60})")
_STATE = re.compile(rb"\+CE?G?REG: ?\d,(\d+)")  # unasked, the second is a quoted word or absent
_HOME, _ROAMING = 1, 5


class Modem:
    """One modem: `receive` what it says, `write_next` what it is told; `send` while it is free."""

    def __init__(self, pin: str = "", result_ms: int = 120_000) -> None:
        self._pin = pin
        self._result_ms = result_ms
        self._step = Step.CLOSED
        self._since_ms = 0
        self._rest_ms = 0
        self._to_write = b""
        self._asked = b""
        self._held = b""
        self._sim = b""
        self._registered = self._known = -1
        self._signal = -1
        self._sms: Sms | None = None
        self._doubtful: Sms | None = None
        self._results: list[SmsResult] = []
        self.pin_tried = False
        """A PIN was written, and the SIM was not open since."""
        self.reason = "not open"
        """Why nothing can be sent now, "" where it can."""
        self.ignored = 0
        """Lines that nobody had asked for."""

    @property
    def is_ready(self) -> bool:
        """Whether a message may be given to it."""
        return self._step is Step.IDLE and self._sms is None

    @property
    def step(self) -> Step:
        """Where it is."""
        return self._step

    @property
    def signal_dbm(self) -> int | None:
        """The strength of the signal, None where it is not known."""
        return 2 * self._signal - 113 if 0 <= self._signal <= 31 else None

    def opened(self, now_ms: int) -> None:
        """Take that its port was opened: whoever had it before may have left it in a prompt."""
        self._held = b""
        self._give_back("the modem was unplugged")
        self._rest(now_ms, "not asked yet", _SETTLE_MS, _ESCAPE)

    def closed(self) -> None:
        """Take that its port has gone."""
        self._give_back("the modem was unplugged")
        self._step, self._to_write, self.reason = Step.CLOSED, b"", "not there"

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set."""
        self._since_ms += step_ms

    def send(self, sms: Sms, now_ms: int) -> bool:
        """Take a message; False where it cannot now. The result comes with `receive`."""
        if not self.is_ready or not is_number(sms.number):
            return False
        self._sms = Sms(sms.ref, sms.number, plain_text(sms.text))
        self._enter(Step.WAKE, now_ms)
        return True

    def due_ms(self, now_ms: int) -> int | None:
        """Say when `receive` of nothing and `write_next` are to be called though no byte came."""
        if self._step is Step.CLOSED:
            return None
        if self._to_write or self._results:
            return now_ms
        return self._since_ms + self._limit_ms()

    def _limit_ms(self) -> int:
        if self._step is Step.REST:
            return self._rest_ms
        limits = {Step.IDLE: _CHECK_MS, Step.RESULT: self._result_ms, Step.WAKE: _WAKE_MS}
        return limits.get(self._step, _ANSWER_MS)

    def write_next(self, now_ms: int) -> bytes:
        """Give what to write now; b"" if nothing."""
        data, self._to_write = self._to_write, b""
        if data:
            self._since_ms = now_ms
            self._asked = data.strip(b"\r\x1a\x1b")
        return data

    def receive(self, data: bytes, now_ms: int) -> list[SmsResult]:
        """Take any bytes at all, none to let a deadline pass; never raises."""
        *lines, held = re.split(rb"[\r\n]", self._held + data)
        self._held = held[-MAX_HELD:]
        for line in lines:
            self._line(line[-MAX_HELD:].strip(b" \0"), now_ms)
        if self._step is Step.PROMPT and self._held.lstrip().startswith(b">"):
            self._held = b""
            self._prompted(now_ms)
        waits = self._step is not Step.CLOSED and not self._to_write
        if waits and not 0 <= now_ms - self._since_ms < self._limit_ms():
            self._late(now_ms)
        results, self._results = self._results, []
        return results

    def _enter(self, step: Step, now_ms: int) -> None:
        self._step, self._since_ms = step, now_ms
        command = COMMANDS.get(step, b"")
        if step is Step.PIN:
            self._sim = b""
        elif step in {Step.NETWORK, Step.NETWORK_4G}:
            self._registered = -1
        elif step is Step.PIN_GIVEN:
            command = b'AT+CPIN="%s"' % self._pin.encode("ascii", "replace")
            self.pin_tried = True
        elif step is Step.PROMPT and self._sms is not None:
            command = b'AT+CMGS="%s"' % self._sms.number.encode()
        self._to_write = command and command + b"\r"

    def _rest(self, now_ms: int, reason: str, rest_ms: int = _REST_MS, last: bytes = b"") -> None:
        """Leave it alone for a while; what it says meanwhile is nobody's answer."""
        self._give_back(reason)
        self.reason = reason
        self._step, self._since_ms, self._rest_ms = Step.REST, now_ms, rest_ms
        self._to_write = last

    def _give_back(self, reason: str, *, refused: bool = False) -> None:
        """Tell that the message at hand has not gone, or that nobody knows."""
        sms, self._sms = self._sms, None
        if sms is None:
            return
        doubtful = self._step is Step.RESULT and not (self._to_write or refused)
        if doubtful:
            self._doubtful = sms
        self._results.append(SmsResult(sms.ref, sent=False, doubtful=doubtful, reason=reason))

    def _late(self, now_ms: int) -> None:
        """Do what is due, or give up what was asked."""
        if self._step in {Step.REST, Step.IDLE}:
            self._enter(Step.WAKE, now_ms)
        elif self._step is Step.PROMPT:
            self._rest(now_ms, "it gives no prompt for the text", _REST_MS, _ESCAPE)
        elif self._step is Step.RESULT:
            self._rest(now_ms, "it does not say whether the text has gone", _REST_MS, _ESCAPE)
        else:
            self._rest(now_ms, "it gives no answer: power, baud, another port of the same modem?")

    def _line(self, line: bytes, now_ms: int) -> None:
        if not line or line == self._asked:
            return
        if self._step is Step.PROMPT and line.startswith(b">") and not self._to_write:
            self._prompted(now_ms)
            return
        if line.startswith(b"+CMGS:"):
            self._gone()
            return
        final = _FINAL.fullmatch(line)
        idle = self._to_write or self._step in {Step.CLOSED, Step.REST, Step.IDLE}
        if idle or (final is None and not self._noted(line)):
            self.ignored += 1
        elif final is not None:
            self._answered(final, now_ms)

    def _noted(self, line: bytes) -> bool:
        """Keep what was asked for; whether it was that."""
        if self._step is Step.PIN and line.startswith(b"+CPIN:"):
            self._sim = line[6:].strip()
            return True
        state = _STATE.fullmatch(line.partition(b',"')[0])
        if state is not None and self._step in {Step.NETWORK, Step.NETWORK_4G}:
            self._registered = int(state[1])
            return True
        if self._step is Step.SIGNAL and (found := re.match(rb"\+CSQ: ?(\d{1,3}),", line)):
            self._signal = int(found[1])
            return True
        return False

    def _gone(self) -> None:
        """Take that a text has gone: this one, or the one before that nobody knew of."""
        if self._step is Step.RESULT and not self._to_write and self._sms is not None:
            sms: Sms | None = self._sms
            self._sms = None
        else:
            sms, self._doubtful = self._doubtful, None
            if sms is not None and self._sms is not None and self._sms.ref == sms.ref:
                self._sms = None  # it was about to be sent again
        if sms is not None:
            self._results.append(SmsResult(sms.ref, sent=True, doubtful=False, reason=""))
        else:
            self.ignored += 1

    def _prompted(self, now_ms: int) -> None:
        if self._sms is None:  # it turned out to have gone before
            self._rest(now_ms, "the text had gone before", _SETTLE_MS, _ESCAPE)
            return
        self._doubtful = None  # the modem is done with that one
        self._step, self._since_ms = Step.RESULT, now_ms
        self._to_write = self._sms.text.encode("ascii", "replace") + _CTRL_Z

    def _answered(self, final: re.Match[bytes], now_ms: int) -> None:
        """Take the last line of an answer."""
        step, ok = self._step, final[0] == b"OK"
        if step in ANYHOW:
            self._enter(ANYHOW[step], now_ms)
        elif step is Step.WAKE:
            self._enter(Step.ECHO, now_ms) if ok else self._rest(now_ms, "it answers with errors")
        elif step is Step.PIN:
            self._sim_is(ok, final, now_ms)
        elif step is Step.PIN_GIVEN:
            why = f"the PIN was refused ({error_words(final[1], final[2])}); it is not tried again"
            self._rest(
                now_ms, "the SIM was opened just now" if ok else why, _REST_MS if ok else _LOCKED_MS
            )
        elif step is Step.FORMAT:
            if ok:
                self._enter(Step.CHARACTERS, now_ms)
            else:
                self._rest(
                    now_ms, f"it knows no text mode ({error_words(final[1], final[2])})", _LOCKED_MS
                )
        elif step in {Step.NETWORK, Step.NETWORK_4G}:
            self._network_is(now_ms)
        elif not ok:
            self._give_back(f"refused: {error_words(final[1], final[2])}", refused=True)
            self._rest(
                now_ms, f"the text was refused: {error_words(final[1], final[2])}", _SETTLE_MS
            )
        elif step is Step.RESULT:
            self._text_taken(now_ms)

    def _sim_is(self, ok: bool, final: re.Match[bytes], now_ms: int) -> None:
        if not ok:
            self._rest(now_ms, error_words(final[1], final[2]))
        elif self._sim == b"READY":
            self.pin_tried = False
            self._enter(Step.FORMAT, now_ms)
        elif self._sim == b"SIM PIN" and self._pin and not self.pin_tried:
            self._enter(Step.PIN_GIVEN, now_ms)
        elif self._sim == b"SIM PIN":
            what = "the PIN was refused; it is not tried again" if self._pin else CME[11]
            self._rest(now_ms, what, _LOCKED_MS)
        else:
            self._rest(now_ms, f"the SIM wants {shown(self._sim) or 'something'}", _LOCKED_MS)

    def _network_is(self, now_ms: int) -> None:
        if self._registered in {_HOME, _ROAMING}:
            self.reason = ""
            self._enter(Step.IDLE if self._sms is None else Step.PROMPT, now_ms)
        elif self._step is Step.NETWORK:
            self._known = self._registered
            self._enter(Step.NETWORK_4G, now_ms)
        else:
            state = self._registered if self._registered > 0 else self._known
            self._rest(now_ms, f"no network: {REGISTRATION.get(state, 'no answer')}")

    def _text_taken(self, now_ms: int) -> None:
        if self._sms is None:
            self.reason = ""
            self._enter(Step.IDLE, now_ms)
        else:
            self._rest(now_ms, "OK, but no number of the text", _SETTLE_MS)
