"""A CSV of years, as a spreadsheet or a logger's program saved it, into readings."""

from __future__ import annotations

import codecs
import csv
import math
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError
from firmware_bridge.line_format import LineFormat
from firmware_bridge.reading import Dropped, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TIME = ("time", "timestamp", "datetime", "date_time", "date time")
_DELIMITERS = (",", ";", "\t")
_MISSING = frozenset({"", "nan", "null", "na", "n/a", "#n/a", "none", "-", "--"})
_LAST_SECOND = 100_000_000_000
"""Whole numbers below are seconds since 1970, from here on milliseconds (1973)."""


def delimiter_of(header: str) -> str:
    """Return what stands after the first cell of a header that begins with a time; "" if none.

    The header may be UTF-16 that was read as if it were UTF-8.
    """
    header = header.replace("\0", "").lstrip("\ufffd\ufeff")
    if header.lower() in _TIME:
        return ","
    for delimiter in _DELIMITERS:
        first, found, _ = header.partition(delimiter)
        if found and first.strip().strip('"').strip().lower() in _TIME:
            return delimiter
    return ""


def read_csv(source: str, path: Path, delimiter: str) -> Iterator[Reading | Dropped]:
    """Give the rows as readings that arrive when they were measured; a row there twice, once.

    Between semicolons or tabs a decimal comma is read too. Raises TalusError with the line.
    """
    with path.open(newline="", encoding=_encoding(path), errors="surrogateescape") as file:
        rows = _rows(path, csv.reader(file, delimiter=delimiter, skipinitialspace=True))
        header = tuple(_named(name) for name in next(rows, (1, []))[1])
        if len(set(header)) != len(header) or len(header) < 2:
            raise TalusError(f"{path}:1: column names must differ, and one must follow the time")
        to_ms = {
            kind: LineFormat(",", (("x", 1),), 2, time_column=0, time_format=kind).time_reader()
            for kind in ("epoch_ms", "epoch_s", "iso")
        }
        before: object = None
        for number, row in rows:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{path}:{number}"
            while len(row) > len(header) and not row[-1].strip():
                row.pop()  # a delimiter at the end of each line
            if len(row) != len(header):
                raise TalusError(f"{where}: {len(row)} columns, the header has {len(header)}")
            at = row[0].strip()
            kind = "iso"
            if at.lstrip("-").isdigit():
                kind = "epoch_s" if len(at) < 12 and abs(int(at)) < _LAST_SECOND else "epoch_ms"
            try:
                time_ms = to_ms[kind](at)
            except (ValueError, OverflowError) as error:
                wrong = f"{where}: time {at[:40]!r}: {error}"
                good = "2024-01-31 14:00 (ISO 8601, UTC) or milliseconds since 1970"
                raise TalusError(f"{wrong}; write {good}") from error
            values = tuple(_value(cell, where, delimiter) for cell in row[1:])
            if (time_ms, values) == before:
                yield Dropped(source, "duplicate", f"{where}: as the row above", time_ms, 0)
                continue
            before = (time_ms, values)
            yield Reading(source, time_ms, number, header[1:], values, time_ms)


def _encoding(path: Path) -> str:
    """Return UTF-16 for a file that says so in its first bytes (Excel's "Unicode text")."""
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if start[1::2] == b"\0\0":
        return "utf-16-le"
    return "utf-16-be" if start[::2] == b"\0\0" else "utf-8-sig"


def _named(cell: str) -> str:
    """Return a column's name; bytes that are no UTF-8 are taken as Windows wrote them (cp1252)."""
    raw = cell.strip().encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _rows(path: Path, rows: Any) -> Iterator[tuple[int, list[str]]]:
    """Give (line number, cells); damage that the csv module sees is named with its line."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise TalusError(f"{path}:{rows.line_num}: {error}") from error
        except UnicodeError as error:
            what = f"not the text it began as ({error}): save the file as UTF-8"
            raise TalusError(f"{path}:{rows.line_num + 1}: {what}") from error
        yield rows.line_num, row


def _value(cell: str, where: str, delimiter: str) -> float:
    text = cell.strip()
    if text.lower() in _MISSING:
        return math.nan
    if delimiter != "," and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        value = float(text)
    except ValueError as error:
        raise TalusError(f"{where}: {text[:40]!r} is no number; leave it empty") from error
    return value if math.isfinite(value) else math.nan
