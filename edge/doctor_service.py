"""The program itself: whether it runs, goes on, and comes back by itself after a power cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.doctor_diagnosis import AS_ROOT, FAULT, OK, SKIPPED, UNSURE, WARN, Diagnosis, span_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.config import Config
    from edge.doctor_process import Process
    from edge.doctor_root import Root
    from edge.doctor_saved import Saved

UNIT = "talus.service"
_ASKED = "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState,StatusText"
OFTEN = 3
"""Restarts since it was started by hand or with the board: once may be a power dip."""
_LOG = "read why: journalctl -u talus -n 50"
SAVES_LATE = 3
"""Snapshots that may fail to appear before the program is taken for hung."""
_SLACK_S = 60.0


def service(
    root: Root, config: Config, process: Process | None, saved: Saved
) -> Iterator[Diagnosis]:
    """Say whether this gateway watches now, and whether it will after the next start."""
    unit = _unit(root)
    if process is None and saved.foreign:
        text = "whether talus run is at work is not for this user to see"
        yield Diagnosis("service", "", UNSURE, text, AS_ROOT, gate=True)
    elif process is None:
        text = "talus run is not at work here: the slope is not watched"
        fix = "start it: talus run --config gateway.toml"
        fix = f"start it (systemctl start talus); {_LOG}" if unit else fix
        yield Diagnosis("service", "", FAULT, text, fix, gate=True)
    else:
        yield _goes_on(config, process, saved)
    if unit is None:
        text = "no systemd here that would start it"
        text = text if not root.exists("run/systemd/system") else f"{UNIT} is not installed"
        yield Diagnosis("service", "systemd", SKIPPED, text)
    else:
        yield from _judge(unit)


def _goes_on(config: Config, process: Process, saved: Saved) -> Diagnosis:
    """Say whether it saves what it must save now and then: one that hangs does not."""
    who = f"talus run is at work (process {process.pid})" if process.pid else "talus run is at work"
    limit_s = SAVES_LATE * config.snapshot_every_ms / 1000 + _SLACK_S
    # Not longer than it runs: the clock may have been set, and the file be of the last run.
    idle_s = min(saved.age_s, process.age_s) if process.age_s else saved.age_s
    if saved.exists and not saved.foreign and idle_s > limit_s:
        text = f"{who}, but has saved nothing for {span_text(idle_s)}: it hangs, or cannot"
        fix = f"restart it (systemctl restart talus), and {_LOG}"
        return Diagnosis("service", "", FAULT, text, fix, idle_s, "s", gate=True)
    text = f"{who}, for {span_text(process.age_s)}" if process.age_s else who
    return Diagnosis("service", "", OK, text, value=process.age_s, unit="s", gate=True)


def _unit(root: Root) -> dict[str, str] | None:
    """Ask systemd for our unit; None where there is no systemd, or no such unit."""
    if not root.exists("run/systemd/system"):
        return None
    said = root.ask("systemctl", "show", UNIT, "-p", _ASKED)
    if said is None:
        return None
    found = dict(line.partition("=")[::2] for line in said.splitlines())
    return found if found.get("LoadState") == "loaded" else None


def _judge(unit: dict[str, str]) -> Iterator[Diagnosis]:
    active, result = unit.get("ActiveState", ""), unit.get("Result", "")
    status = unit.get("StatusText", "")
    if active == "failed":
        text = f"systemd has given {UNIT} up: {result}"
        fix = f"{_LOG}; then systemctl reset-failed talus && systemctl start talus"
        yield Diagnosis("service", "systemd", FAULT, text, fix, gate=True)
    elif active not in {"active", "reloading"}:
        text = f"{UNIT} is {active or 'unknown'} ({unit.get('SubState', '')})"
        fix = f"start it: systemctl start talus; {_LOG}"
        yield Diagnosis("service", "systemd", FAULT, text, fix, gate=True)
    elif status.startswith("no progress"):
        fix = f"wait for the watchdog to restart it; {_LOG}"
        yield Diagnosis("service", "systemd", FAULT, f"it says: {status}", fix, gate=True)
    else:
        text = f"{UNIT} is active" + (f": {status}" if status else "")
        yield Diagnosis("service", "systemd", OK, text, gate=True)
    restarts = unit.get("NRestarts", "")
    if restarts.isdecimal() and int(restarts) >= OFTEN:
        text = f"it was restarted {restarts} times, the last end: {result}"
        yield Diagnosis("service", "restarts", WARN, text, _LOG, float(restarts), "restarts")
    if unit.get("UnitFileState") == "disabled":
        text = f"{UNIT} is not started with the board: after a power cut nothing is watched"
        fix = "let it be started: systemctl enable talus"
        yield Diagnosis("service", "start", FAULT, text, fix)
