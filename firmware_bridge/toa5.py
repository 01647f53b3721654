"""The header of a Campbell TOA5 table: four lines, which a logger may send again at any time."""

from __future__ import annotations

import csv

MAX_FIELDS = 256
_TIME, _RECORD = "TIMESTAMP", "RECORD"
_LONGEST_PROCESSING = 8
"""As "Avg", "Smp", "TMx", "WVc" are."""


class Toa5Header:
    """Knows the lines of a header by what is in them, as any of them may be lost.

    "TOA5",station,model,serial,...        the environment
    "TIMESTAMP","RECORD","Tilt_Avg",...    the names
    "TS","RN","mrad",...                   the units
    "","","Avg",...                        the processing
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        """Names of the columns, of the latest header; () before the first."""

    def take(self, text: str, delimiter: str) -> str:
        """Say which line of a header this is: "names", "other", or "" for none."""
        if '"' not in text:
            return ""
        try:
            (fields,) = csv.reader([text], delimiter=delimiter, strict=True)
        except (csv.Error, ValueError):
            return ""
        first, last = fields[0], fields[-1]
        if first in (_TIME, _RECORD) and len(fields) <= MAX_FIELDS and all(fields):
            self.names = tuple(fields)
            return "names"
        if first == "TOA5" or (first in ("TS", "RN") and not _is_number(last)):
            return "other"
        if not first and len(fields) == len(self.names) and all(map(_is_processing, fields)):
            return "other"
        return ""


def places(names: tuple[str, ...], wanted: tuple[str, ...]) -> list[int] | str:
    """Find columns by name; a text says which is not there, or there twice."""
    for name in wanted:
        if names.count(name) != 1:
            return f"column {name!r} is {'twice' if name in names else 'not'} in the header"
    return [names.index(name) for name in wanted]


def _is_processing(field: str) -> bool:
    return len(field) <= _LONGEST_PROCESSING and not _is_number(field)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
