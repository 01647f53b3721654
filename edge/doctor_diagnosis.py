"""What the doctor says of one thing: how it is, what is wrong in plain words, and one fix. Pure."""

from __future__ import annotations

from dataclasses import dataclass

OK, UNSURE, SKIPPED, WARN, FAULT = "ok", "unsure", "skipped", "warn", "fault"
STATES = (OK, UNSURE, SKIPPED, WARN, FAULT)
CHECKS = (
    "config", "service", "power", "temperature", "memory", "clock", "storage", "ports", "values",
    "runtime", "bundles", "trust", "broker", "certificates", "outbox", "second_path", "remote",
    "drill",
)  # fmt: skip
"""In the order in which they are made: what the others rest upon comes first."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at.

    ``state`` unsure: only a person can tell; skipped: this board or this site has no such thing.
    ``gate``: an update can have broken it, so it counts for whoever asks whether to keep one.
    """

    check: str
    subject: str
    """Which one: a folder, a port, a station, a broker; "" where there is one alone."""
    state: str
    text: str
    fix: str = ""
    value: float | None = None
    """The figure that the text rests upon, where there is one."""
    unit: str = ""
    gate: bool = False


AS_ROOT = "run this as root, or as the user of the gateway"
"""The fix for what a user may not see."""


def count_of(diagnoses: list[Diagnosis], state: str) -> int:
    """Return how many are in a state."""
    return sum(each.state == state for each in diagnoses)


def exit_code(diagnoses: list[Diagnosis], *, gate: bool, strict: bool) -> int:
    """Return 0 where all is well, 1 where something needs attention.

    A gate does not let through what it could not see.
    """
    states = {FAULT} | ({WARN} if strict else set()) | ({UNSURE} if gate else set())
    return int(any(d.state in states and (d.gate or not gate) for d in diagnoses))


def split_fix(text: str, fix: str) -> tuple[str, str]:
    """Split a sentence of `talus check` into what is wrong and what to do; ``fix`` is the default.

    There what to do stands last, mostly as a question.
    """
    for mark in ("; ", ": "):
        what, found, last = text.rpartition(mark)
        if found and (mark == "; " or "?" in last):
            return what, f"check: {last}" if "?" in last else last
    return text, fix


def count_text(count: int, word: str) -> str:
    """Return a count for a person: 1 port, 2 ports."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def span_text(seconds: float) -> str:
    """Return a span of time for a person."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
