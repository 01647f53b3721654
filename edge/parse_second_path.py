"""The table [second_path] of gateway.toml: what goes out when the broker is away for long."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.fields import Table

MAX_NUMBERS = 16
MAX_OUTPUTS = 8
MAX_ARGUMENTS = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True, slots=True)
class SmsConfig:
    """A serial modem, and whom it tells."""

    device: str
    baud: int
    numbers: tuple[str, ...]
    pin_file: str
    max_per_hour: int
    """For each number."""
    result_ms: int
    """How long a modem may take to say that a text has gone."""


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """A siren, a relay, a lamp: a program that switches it. Never a shell."""

    name: str
    command: tuple[str, ...]
    level: int
    timeout_ms: int
    tries: int
    always: bool
    """At once, and not only while the broker is away."""
    drills: bool


@dataclass(frozen=True, slots=True)
class SecondPathConfig:
    """What goes out, and after how long without a broker."""

    after_ms: int
    level: int
    no_data: bool
    drills: bool
    everything: bool
    sms: SmsConfig | None
    outputs: tuple[OutputConfig, ...]


NO_SECOND_PATH = SecondPathConfig(
    300_000, 2, no_data=True, drills=True, everything=False, sms=None, outputs=()
)


def parse_second_path(t: Table) -> SecondPathConfig:
    """Read the table."""
    outputs = tuple(_output(each) for each in t.tables("output"))
    config = SecondPathConfig(
        after_ms=round(t.number("after_minutes", 5.0, low=0.05, high=1440.0) * 60_000),
        level=t.integer("level", 2, low=1, high=4),
        no_data=t.flag("no_data", True),
        drills=t.flag("drills", True),
        everything=t.flag("all", False),
        sms=_sms(t.table("sms")) if t.has("sms") else None,
        outputs=outputs,
    )
    names = [each.name for each in outputs]
    if len(set(names)) < len(names):
        t.wrong("output", "names must differ")
    if len(outputs) > MAX_OUTPUTS:
        t.wrong("output", f"{MAX_OUTPUTS} at most")
    t.done()
    return config


def _sms(t: Table) -> SmsConfig:
    from firmware_bridge.modem_words import is_number

    numbers = t.texts("numbers")
    for number in numbers:
        if not is_number(number):
            t.wrong("numbers", f"{number!r}: digits alone, best as +CountryAreaNumber")
    if not 0 < len(set(numbers)) == len(numbers) <= MAX_NUMBERS:
        t.wrong("numbers", f"1 to {MAX_NUMBERS}, each once")
    sms = SmsConfig(
        device=t.text("device"),
        baud=t.integer("baud", 115_200, low=50, high=4_000_000),
        numbers=numbers,
        pin_file=t.text("pin_file", ""),
        max_per_hour=t.integer("max_per_hour", 10, low=1, high=1000),
        result_ms=round(t.number("result_s", 120.0, low=1.0, high=600.0) * 1000),
    )
    t.done()
    return sms


def _output(t: Table) -> OutputConfig:
    name = t.text("name")
    if not _NAME.fullmatch(name):
        t.wrong("name", f"{name!r}: 1 to 32 letters, digits, '_', '.' or '-'")
    command = t.texts("command")
    if not command or not command[0].startswith("/"):
        t.wrong("command", 'a list, the program first by its whole path: ["/usr/bin/siren", "on"]')
    if len(command) > MAX_ARGUMENTS or any("\0" in word for word in command):
        t.wrong("command", f"{MAX_ARGUMENTS} words at most, none with a NUL")
    output = OutputConfig(
        name=name,
        command=command,
        level=t.integer("level", 3, low=1, high=4),
        timeout_ms=round(t.number("timeout_s", 30.0, low=0.1, high=600.0) * 1000),
        tries=t.integer("tries", 3, low=1, high=20),
        always=t.flag("always", False),
        drills=t.flag("drills", False),
    )
    t.done()
    return output
