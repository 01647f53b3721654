"""Guessing how a logger writes its lines: delimiter, columns, time, record number. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from edge.probe_finding import Finding, key, text
from firmware_bridge.line_format import MAX_COLUMNS, MISSING, LineFormat

ENOUGH_LINES = 4
"""So many lines tell a record number from a value, and one cut line from the others."""
MAX_LINES = 50
"""More are not looked at."""
DELIMITERS = (",", ";", "\t", "|", "whitespace")
TIME_FORMATS = (
    "iso",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d-%m-%Y %H:%M:%S",
    "%Y%m%d%H%M%S",
    "epoch_s",
    "epoch_ms",
)
_EPOCHS = {"epoch_s": (1e9, 4e9), "epoch_ms": (1e12, 4e12)}  # 2001..2096: no other number is so
_ENDS = re.compile(rb"[\r\n]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?")
_NAME = re.compile(r"[A-Za-z][\w .()/%-]{0,39}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LineGuess:
    """How the lines are written, as far as they tell."""

    format: LineFormat
    lines: int
    """How many fit."""
    notes: tuple[str, ...]


def guess_lines(data: bytes) -> LineGuess | None:
    """Look at what came in; None if it is not lines of numbers."""
    rows = _rows(data)
    if not rows:
        return None
    guesses = [guess for each in DELIMITERS if (guess := _with(each, rows)) is not None]
    # The delimiter under which most is a number; blanks also stand inside of times.
    return max(guesses, key=lambda g: (g.lines, len(g.format.columns)), default=None)


def finding_of(guess: LineGuess) -> Finding:
    """Say what was guessed, and write its table."""
    f = guess.format
    seen = [f"{guess.lines} lines of {f.column_count} columns, {_named(f.delimiter)}"]
    table = ["[port.lines]", f"delimiter = {text(f.delimiter)}", f"column_count = {f.column_count}"]
    if f.time_column is not None:
        seen.append(f"time in column {f.time_column}, format {f.time_format!r}")
        table += [f"time_column = {f.time_column}", f"time_format = {text(f.time_format)}"]
        if f.time_format not in _EPOCHS:
            table.append("utc_offset_minutes = 0  # of the logger's clock, east positive")
    else:
        table.append("# no time column: the time of arrival counts")
    if f.record_column is not None:
        seen.append(f"record number in column {f.record_column}")
        table.append(f"record_column = {f.record_column}")
    columns = ", ".join(f"{key(name)} = {column}" for name, column in f.columns)
    table.append(f"columns = {{ {columns} }}")
    return Finding(
        "lines",
        (*seen, *guess.notes),
        (*(f"# {note}" for note in guess.notes), *table),
        whole=guess.lines >= ENOUGH_LINES,
    )


def _rows(data: bytes) -> list[str]:
    """Give the whole lines; none if too much of it is not text."""
    pieces = _ENDS.split(data)
    # What was cut by opening in its middle, and what has not ended yet.
    whole = [piece for piece in pieces[1:-1] if piece]
    if len(pieces) > 1 and not whole and _is_text(pieces[0]):
        whole = [pieces[0]]
    rows = [piece.decode("ascii") for piece in whole[:MAX_LINES] if _is_text(piece)]
    return rows if len(rows) * 10 >= len(whole[:MAX_LINES]) * 8 else []


def _is_text(line: bytes) -> bool:
    return bool(line) and all(32 <= byte < 127 or byte == 9 for byte in line)


def _with(delimiter: str, rows: list[str]) -> LineGuess | None:
    separator = None if delimiter == "whitespace" else delimiter
    if delimiter == "," and all(";" in row for row in rows):
        return None  # commas for points
    split = [[cell.strip().strip('"') for cell in row.split(separator)] for row in rows]
    split = [cells for cells in split if _is_data(cells)]
    if not split:
        return None
    count = Counter(map(len, split)).most_common(1)[0][0]
    fitting = [cells for cells in split if len(cells) == count]
    # One line in three may be of another kind, such as a status line; more is another delimiter.
    if len(fitting) * 3 < len(rows) * 2 - 6 or count > MAX_COLUMNS:
        return None
    if count == 1 and len(fitting) < ENOUGH_LINES:
        return None
    columns = list(zip(*fitting, strict=True))
    time_column, time_format = _time(columns)
    record = _record(columns, time_column)
    names = _names(rows, separator, count)
    used = {time_column, record}
    measured = tuple(
        (name, i)
        for i, (name, cells) in enumerate(zip(names, columns, strict=True))
        if i not in used and all(map(_is_value, cells))
    )
    if not measured:
        return None
    found = LineFormat(
        delimiter=delimiter,
        columns=measured,
        column_count=count,
        time_column=time_column,
        time_format=time_format,
        record_column=record,
    )
    return LineGuess(found, len(fitting), _notes(found, columns))


def _is_data(cells: list[str]) -> bool:
    """Say whether a line is numbers for the most part, and no header."""
    values = [cell for cell in cells if _is_value(cell)]
    return len(values) * 2 >= len(cells) - 1 and any(map(_NUMBER.fullmatch, values))


def _is_value(cell: str) -> bool:
    return cell in MISSING or _NUMBER.fullmatch(cell) is not None


def _time(columns: list[tuple[str, ...]]) -> tuple[int | None, str]:
    """Give the first column that is a time in every line, and its format."""
    for i, cells in enumerate(columns):
        for kind in TIME_FORMATS:
            if all(_reads(kind, cell) for cell in cells):
                return i, kind
    return None, "iso"


def _reads(kind: str, cell: str) -> bool:
    if kind in _EPOCHS:
        low, high = _EPOCHS[kind]
        return _NUMBER.fullmatch(cell) is not None and low <= float(cell) <= high
    if kind == "iso" and not re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:", cell):
        return False
    try:
        LineFormat("|", (("x", 1),), 2, 0, kind).time_reader()(cell)
    except (ValueError, OverflowError):
        return False
    return True


def _record(columns: list[tuple[str, ...]], time_column: int | None) -> int | None:
    """Give the first column that goes up by one from line to line."""
    for i, cells in enumerate(columns):
        if i == time_column or len(cells) < 3 or not all(cell.isdecimal() for cell in cells):
            continue
        numbers = [int(cell) for cell in cells]
        if all(b - a == 1 for a, b in pairwise(numbers)):
            return i
    return None


def _names(rows: list[str], separator: str | None, count: int) -> list[str]:
    """Give the names of a header line, such as the second of TOA5, where one came."""
    for row in rows:
        cells = [cell.strip().strip('"') for cell in row.split(separator)]
        if len(cells) != count or not all(map(_NAME.fullmatch, cells)):
            continue
        names = [re.sub(r"\W+", "_", cell).strip("_") for cell in cells]
        if len(set(names)) == count:
            return names
    return [f"column_{i}" for i in range(count)]


def _notes(found: LineFormat, columns: list[tuple[str, ...]]) -> tuple[str, ...]:
    notes = []
    if found.time_format in ("%d/%m/%Y %H:%M:%S", "%d-%m-%Y %H:%M:%S"):
        notes.append("day before month is assumed: compare with the logger's clock")
    if found.time_column is None and any(all(map(_CLOCK.fullmatch, cells)) for cells in columns):
        notes.append("date and time are in two columns, which cannot be read as one")
    if any(name.startswith("column_") for name, _ in found.columns):
        notes.append("no header came: name the columns after what they measure")
    return tuple(notes)


def _named(delimiter: str) -> str:
    named = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
    return f"between them {named.get(delimiter, 'blanks')}"
