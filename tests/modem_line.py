"""A modem's state machine and a simulated modem, joined in steps of time."""

from __future__ import annotations

from firmware_bridge.modem import Modem
from firmware_bridge.modem_steps import Sms, SmsResult
from firmware_bridge.sim_modem import SimulatedModem

NUMBER = "+436641234567"


class Line:
    """A modem's state machine and a simulated one, joined: time passes where nothing is said."""

    def __init__(self, simulated: SimulatedModem, pin: str = "", piece: int = 1000) -> None:
        self.simulated = simulated
        self.modem = Modem(pin, result_ms=60_000)
        self.now_ms = 1_000_000
        self.results: list[SmsResult] = []
        self.written: list[bytes] = []
        self._piece = piece
        self.modem.opened(self.now_ms)

    def hear(self, said: bytes) -> None:
        for i in range(0, len(said), self._piece):
            self.results += self.modem.receive(said[i : i + self._piece], self.now_ms)

    def until(self, what, limit_ms: int = 200_000) -> None:
        end_ms = self.now_ms + limit_ms
        while not what():
            assert self.now_ms < end_ms, (self.modem.step, self.modem.reason, self.written[-3:])
            data = self.modem.write_next(self.now_ms)
            if data:
                self.written.append(data)
                self.hear(self.simulated.receive(data))
            else:
                due_ms = self.modem.due_ms(self.now_ms)
                assert due_ms is not None
                self.now_ms = max(self.now_ms + 1, due_ms)
                self.results += self.modem.receive(b"", self.now_ms)

    def send(self, text: str = "TALUS slope: ALARM level 4", ref: str = "a") -> SmsResult:
        self.until(lambda: self.modem.is_ready)
        count = len(self.results)
        assert self.modem.send(Sms(ref, NUMBER, text), self.now_ms)
        self.until(lambda: len(self.results) > count)
        return self.results[-1]
