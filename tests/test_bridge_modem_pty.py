"""The modem's state machine on a real pty."""

from __future__ import annotations

import time

from modem_line import NUMBER

from firmware_bridge.modem import Modem
from firmware_bridge.modem_steps import Sms, SmsResult
from firmware_bridge.port import Port, PortState
from firmware_bridge.sim_modem import ModemPty, SimulatedModem


def test_on_a_pty_and_pulled_and_put_back(tmp_path) -> None:
    link = tmp_path / "modem"
    simulated = SimulatedModem(chatter=b"\r\nRING\r\n")
    modem = Modem(result_ms=20_000)
    port = Port(str(link), open_retry_ms=20, open_retry_max_ms=50)
    results: list[SmsResult] = []

    def until(what) -> None:
        end = time.monotonic() + 30
        while not what():
            assert time.monotonic() < end, (modem.step, modem.reason, simulated.commands)
            now_ms = time.time_ns() // 1_000_000
            event = port.poll(now_ms)
            if event is not None:
                modem.opened(now_ms) if event.state is PortState.OPENED else modem.closed()
            results.extend(modem.receive(port.read(), now_ms))
            data = modem.write_next(now_ms) if port.is_open else b""
            if data:
                port.write(data)
            time.sleep(0.002)

    with ModemPty(simulated, link=link):
        until(lambda: modem.is_ready)
        modem.send(Sms("1", NUMBER, "before"), time.time_ns() // 1_000_000)
        until(lambda: len(results) == 1)
    until(lambda: modem.reason == "not there")
    with ModemPty(simulated, link=link):
        until(lambda: modem.is_ready)
        modem.send(Sms("2", NUMBER, "after"), time.time_ns() // 1_000_000)
        until(lambda: len(results) == 2)
    assert [r.sent for r in results] == [True, True]
    assert simulated.sent == [(NUMBER, "before"), (NUMBER, "after")]
    port.close()
