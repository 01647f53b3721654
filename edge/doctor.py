"""``talus doctor``: what on this gateway is not as it should be, from the supply to the alarm.

It changes nothing, and takes nothing from a gateway that runs: that is looked at from outside, by
what it has saved and what the kernel says of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from edge.doctor_diagnosis import (
    AS_ROOT,
    CHECKS,
    FAULT,
    OK,
    UNSURE,
    Diagnosis,
    count_text,
    split_fix,
)
from edge.doctor_drill import Drill
from edge.doctor_process import Process, running
from edge.doctor_root import Root
from edge.doctor_saved import Saved, read_saved
from edge.doctor_storage import WRITE_BUDGET_MB
from edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge.config import Config

    Check = Callable[["Patient"], Iterator[Diagnosis]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked at, and how long the doctor waits for answers."""

    config: Path
    root: Root = field(default_factory=Root)
    checks: frozenset[str] = frozenset(CHECKS) - {"drill"}
    listen_s: float = 3.0
    broker_wait_s: float = 5.0
    write_budget_mb: int = WRITE_BUDGET_MB
    drill: Drill = field(default_factory=Drill)


@dataclass(frozen=True, slots=True)
class Patient:
    """One gateway as it is found."""

    wanted: Wanted
    config: Config
    process: Process | None
    saved: Saved


def examine(wanted: Wanted) -> Iterator[Diagnosis]:
    """Make every check that is wanted, in order; one that breaks is told, and ends no other."""
    config, wrong = _read_config(wanted.config)
    if "config" in wanted.checks:
        yield from wrong
    patient = None
    if config is not None:
        process = running(wanted.root, config.data_dir)
        patient = Patient(wanted, config, process, read_saved(config.data_dir))
    for name in (each for each in CHECKS if each in wanted.checks):
        if name in _BOARD:
            yield from _guarded(name, partial(_board, wanted, name))
        elif patient is not None and name != "config":
            yield from _guarded(name, partial(_CHECKS[name], patient))


def _guarded(name: str, check: Callable[[], Iterator[Diagnosis]]) -> Iterator[Diagnosis]:
    try:
        yield from check()
    except PermissionError as error:
        yield Diagnosis(name, "", UNSURE, f"not for this user to read: {error.filename}", AS_ROOT)
    except Exception as error:
        text = f"the doctor itself stumbled: {type(error).__name__}: {error}"
        fix = "report this line; the other checks hold"
        yield Diagnosis(name, "", FAULT, text, fix)


def _read_config(path: Path) -> tuple[Config | None, list[Diagnosis]]:
    from edge.config import load_config

    subject = str(path)
    may_not = ""
    try:
        try:
            config = load_config(path)
        except PermissionError as error:  # the folder of its data, where further bundles stand
            config, may_not = load_config(path, site=True), str(error.filename)
    except ConfigError as error:
        found = []
        for mistake in error.mistakes:
            text, fix = split_fix(mistake, f"mend it, and see with talus check --config {path}")
            if "Permission denied" in mistake:
                fix = AS_ROOT
            elif "No such file" in mistake:
                fix = "say where it is: talus doctor --config gateway.toml"
            found.append(Diagnosis("config", subject, FAULT, text, fix, gate=True))
        return None, found
    size = count_text(len(config.ports), "port"), count_text(len(config.stations), "station")
    text = f"gateway {config.name}, {size[0]}, {size[1]}"
    if may_not:
        text += f"; {may_not} is not for this user to read"
        return config, [Diagnosis("config", subject, UNSURE, text, AS_ROOT, gate=True)]
    return config, [Diagnosis("config", subject, OK, text, gate=True)]


_BOARD = ("power", "temperature", "memory", "clock")


def _board(wanted: Wanted, name: str) -> Iterator[Diagnosis]:
    """Make a check that needs no configuration."""
    from edge import doctor_board, doctor_clock

    if name == "clock":
        known_s = doctor_clock.known_time(__file__, wanted.config)
        return doctor_clock.clock(wanted.root, known_s)
    check: Callable[[Root], Iterator[Diagnosis]] = getattr(doctor_board, name)
    return check(wanted.root)


def _service(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_service import service

    return service(p.wanted.root, p.config, p.process, p.saved)


def _storage(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_storage import storage

    budget_mb = p.wanted.write_budget_mb
    return storage(p.wanted.root, p.config, p.process, p.saved.bytes, budget_mb)


def _ports(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_ports import ports

    return ports(p.config, p.process, p.saved, p.wanted.listen_s)


def _values(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_late import late
    from edge.doctor_ports import silence
    from edge.doctor_values import values

    if p.process is not None:
        yield from silence(p.config, p.saved)
    states = {s.name: p.saved.station(s.name) for s in p.config.stations}
    yield from values(p.config, states)
    yield from late(p.config, states)


def _runtime(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_models import runtime

    return runtime(p.config)


def _bundles(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_models import bundles

    return bundles(p.config)


def _trust(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_models import trust

    return trust(p.config, foreign=p.saved.foreign)


def _broker(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_broker import broker

    return broker(p.config, p.wanted.broker_wait_s)


def _certificates(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_broker import certificates

    return certificates(p.config, p.wanted.broker_wait_s)


def _outbox(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_outbox import outbox

    return outbox(p.config, p.process, p.saved)


def _drill(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_drill import drill

    return drill(p.config, p.process, p.wanted.drill, foreign=p.saved.foreign)


def _second_path(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_alarm_path import second_path

    return second_path(p.config, p.process, p.saved)


def _remote(p: Patient) -> Iterator[Diagnosis]:
    from edge.doctor_alarm_path import remote

    return remote(p.config, p.wanted.config)


_CHECKS: dict[str, Check] = {
    "service": _service, "storage": _storage, "ports": _ports, "values": _values,
    "runtime": _runtime, "bundles": _bundles, "trust": _trust, "broker": _broker,
    "certificates": _certificates, "outbox": _outbox, "second_path": _second_path,
    "remote": _remote, "drill": _drill,
}  # fmt: skip
