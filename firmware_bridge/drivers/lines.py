"""The driver for loggers that send delimited lines (CSV, Campbell TOA5 tables, blank-separated).

The lines of a TOA5 header are let pass wherever they come; where columns are given by name, they
tell which is which, and a table that has changed is read anew or refused ("schema").
Lines end in LF, CR or both. They carry no checksum: a bit flip that leaves a digit a digit gives a
wrong value, and only the quality limits of the gateway can tell. Prefer TW1 where one can choose.
"""

from __future__ import annotations

import math
from collections import Counter

from firmware_bridge.line_format import MAX_LINE, LineFormat
from firmware_bridge.reading import Dropped, LinkHealth, Reading
from firmware_bridge.toa5 import Toa5Header, places

REMEMBERED_RECORDS = 64
"""Lines back, among which one that comes again is known as a duplicate."""
_DETAIL_LENGTH = 60
_TOO_LONG = f"no end of line within {MAX_LINE} bytes"

__all__ = ["MAX_LINE", "LineDriver", "LineFormat"]


class LineDriver:
    """One logger on one port; see `reading.Driver`. Listens only.

    The first line after `opened` may be the rest of one that began before: if its column count is
    wrong it is "partial", not "columns". If the cut fell inside its first column, the count is
    right and the line is taken: have the logger send its time or record number first, as a cut one
    is refused or stands out.
    """

    def __init__(self, source: str, format: LineFormat) -> None:
        self.source = source
        self._format = format
        self._names = format.names
        self._delimiter = None if format.delimiter == "whitespace" else format.delimiter
        self._indices = [column for _, column in format.columns if isinstance(column, int)]
        self._column_count = -1 if format.is_named else format.column_count
        self._header = Toa5Header()
        self._unmapped = "no TOA5 header has come yet" if format.is_named else ""
        self._missing = frozenset(format.missing)
        self._missing_numbers = frozenset(map(_missing_number, format.missing)) - {None}
        self._read_time = format.time_reader()
        self._held = b""
        self._skipping = False  # the line is too long and was given: wait for its end
        self._joined = False  # no line has ended since the port was opened
        self._cut_short = 0
        self._last_record = -1
        self._recent: dict[int, str] = {}
        self._lines_ok = self._gaps = self._duplicates = self._reboots = 0
        self._dropped: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()

    def opened(self, now_ms: int) -> None:
        """Forget the half line."""
        self._cut_short = len(self._held) or self._cut_short
        self._held = b""
        self._skipping = False
        self._joined = True

    def shift(self, step_ms: int) -> None:
        """Do nothing: a line holds its own time, or is from when it arrived."""

    def write_next(self, now_ms: int) -> bytes:
        """Give nothing: such loggers are not asked."""
        return b""

    def due_ms(self, now_ms: int) -> int | None:
        """Give None: a logger speaks by itself."""
        return None

    def receive(self, data: bytes, now_ms: int) -> list[Reading | Dropped]:
        """Take any bytes at all; never raises."""
        found: list[Reading | Dropped] = []
        if not (data or self._cut_short):
            return found
        if self._cut_short:
            found.append(self._drop("truncated", "the port vanished", now_ms, self._cut_short))
            self._cut_short = 0
        lines = (self._held + data).replace(b"\r", b"\n").split(b"\n")
        tail = lines.pop()
        for line in lines:
            if self._skipping:
                self._skipping = self._joined = False
                continue
            taken = self._take(line, now_ms)
            if taken is not None:
                found.append(taken)
            self._joined = False
        if self._skipping:
            tail = b""
        elif len(tail) > MAX_LINE:
            found.append(self._drop("too_long", _TOO_LONG, now_ms, MAX_LINE + 1))
            self._skipping = True
            tail = b""
        self._held = tail
        return found

    def _take(self, line: bytes, now_ms: int) -> Reading | Dropped | None:
        size = len(line)
        if size > MAX_LINE:
            return self._drop("too_long", _TOO_LONG, now_ms, MAX_LINE + 1)
        if not size or line.isspace():
            return None
        text = _printable(line)
        if text is None:
            return self._drop("encoding", repr(line[:_DETAIL_LENGTH]), now_ms, size)
        if self._format.comment and text.startswith(self._format.comment):
            self._ignored["comment"] += 1
            return None
        fields = text.split(self._delimiter)
        if len(fields) != self._column_count:
            return self._misfit(text, len(fields), now_ms)
        if '"' in text:
            fields = list(map(_unquoted, fields))
        return self._take_fields(text, fields, now_ms)

    def _misfit(self, text: str, count: int, now_ms: int) -> Dropped | None:
        """Refuse a line that is not of the layout, unless it is of a header."""
        reason, why = "columns", f"{count} columns, not {self._column_count}"
        if self._unmapped:
            reason, why = "schema", self._unmapped
        if self._joined:
            reason = "partial"
        return self._refuse(reason, f"{why}: {text[:_DETAIL_LENGTH]}", text, now_ms)

    def _refuse(self, reason: str, detail: str, text: str, now_ms: int) -> Dropped | None:
        if self._is_header(text):
            return None
        return self._drop(reason, detail, now_ms, len(text))

    def _is_header(self, text: str) -> bool:
        """Take a line of a TOA5 header; new names may lead to another layout."""
        kind = "" if self._delimiter is None else self._header.take(text, self._delimiter)
        if kind == "names" and self._format.is_named:
            self._map(self._header.names)
        self._ignored["header"] += bool(kind)
        return bool(kind)

    def _map(self, names: tuple[str, ...]) -> None:
        format_ = self._format
        found = places(names, tuple(str(column) for _, column in format_.columns))
        self._unmapped = found if isinstance(found, str) else ""
        if format_.column_count not in (0, len(names)):
            self._unmapped = f"the header has {len(names)} columns, not {format_.column_count}"
        elif max(format_.time_column or 0, format_.record_column or 0) >= len(names):
            self._unmapped = "time_column or record_column is not in the header"
        if self._unmapped or isinstance(found, str):
            self._column_count = -1  # no line has so many
        else:
            self._indices, self._column_count = found, len(names)

    def _take_fields(self, text: str, fields: list[str], now_ms: int) -> Reading | Dropped | None:
        format_ = self._format
        time_ms = now_ms
        if format_.time_column is not None:
            try:
                time_ms = self._read_time(fields[format_.time_column].strip())
            except (ValueError, OverflowError) as error:
                detail = f"{fields[format_.time_column][:_DETAIL_LENGTH]!r}: {error}"
                return self._refuse("time", detail[: 3 * _DETAIL_LENGTH], text, now_ms)
        record = -1
        if format_.record_column is not None:
            number = fields[format_.record_column].strip()
            if not number.isdecimal() or len(number) > 18:
                detail = f"record number {number[:_DETAIL_LENGTH]!r}"
                return self._refuse("record", detail, text, now_ms)
            record = int(number)
            if self._seen_before(record, text):
                return self._drop("duplicate", f"record {record}", now_ms, len(text))
        values = self._values([fields[i] for i in self._indices])
        if all(map(math.isnan, values)):
            return self._drop("empty", text[:_DETAIL_LENGTH], now_ms, len(text))
        self._lines_ok += 1
        return Reading(self.source, time_ms, record, self._names, values, now_ms)

    def _seen_before(self, record: int, text: str) -> bool:
        recent = self._recent
        if recent.get(record) == text:
            self._duplicates += 1
            return True
        if record < self._last_record:
            self._reboots += 1
            recent.clear()
        elif self._last_record >= 0 and record > self._last_record:
            self._gaps += record - self._last_record - 1
        self._last_record = record
        recent[record] = text
        if len(recent) > REMEMBERED_RECORDS:
            del recent[next(iter(recent))]
        return False

    def _values(self, texts: list[str]) -> tuple[float, ...]:
        try:
            values = tuple(map(float, texts))
        except ValueError:
            return tuple(map(self._value, texts))
        if (
            math.isfinite(sum(values))
            and self._missing_numbers.isdisjoint(values)
            and not any("_" in text for text in texts)
        ):
            return values
        return tuple(map(self._value, texts))

    def _value(self, text: str) -> float:
        """Read one value the slow way; NaN, and counted, where there is none."""
        text = text.strip()
        value = _number(text)
        if text in self._missing or value in self._missing_numbers:
            reason = "missing"
        elif value is None:
            reason = "text"
        elif math.isfinite(value):
            return value
        else:
            reason = "nan" if math.isnan(value) else "inf"
        self._rejected[reason] += 1
        return math.nan

    def _drop(self, reason: str, detail: str, now_ms: int, size: int) -> Dropped:
        self._dropped[reason] += 1
        return Dropped(self.source, reason, detail, now_ms, size)

    def health(self) -> LinkHealth:
        """Give the counters so far."""
        return LinkHealth(
            source=self.source,
            frames_ok=self._lines_ok,
            dropped=tuple(sorted(self._dropped.items())),
            values_rejected=tuple(sorted(self._rejected.items())),
            gaps=self._gaps,
            duplicates=self._duplicates,
            reboots=self._reboots,
            battery_mv=None,
            node_uid=None,
            firmware=None,
            ignored=tuple(sorted((+self._ignored).items())),
        )


def _printable(line: bytes) -> str | None:
    """Give a line as text; None if it has a byte that is not printable ASCII or a tab."""
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() or text.replace("\t", " ").isprintable() else None


def _number(text: str) -> float | None:
    if "_" in text:  # Python reads 1_0 as 10
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _missing_number(text: str) -> float | None:
    number = _number(text)
    return number if number is not None and math.isfinite(number) else None


def _unquoted(field: str) -> str:
    field = field.strip()
    return field[1:-1] if len(field) > 1 and field[0] == field[-1] == '"' else field
