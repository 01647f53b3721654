"""How alarms leave while the broker is away, and whose commands come in."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edge.check_remote import check_remote
from edge.check_second import check_second_path
from edge.doctor_diagnosis import FAULT, OK, SKIPPED, WARN, Diagnosis, span_text, split_fix
from firmware_bridge.devices import find

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.config import Config
    from edge.doctor_process import Process
    from edge.doctor_saved import Saved
    from edge.finding import Finding
    from edge.parse_second_path import SmsConfig

_MODEM = "look at its power, SIM and antenna; name it by /dev/serial/by-id in [second_path.sms]"


def second_path(config: Config, process: Process | None, saved: Saved) -> Iterator[Diagnosis]:
    """Look whether what the second path needs is there; nothing is sent and nothing switched."""
    path = config.second_path
    if path.sms is None and not path.outputs:
        text = "none: while the broker is away alarms wait here"
        yield Diagnosis("second_path", "", SKIPPED, text)
        return
    asked = config
    if process is not None or saved.foreign:  # its modem is left alone
        asked = replace(config, second_path=replace(path, sms=None))
        if path.sms is not None:
            yield _modem(path.sms, process)
    for finding in check_second_path(asked):
        yield _diagnosis("second_path", finding, WARN, _MODEM)
    away_ms = saved.second.get("away_ms")
    if process is not None and isinstance(away_ms, int):
        away_s = max(0.0, time.time() - away_ms / 1000)
        if away_s * 1000 >= path.after_ms:
            text = f"open: the broker has been away for {span_text(away_s)}"
            fix = "mend the way to the broker (see broker): alarms go this way alone"
            yield Diagnosis("second_path", "broker", WARN, text, fix, away_s, "s")


def _modem(sms: SmsConfig, process: Process | None) -> Diagnosis:
    """Say whether the running gateway has the modem open."""
    device, wrong = find(sms.device)
    if not wrong and not os.path.exists(device):  # noqa: PTH110 - any kind of name
        wrong = "does not exist: is it plugged in?"
    files = None if process is None else process.files
    if not wrong and files is not None and os.path.realpath(device) not in files:
        wrong = "is there, but talus run has not opened it"
    subject = "second_path.sms.device"
    if wrong:
        text, fix = split_fix(wrong, _MODEM)
        return Diagnosis("second_path", subject, FAULT, f"{device}: {text}", fix)
    text = f"{device}: talus run has it; a drill shows whether its texts arrive"
    return Diagnosis("second_path", subject, OK, text)


def remote(config: Config, path: Path) -> Iterator[Diagnosis]:
    """Say whose commands over MQTT are obeyed; ``path``: the configuration, which has the keys."""
    found = [*check_remote(config, path)]
    if not found:
        text = "no [remote]: every command over MQTT is refused"
        yield Diagnosis("remote", "", SKIPPED, text)
    for finding in found:
        fix = "put the keys of the operations room into [remote]: talus-export keygen"
        made = _diagnosis("remote", finding, WARN, fix)
        if finding.ok and config.remote.allow_unsigned:
            text, fix = split_fix(finding.text, fix)
            made = replace(made, state=WARN, text=text.partition(": put keys")[0], fix=fix)
        yield made


def _diagnosis(check: str, finding: Finding, unsure: str, fix: str) -> Diagnosis:
    """Take over what `talus check` found; ``unsure``: the state where only a person can tell."""
    if finding.ok and finding.sure:
        return Diagnosis(check, finding.path, OK, finding.text)
    text, fix = split_fix(finding.text, fix)
    return Diagnosis(check, finding.path, unsure if finding.ok else FAULT, text, fix)
