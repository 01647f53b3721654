"""Recorded serial bytes: what a port gave and when, to be replayed byte for byte.

    # talus-capture 1
    1700000000123 node-1 00030130...

One line a chunk: ms since 1970 when it was read, source, bytes in hex. A chunk of no bytes says
that the port was opened: half a frame from before does not belong to what follows. Remarks say
what else the driver was told: ``# clock 1700000000123 +5000`` that our clock was set, to that time
and by so many ms; ``# tick 1700000000123 node-1`` that a deadline of it had passed, or it was asked
what to write; ``# maintenance 1700000000123 node-1 begin`` (or ``end``) that its port was let go of
for an update of its firmware; ``# order 1700000000123 {...}`` what a person told the gateway.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

HEADER = "# talus-capture 1"
MAX_CHUNK_BYTES = 4096
MAX_SOURCE = 64
FLUSH_BYTES = 65_536
FLUSH_MS = 1_000
"""A crash loses at most this much of a capture (of bytes, or of time between chunks)."""

_CLOCK = "# clock"
_TICK = "# tick"
_MAINTENANCE = "# maintenance"
_CLOCK_SET = re.compile(_CLOCK + r" (\d{1,18}) ([+-]\d{1,18})", re.ASCII)
_TICKED = re.compile(_TICK + r" (\d{1,18}) ([!-~]{1,64})", re.ASCII)
_ORDER = "# order"
_MAINTAINED = re.compile(_MAINTENANCE + r" (\d{1,18}) ([!-~]{1,64}) (begin|end)", re.ASCII)
_ORDERED = re.compile(_ORDER + r" (\d{1,18}) ([ -~]{1,4200})", re.ASCII)
_MAX_LINE = 20 + MAX_SOURCE + 2 * MAX_CHUNK_BYTES + 3


class CaptureError(ValueError):
    """A capture that cannot be read; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of one source that were read together."""

    received_ms: int
    source: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The clock that gives ``received_ms`` was set: by ``step_ms``, to ``received_ms``."""

    received_ms: int
    step_ms: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline of this source's driver passed, or it gave something to write."""

    received_ms: int
    source: str


@dataclass(frozen=True, slots=True)
class Maintained:
    """Maintenance of this source's port began, or ended."""

    received_ms: int
    source: str
    begun: bool


@dataclass(frozen=True, slots=True)
class Ordered:
    """A person told the gateway to do something; ``text`` says what, in one line."""

    received_ms: int
    text: str


Event = Chunk | ClockSet | Tick | Maintained | Ordered
"""What a capture holds."""


class CaptureWriter:
    """Writes a capture; an existing file is continued. Use as a context, or close it.

    OSError (a full disk) goes to the caller, who decides whether recording matters.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        _cut_half_line(self.path)
        self._file: IO[str] = self.path.open("a", encoding="ascii", newline="\n")
        self._unflushed = 0
        self._flushed_ms: int | None = None
        if self._file.tell() == 0:
            self._file.write(HEADER + "\n")
            self._file.flush()

    def write(self, received_ms: int, source: str, data: bytes) -> None:
        """Append one chunk; ValueError if the source is no single word."""
        if not is_source(source):
            raise ValueError(f"source {source!r}: 1..{MAX_SOURCE} printable characters, no blanks")
        for start in range(0, max(1, len(data)), MAX_CHUNK_BYTES):
            part = data[start : start + MAX_CHUNK_BYTES]
            self._unflushed += self._file.write(f"{received_ms} {source} {part.hex()}\n")
        self._flush_if_due(received_ms)

    def clock_set(self, received_ms: int, step_ms: int) -> None:
        """Note that our clock was set, to ``received_ms`` and by ``step_ms``."""
        self._unflushed += self._file.write(f"{_CLOCK} {received_ms} {step_ms:+d}\n")
        self._flush_if_due(received_ms)

    def tick(self, now_ms: int, source: str) -> None:
        """Note that a driver was called because of the time."""
        self._unflushed += self._file.write(f"{_TICK} {now_ms} {source}\n")
        self._flush_if_due(now_ms)

    def maintained(self, now_ms: int, source: str, *, begun: bool) -> None:
        """Note that maintenance of a port began, or ended."""
        word = "begin" if begun else "end"
        self._unflushed += self._file.write(f"{_MAINTENANCE} {now_ms} {source} {word}\n")
        self._flush_if_due(now_ms)

    def ordered(self, now_ms: int, text: str) -> None:
        """Note what a person told the gateway to do: one line of ASCII."""
        self._unflushed += self._file.write(f"{_ORDER} {now_ms} {text}\n")
        self._flush_if_due(now_ms)

    def _flush_if_due(self, received_ms: int) -> None:
        if self._flushed_ms is None:
            self._flushed_ms = received_ms
        late = not 0 <= received_ms - self._flushed_ms < FLUSH_MS
        if late or self._unflushed >= FLUSH_BYTES:
            self._file.flush()
            self._unflushed = 0
            self._flushed_ms = received_ms

    def close(self) -> None:
        """Write what is left and close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _cut_half_line(path: Path) -> None:
    """Take off a last line that a power cut left half written: what follows must stand alone."""
    if not path.is_file():
        return
    with path.open("r+b") as file:
        first = file.read(len(HEADER) + 1)
        size = file.seek(0, 2)
        start = file.seek(max(0, size - _MAX_LINE))
        whole, end, _ = file.read().rpartition(b"\n")
        if first == HEADER.encode() + b"\n" and end:
            file.truncate(start + len(whole) + 1)
        elif HEADER.encode().startswith(first):
            file.truncate(0)


def is_source(text: str) -> bool:
    """Say whether a text can name a source: one short word of printable ASCII."""
    return 0 < len(text) <= MAX_SOURCE and text.isascii() and text.isprintable() and " " not in text


def read_capture(path: Path | str) -> Iterator[Event]:
    """Give the chunks of a capture in order, and what happened between them.

    CaptureError, with file and line, at the first line that is damaged or cut short; the chunks
    before it have been given. OSError if the file cannot be opened.
    """
    with Path(path).open("rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE + 1):
            number += 1
            if number == 1:
                if line.rstrip(b"\r\n") != HEADER.encode():
                    raise CaptureError(f"{path}:1: not a capture: the first line is not {HEADER!r}")
                continue
            try:
                chunk = _parse(line)
            except ValueError as error:
                raise CaptureError(f"{path}:{number}: {error}") from None
            if chunk is not None:
                yield chunk
        if number == 0:
            raise CaptureError(f"{path}:1: empty, not even the line {HEADER!r}")


def _parse(line: bytes) -> Event | None:
    if not line.endswith(b"\n"):
        raise ValueError("longer than a line may be" if len(line) > _MAX_LINE else "cut short")
    text = line.decode("ascii", "replace").rstrip("\r\n")
    if not text or text.startswith("#"):
        return _parse_remark(text)
    words = text.split(" ")
    if len(words) != 3:
        raise ValueError(f"{len(words)} words, not 'received_ms source hexbytes'")
    time, source, digits = words
    if not (time.isascii() and time.isdecimal() and len(time) <= 18):
        raise ValueError(f"received_ms {time[:20]!r} is no whole number")
    if not is_source(source):
        raise ValueError(f"source {source[:20]!r} is no name")
    if len(digits) > 2 * MAX_CHUNK_BYTES:
        raise ValueError(f"a chunk of {len(digits) // 2} bytes, at most {MAX_CHUNK_BYTES}")
    try:
        return Chunk(int(time), source, bytes.fromhex(digits))
    except ValueError:
        raise ValueError("the bytes are not in hexadecimal") from None


def _parse_remark(text: str) -> ClockSet | Tick | Maintained | Ordered | None:
    found = _CLOCK_SET.fullmatch(text)
    if found is not None:
        return ClockSet(int(found[1]), int(found[2]))
    found = _TICKED.fullmatch(text)
    if found is not None:
        return Tick(int(found[1]), found[2])
    found = _MAINTAINED.fullmatch(text)
    if found is not None:
        return Maintained(int(found[1]), found[2], found[3] == "begin")
    found = _ORDERED.fullmatch(text)
    return None if found is None else Ordered(int(found[1]), found[2])
