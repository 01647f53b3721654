"""Whether the second path could be taken: the modem asked as `talus run` asks it, and programs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import TalusError
from edge.finding import Finding
from edge.second_output import wrong_program
from edge.second_sms import SmsPort
from firmware_bridge.modem_words import CME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.config import Config
    from edge.parse_second_path import SmsConfig

MODEM_WAIT_S = 20.0
"""A modem that answers has gone through its questions by then."""
_UNDECIDED = ("not open", "not asked yet")
_WANTS_PIN = CME[11]


def check_second_path(config: Config, wait_s: float = MODEM_WAIT_S) -> Iterator[Finding]:
    """Look at what [second_path] names; nothing is sent, no PIN is given, nothing is switched."""
    second = config.second_path
    if second.sms is not None:
        try:
            SmsPort(second.sms, config.folder).close()  # its PIN file
            yield _modem(second.sms, config, wait_s)
        except TalusError as error:
            path, _, text = str(error).partition(": ")
            yield Finding(ok=False, path=path, text=text)
    for i, output in enumerate(second.outputs):
        program = Path(output.command[0])
        wrong = wrong_program(program)
        text = wrong or f"{output.name}: {program} can be run, from level {output.level} on"
        yield Finding(ok=not wrong, path=f"second_path.output[{i}].command", text=text)


def _modem(sms: SmsConfig, config: Config, wait_s: float) -> Finding:
    port = SmsPort(replace(sms, pin_file=""), config.folder)  # a wrong PIN would cost a try
    end_s = time.monotonic() + wait_s
    try:
        while port.modem.reason in _UNDECIDED and time.monotonic() < end_s:
            port.look(time.time_ns() // 1_000_000)
            if port.state.startswith("unavailable"):
                break
            time.sleep(0.01)
    finally:
        port.close()
    path, device = "second_path.sms.device", port.port.device
    if port.state.startswith("unavailable"):
        return Finding(ok=False, path=path, text=f"{device}: {port.state}")
    reason = port.modem.reason
    if reason == _WANTS_PIN and sms.pin_file:
        text = f"{device}: the modem answers; its SIM wants its PIN, which talus run gives it"
        return Finding(ok=True, path=path, text=text, sure=False)
    if reason:
        return Finding(ok=False, path=path, text=f"{device}: {reason}")
    signal = port.modem.signal_dbm
    strength = "" if signal is None else f", signal {signal} dBm"
    text = f"{device}: the modem is in its network{strength}; {len(sms.numbers)} numbers"
    return Finding(ok=True, path=path, text=text)
