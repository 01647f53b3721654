"""The doctor's diagnoses as lines for a person and grep, and as JSON. Pure."""

from __future__ import annotations

import math
from typing import Any

from edge import __version__
from edge.doctor_diagnosis import FAULT, OK, SKIPPED, UNSURE, WARN, Diagnosis, count_of

FORMAT = 1
WORDS = {OK: "ok  ", UNSURE: "??  ", SKIPPED: "--  ", WARN: "WARN", FAULT: "FAIL"}
_COLOURS = {OK: "32", UNSURE: "36", SKIPPED: "2", WARN: "33", FAULT: "1;31"}


def line_of(diagnosis: Diagnosis, *, colours: bool = False) -> str:
    """Write one line: how it is, which check, of what, what is wrong, and the fix."""
    word = WORDS[diagnosis.state]
    if colours:
        word = f"\x1b[{_COLOURS[diagnosis.state]}m{word}\x1b[0m"
    subject = f" {_clean(diagnosis.subject)}" if diagnosis.subject else ""
    text, fix = _clean(diagnosis.text), _clean(diagnosis.fix)
    if not fix or diagnosis.state in (OK, SKIPPED):
        return f"{word} {diagnosis.check}{subject}: {text}"
    end = "" if fix.endswith(("?", ".")) else "."
    return f"{word} {diagnosis.check}{subject}: {text}. Fix: {fix}{end}"


def _clean(text: str) -> str:
    """Leave out what would break the line or speak to the terminal: names come from devices."""
    return "".join(c if c.isprintable() else "?" for c in text)


def summary(diagnoses: list[Diagnosis], code: int, *, gate: bool) -> str:
    """Write the last line."""
    counts = ((FAULT, "to mend"), (WARN, "to look after"), (UNSURE, "only you can judge"))
    found = [(count_of(diagnoses, state), words) for state, words in counts]
    told = ", ".join(f"{count} {words}" for count, words in found if count) or "all well"
    if gate:
        return f"health gate: {'pass' if code == 0 else 'fail'} ({told})"
    return told


def _figure(value: float | None) -> float | None:
    return round(value, 6) if value is not None and math.isfinite(value) else None


def json_values(
    diagnoses: list[Diagnosis], gateway: str, time_ms: int, code: int
) -> dict[str, Any]:
    """Return all of it as JSON values, as edge/schemas/doctor.json says."""
    return {
        "format": FORMAT,
        "gateway": gateway,
        "version": __version__,
        "time_ms": time_ms,
        "exit_code": code,
        "faults": count_of(diagnoses, FAULT),
        "warnings": count_of(diagnoses, WARN),
        "diagnoses": [
            {
                "check": d.check,
                "subject": d.subject,
                "state": d.state,
                "text": d.text,
                "fix": d.fix,
                "value": _figure(d.value),
                "unit": d.unit,
                "gate": d.gate,
            }
            for d in diagnoses
        ],
    }
