"""The serial ports: asked as a gateway asks, or, while one runs, seen by what it has saved."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edge.doctor_diagnosis import AS_ROOT, FAULT, OK, UNSURE, WARN, Diagnosis, span_text, split_fix
from edge.heard import listen
from firmware_bridge.devices import find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.config import Config
    from edge.doctor_process import Process
    from edge.doctor_saved import Saved
    from edge.heard import Heard
    from edge.parse_ports import PortConfig

_CABLE = "look at its power and cable; with talus run stopped, talus probe {} tells what speaks"


def ports(
    config: Config, process: Process | None, saved: Saved, listen_s: float
) -> Iterator[Diagnosis]:
    """Look at every port. None open at all is what an update can do; one, a cable."""
    if process is None and saved.foreign:
        text = "not asked: a talus run that this user cannot see may have them"
        yield Diagnosis("ports", "", UNSURE, text, AS_ROOT, gate=True)
        return
    found = [*(_heard(config, listen_s) if process is None else _told(config, process, saved))]
    closed = [each for each in found if each.state == FAULT and each.value == 0]
    gate = len(closed) == len(found)
    yield from (replace(each, gate=gate) for each in found)


def _heard(config: Config, listen_s: float) -> Iterator[Diagnosis]:
    """Open, ask and hear: nobody else has them."""
    for port, heard in listen(config.ports, listen_s):
        subject = f"{port.name} ({heard.device if heard.opened else port.device})"
        yield _answer(port, heard, subject, listen_s)


def _answer(port: PortConfig, heard: Heard, subject: str, listen_s: float) -> Diagnosis:
    text, fix = split_fix(heard.text(port, listen_s), _CABLE.format(port.device))
    if not heard.opened:
        return Diagnosis("ports", subject, FAULT, text, fix, 0.0, "open")
    if heard.garbled:
        fix = f"look at cable, baud and protocol: talus probe {port.device} tells what speaks"
        return Diagnosis("ports", subject, FAULT, text, fix, float(heard.size), "bytes")
    if not heard.readings:
        return Diagnosis("ports", subject, UNSURE, text, fix, float(heard.size), "bytes")
    text = f"{port.protocol} answers: a reading after {heard.time_s:.1f} s"
    return Diagnosis("ports", subject, OK, text, value=heard.time_s, unit="s")


def _told(config: Config, process: Process, saved: Saved) -> Iterator[Diagnosis]:
    """Say how the running gateway has them; its ports are left alone."""
    for port in config.ports:
        path, wrong = find(port.device)
        subject = f"{port.name} ({path})"
        is_open = None if process.files is None else os.path.realpath(path) in process.files
        if is_open is False:
            if not wrong:
                wrong = "is there, but talus run has not opened it"
                wrong = wrong if os.path.exists(path) else "does not exist: is it plugged in?"  # noqa: PTH110
            text, fix = split_fix(wrong, _CABLE.format(port.device))
            if port.name in (saved.state.get("maintained") or ()):
                text = "is given up while its node is updated"
                yield Diagnosis("ports", subject, OK, text)
            else:
                yield Diagnosis("ports", subject, FAULT, text, fix, 0.0, "open")
            continue
        yield _reported(config, port, saved, subject)


def _reported(config: Config, port: PortConfig, saved: Saved, subject: str) -> Diagnosis:
    """Say what came of a port that is open, by the state that was saved last."""
    names = {(s.name, c.name) for s in config.stations for c in s.channels if c.port == port.name}
    silent = {(s, c) for s, c in names if c in _silent(saved, s)}
    fix = _CABLE.format(port.device)
    if names and silent == names:
        return Diagnosis("ports", subject, FAULT, "is open, but none of its channels reports", fix)
    if silent:
        text = f"is open, but silent: {', '.join(sorted(f'{s}/{c}' for s, c in silent))}"
        return Diagnosis("ports", subject, WARN, text, fix, float(len(silent)), "channels")
    last_ms = saved.port(port.name).get("last_ms", 0)
    if saved.foreign:
        who = AS_ROOT
        text = "talus run holds it; what came is not for this user to read"
        return Diagnosis("ports", subject, UNSURE, text, who)
    if not last_ms:
        text = "is open, and no reading is known yet"
        return Diagnosis("ports", subject, UNSURE, text, f"wait a little; then {fix}")
    if port.clock == "node":
        return Diagnosis("ports", subject, OK, f"{port.protocol} reports")
    age_s = max(0.0, time.time() - last_ms / 1000)
    text = f"{port.protocol} reports: the newest reading saved is {span_text(age_s)} old"
    return Diagnosis("ports", subject, OK, text, value=age_s, unit="s")


def _silent(saved: Saved, station: str) -> tuple[str, ...]:
    alarm = saved.station(station).get("alarm")
    found = alarm.get("silent") if isinstance(alarm, dict) else None
    return tuple(map(str, found)) if isinstance(found, list) else ()


def silence(config: Config, saved: Saved) -> Iterator[Diagnosis]:
    """Say which stations are in NO-DATA, which is so whichever port is at fault."""
    for station in config.stations:
        alarm = saved.station(station.name).get("alarm")
        if isinstance(alarm, dict) and alarm.get("no_data"):
            text = f"NO-DATA: nothing of it is watched: {', '.join(_silent(saved, station.name))}"
            fix = "mend what is said of its ports and its bundle"
            yield Diagnosis("values", station.name, FAULT, text, fix)
