"""How a logger writes its lines: `LineFormat`, checked when it is made, and its time column."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINE = 2048
"""Longest line, bytes without its end."""
MAX_COLUMNS = 256
MAX_TIME_MS = 7_258_118_400_000
"""2200-01-01 UTC; times before 1970 or from here on are refused."""
MISSING = ("", "NAN", "NaN", "nan", "INF", "-INF", "null", "-9999", "-99999")
"""What loggers write for "no value"; -9999 also matches -9999.0."""

_UTC = timezone.utc
_EPOCH = datetime(1970, 1, 1, tzinfo=_UTC)
_PROBE = datetime(2031, 10, 25, 17, 46)
_SHORTEST_ISO = len("2031-10-25T17:46")


@dataclass(frozen=True, slots=True)
class LineFormat:
    """Columns of a delimited line. ValueError, naming the field, if it contradicts itself."""

    delimiter: str
    """One character, or "whitespace" for any run of blanks and tabs."""
    columns: tuple[tuple[str, int | str], ...]
    """(channel name, zero-based column); the order is that of a reading's values.

    Or (channel name, column name) for all of them: then a TOA5 header tells where they are, and
    lines before the first header are refused.
    """
    column_count: int
    """Exact: a line with another count is refused, as it was cut or merged. 0: as the header."""
    time_column: int | None = None
    """None: the time of arrival."""
    time_format: str = "iso"
    """"iso", "epoch_s", "epoch_ms", or a format of `datetime.strptime`."""
    utc_offset_minutes: int = 0
    """Of the logger's clock, east positive; a time that states its own offset keeps that."""
    record_column: int | None = None
    """Running number of the line: gives gaps, duplicates and reboots."""
    encoding: str = "ascii"
    comment: str = "#"
    """Lines that begin so are let pass; "" for none."""
    missing: tuple[str, ...] = MISSING

    def __post_init__(self) -> None:
        """Check what a configuration can get wrong."""
        if self.delimiter != "whitespace" and (
            len(self.delimiter) != 1 or self.delimiter.isalnum() or self.delimiter in '+-."\r\n'
        ):
            raise ValueError(f"delimiter {self.delimiter!r}: one character that no number has")
        if not self.columns:
            raise ValueError("columns: none given")
        if self.is_named:
            self._check_named()
        elif not 0 < self.column_count <= MAX_COLUMNS:
            raise ValueError(f"column_count {self.column_count}: 1..{MAX_COLUMNS}")
        self._check_columns()
        if self.encoding != "ascii":
            raise ValueError(f"encoding {self.encoding!r}: only 'ascii' is read")
        if abs(self.utc_offset_minutes) > 24 * 60:
            raise ValueError(f"utc_offset_minutes {self.utc_offset_minutes}: more than a day")
        if self.time_format not in ("iso", "epoch_s", "epoch_ms"):
            self._try_time_format()

    def _check_named(self) -> None:
        if not all(isinstance(column, str) and column for _, column in self.columns):
            raise ValueError("columns: numbers or names of columns, not both")
        if self.time_column is None and self.record_column is None:
            raise ValueError("columns: names need time_column or record_column, to know a header")
        if self.delimiter == "whitespace":
            raise ValueError("columns: names need a delimiter of one character")
        if not 0 <= self.column_count <= MAX_COLUMNS:
            raise ValueError(f"column_count {self.column_count}: 0..{MAX_COLUMNS}")

    def _check_columns(self) -> None:
        used: dict[int | str, str] = {}
        count = self.column_count or MAX_COLUMNS
        named = [*self.columns, ("time_column", self.time_column)]
        for name, column in [*named, ("record_column", self.record_column)]:
            if column is None:
                continue
            if isinstance(column, int) and not 0 <= column < count:
                raise ValueError(f"{name}: column {column} not in 0..{count - 1}")
            if column in used:
                raise ValueError(f"{name}: column {column} is already {used[column]}")
            used[column] = name
        names = [name for name, _ in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"columns: a channel is named twice: {', '.join(names)}")

    def _try_time_format(self) -> None:
        try:
            text = _PROBE.strftime(self.time_format)
            probed = datetime.strptime(text, self.time_format)
            same = probed.replace(tzinfo=None) == _PROBE
        except (ValueError, OverflowError, re.error) as error:
            raise ValueError(f"time_format {self.time_format!r}: {error}") from None
        if not same:
            raise ValueError(f"time_format {self.time_format!r}: lacks a part of date or time")

    @property
    def is_named(self) -> bool:
        """Whether a header tells where the columns are."""
        return any(isinstance(column, str) for _, column in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names in the order of a reading's values."""
        return tuple(name for name, _ in self.columns)

    def time_reader(self) -> Callable[[str], int]:
        """Give what turns the time column into ms since 1970; it raises only ValueError."""
        offset_ms = self.utc_offset_minutes * 60_000
        if self.time_format == "iso":
            return _reader(_from_iso, self.utc_offset_minutes)
        if self.time_format == "epoch_s":
            return lambda text: _within(round(_number(text) * 1000) - offset_ms)
        if self.time_format == "epoch_ms":
            return lambda text: _within(round(_number(text)) - offset_ms)
        pattern = self.time_format
        return _reader(lambda text: datetime.strptime(text, pattern), self.utc_offset_minutes)


def _reader(parse: Callable[[str], datetime], utc_offset_minutes: int) -> Callable[[str], int]:
    offset_ms = utc_offset_minutes * 60_000

    def read(text: str) -> int:
        moment = parse(text)
        if moment.tzinfo is None:
            since = moment.replace(tzinfo=_UTC) - _EPOCH
            return _within(_as_ms(since) - offset_ms)
        return _within(_as_ms(moment - _EPOCH))

    return read


def _from_iso(text: str) -> datetime:
    if len(text) < _SHORTEST_ISO:
        raise ValueError("no date and time")  # a bare date is a time cut short
    if text[-1] in "Zz":  # Python 3.10 does not know it
        text = text[:-1] + "+00:00"
    return datetime.fromisoformat(text)


def _as_ms(since: timedelta) -> int:
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def _number(text: str) -> float:
    if "_" in text:  # Python reads 1_0 as 10
        raise ValueError("underscore in a number")
    number = float(text)
    if not abs(number) < 1e15:  # NaN and infinity too
        raise ValueError("no time")
    return number


def _within(time_ms: int) -> int:
    if not 0 <= time_ms < MAX_TIME_MS:
        raise ValueError("not in 1970..2200")
    return time_ms
