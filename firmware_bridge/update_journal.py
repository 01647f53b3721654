"""The journal of an update on disk: one JSON line a step, flushed before the step is done.

A folder for each node:

    update.jsonl      the setup, then a state a line; the last whole line is where the update stands
    manifest.json, manifest.json.minisig, image.bin, key.pub     what is written, for `resume`
    backup.bin        the old image, where the node has one slot

A torn last line is what a power cut leaves, and is cut off. The file is bounded: it is written
anew with its first and last line when it grows too long.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

from firmware_bridge.update_state import Outcome, State, Step
from firmware_bridge.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

JOURNAL_FILE = "update.jsonl"
MAX_JOURNAL_BYTES = 256 * 1024
_MAX_TEXT = 1024
_MAX_NUMBER = 2**53


class JournalError(Exception):
    """The journal cannot be read or written; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How an update was started, so that it can be resumed with nothing but the folder."""

    target: str
    """Kind: mcuboot, esp32, stm32, avr or sim."""
    port: str
    name: str
    """Of the port in the gateway's configuration."""
    baud: int = 115_200
    data_baud: int = 115_200
    """Of the running image, for HELLO and samples."""
    part: str = ""
    """avr: the part; stm32: the family; esp32: the chip."""
    programmer: str = ""
    """avr only."""
    address: int = 0
    """Where the image begins in the flash; one slot only."""
    min_battery_mv: int = 0
    good_samples: int = 5
    counter_floor: int | None = None
    """Highest counter confirmed on this node before, as this folder knows."""
    counter: int = 0
    """Of the manifest; becomes the floor once it is confirmed."""
    gateway: str = ""
    """Folder of the notes to and from the gateway; "" for none."""
    maintenance_min: int = 30


class Journal:
    """The journal of one node's update."""

    def __init__(
        self,
        folder: Path,
        setup: Setup,
        state: State,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self.path = folder / JOURNAL_FILE
        self.setup = setup
        self.state = state
        self._sync = sync

    @classmethod
    def start(
        cls,
        folder: Path,
        setup: Setup,
        now_ms: int,
        sync: Callable[[int], None] = os.fsync,
    ) -> Self:
        """Begin anew, in one step. JournalError while an update is unfinished there."""
        last = cls.read(folder, sync)
        if last is not None and not last.ended:
            raise JournalError(f"{last.path}: an update is unfinished: talus-flash resume first")
        journal = cls(folder, setup, State(), sync)
        journal._rewrite(now_ms)
        return journal

    @classmethod
    def read(cls, folder: Path, sync: Callable[[int], None] = os.fsync) -> Self | None:
        """Read the journal of a folder; None where there is none. JournalError if damaged."""
        path = folder / JOURNAL_FILE
        try:
            if not path.exists():
                return None
            if not path.is_file():  # a pipe would be waited for
                raise JournalError(f"{path}: is no file: remove it")
            with path.open("rb") as file:
                data = file.read(4 * MAX_JOURNAL_BYTES + 1)
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror or error}") from error
        if len(data) > 4 * MAX_JOURNAL_BYTES:
            raise JournalError(f"{path}: too large to be a journal: move it away, then update")
        setup, state = _parse(data)
        if setup is None or state is None:
            raise JournalError(f"{path}: damaged from its start: move it away, then update")
        return cls(folder, setup, state, sync)

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do: confirmed, refused or reverted."""
        return self.state.outcome not in (Outcome.NONE, Outcome.INTERRUPTED)

    @property
    def floor(self) -> int | None:
        """Highest counter known to be confirmed on this node, for the next update."""
        known = [] if self.setup.counter_floor is None else [self.setup.counter_floor]
        if self.state.outcome is Outcome.CONFIRMED:
            known.append(self.setup.counter)
        return max(known, default=None)

    def append(self, state: State, now_ms: int) -> None:
        """Put a state on disk; when this returns it survives a power cut."""
        line = _line({"at_ms": now_ms, "state": asdict(state)})
        self.state = state
        try:
            with self.path.open("r+b") as file:
                end = _whole(file.read(4 * MAX_JOURNAL_BYTES))
                if end + len(line) <= MAX_JOURNAL_BYTES:
                    file.seek(end)
                    file.truncate()
                    file.write(line)
                    file.flush()
                    self._sync(file.fileno())
                    return
            self._rewrite(now_ms)
        except OSError as error:
            raise JournalError(
                f"{self.path}: {error.strerror or error}: nothing more is done to the node: "
                "make room, then talus-flash resume"
            ) from error

    def _rewrite(self, now_ms: int) -> None:
        first = _line({"format": 1, "setup": asdict(self.setup)})
        last = _line({"at_ms": now_ms, "state": asdict(self.state)})
        write_whole(self.path, first + last, self._sync)


def _line(values: dict[str, Any]) -> bytes:
    text = json.dumps(values, default=_enum_value, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def _enum_value(value: object) -> str:
    if not isinstance(value, Enum):
        raise TypeError(f"{type(value).__name__} in a journal")
    return str(value.value)


def _whole(data: bytes) -> int:
    """Give where the last line that is whole and sound ends."""
    end = data.rfind(b"\n") + 1
    while end:
        start = data.rfind(b"\n", 0, end - 1) + 1
        if _object(data[start:end]):
            return end
        end = start
    return 0


def _parse(data: bytes) -> tuple[Setup | None, State | None]:
    lines = data[: _whole(data)].split(b"\n")
    setup = _setup(_object(lines[0]))
    for line in reversed(lines[1:]):
        state = _state(_object(line))
        if state is not None:
            return setup, state
    return setup, None


def _object(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _setup(values: dict[str, Any]) -> Setup | None:
    fields = _fields(values.get("setup"), Setup.__slots__)
    return None if fields is None or values.get("format") != 1 else Setup(**fields)


def _state(values: dict[str, Any]) -> State | None:
    fields = _fields(values.get("state"), State.__slots__)
    if fields is None:
        return None
    try:
        fields["phase"], fields["doing"] = Step(fields["phase"]), Step(fields["doing"])
        fields["outcome"] = Outcome(fields["outcome"])
    except ValueError:
        return None
    return State(**fields)


_TEXTS = {"target", "port", "name", "part", "programmer", "gateway"}
_TEXTS |= {"phase", "doing", "old", "outcome", "detail"}


def _fields(found: object, names: Iterable[str]) -> dict[str, Any] | None:
    """Give just the fields asked for, each of its kind and bounded; None if they are not."""
    if not isinstance(found, dict) or set(found) != set(names):
        return None
    for key, value in found.items():
        if key in _TEXTS:
            sound = isinstance(value, str) and len(value) <= _MAX_TEXT
        elif value is None:
            sound = key == "counter_floor"
        else:
            sound = type(value) is int and 0 <= value <= _MAX_NUMBER
        if not sound:
            return None
    return found
