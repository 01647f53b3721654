"""Strict reading of parsed TOML and JSON: every mistake is collected with its path."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TEXT = 1024
MAX_LIST = 4096
_REQUIRED: Any = object()


class Mistakes:
    """The list of what is wrong in one document, so that a person can mend all of it at once."""

    def __init__(self, document: str) -> None:
        self.document = document
        self._found: list[str] = []

    def add(self, path: str, what: str) -> None:
        """Note a mistake at ``path`` (as in ``station[0].channel[2].unit``)."""
        self._found.append(f"{path}: {what}")

    def raise_if_any(self) -> None:
        """Raise ConfigError naming every mistake found so far."""
        if self._found:
            raise ConfigError(self.document, tuple(self._found))


class Table:
    """One table of the document. Every key must be asked for; ``done`` reports the rest."""

    def __init__(self, data: object, path: str, mistakes: Mistakes) -> None:
        self.path = path
        self.mistakes = mistakes
        self._asked: set[str] = set()
        if isinstance(data, dict):
            self._data: dict[str, Any] = data
        else:
            self._data = {}
            mistakes.add(path or "document", f"must be a table, is {_kind(data)}")

    def at(self, key: str) -> str:
        """Return the path of a key of this table."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Tell whether the key is present."""
        return key in self._data

    def is_text(self, key: str) -> bool:
        """Tell whether the key holds a text."""
        return isinstance(self._data.get(key), str)

    def wrong(self, key: str, what: str) -> None:
        """Note a mistake of meaning at a key."""
        self.mistakes.add(self.at(key), what)

    def _take(self, key: str, default: Any) -> tuple[Any, bool]:
        self._asked.add(key)
        if key in self._data:
            return self._data[key], True
        if default is _REQUIRED:
            self.wrong(key, "missing, and there is no default")
        return (None if default is _REQUIRED else default), False

    def text(
        self, key: str, default: Any = _REQUIRED, *, choices: tuple[str, ...] | None = None
    ) -> str:
        """Return a string; with ``choices``, one of them."""
        value, given = self._take(key, default)
        if not given:
            return value if isinstance(value, str) else ""
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            self.wrong(key, f"must be a text of at most {MAX_TEXT} characters, is {_kind(value)}")
            return ""
        if choices is not None and value not in choices:
            import difflib

            near = difflib.get_close_matches(value.lower(), [c.lower() for c in choices], n=1)
            meant = next((c for c in choices if [c.lower()] == near), "")
            hint = f"; did you mean {meant!r}?" if meant else ""
            self.wrong(key, f"{value!r} is not one of {', '.join(choices)}{hint}")
        return value

    def number(
        self, key: str, default: Any = _REQUIRED, *, low: float = -1e300, high: float = 1e300
    ) -> float:
        """Return a finite float inside [low, high]."""
        value, given = self._take(key, default)
        if not given:
            return float(value) if value is not None else math.nan
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.wrong(key, f"must be a number, is {_kind(value)}")
            return low if low > -1e300 else 0.0
        if not low <= value <= high:
            self.wrong(key, f"{_kind(value)} is outside {low:g} .. {high:g}")
            return low if low > -1e300 else 0.0
        return float(value)

    def integer(
        self, key: str, default: Any = _REQUIRED, *, low: int = 0, high: int = 2**62
    ) -> int:
        """Return an integer inside [low, high]."""
        value, given = self._take(key, default)
        if not given:
            return int(value) if value is not None else low
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(key, f"must be a whole number, is {_kind(value)}")
            return low
        if not low <= value <= high:
            self.wrong(key, f"{_kind(value)} is outside {low} .. {high}")
            return low
        return value

    def flag(self, key: str, default: Any = _REQUIRED) -> bool:
        """Return a boolean."""
        value, given = self._take(key, default)
        if given and not isinstance(value, bool):
            self.wrong(key, f"must be true or false, is {_kind(value)}")
        return bool(value)

    def numbers(
        self, key: str, default: Any = _REQUIRED, *, length: int | None = None
    ) -> tuple[float, ...]:
        """Return a tuple of finite floats, of a given length if asked."""
        found = self._list(key, default)
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in found):
            self.wrong(key, "must be a list of numbers")
            return (0.0,) * (length or 1)
        finite = all(-1e300 <= v <= 1e300 for v in found)
        fits = length is None or len(found) == length
        if not finite:
            self.wrong(key, "holds a number that is not finite")
        if not fits:
            self.wrong(key, f"must hold {length} numbers, holds {len(found)}")
        if not (finite and fits):
            return (0.0,) * (length or 1)
        return tuple(float(v) for v in found)

    def texts(self, key: str, default: Any = _REQUIRED) -> tuple[str, ...]:
        """Return a tuple of strings."""
        found = self._list(key, default)
        if not all(isinstance(v, str) and len(v) <= MAX_TEXT for v in found):
            self.wrong(key, "must be a list of texts")
            return ()
        return tuple(found)

    def table(self, key: str, *, required: bool = False) -> Table:
        """Return a sub-table, empty when absent and not required."""
        value, given = self._take(key, _REQUIRED if required else {})
        return Table(value if given or not required else {}, self.at(key), self.mistakes)

    def tables(self, key: str, *, at_least: int = 0) -> list[Table]:
        """Return a list of sub-tables (TOML ``[[key]]``)."""
        if isinstance(self._data.get(key), dict):
            self._asked.add(key)
            name = ".".join(word.partition("[")[0] for word in self.at(key).split("."))
            self.wrong(key, f"there may be several: write [[{name}]] in place of [{name}]")
            return []
        found = self._list(key, [])
        if len(found) < at_least:
            self.wrong(key, f"at least {at_least} needed")
        return [Table(v, f"{self.at(key)}[{i}]", self.mistakes) for i, v in enumerate(found)]

    def items(self) -> Iterator[tuple[str, Any]]:
        """Iterate over all keys of a table whose keys are free names."""
        self._asked.update(self._data)
        return iter(self._data.items())

    def done(self) -> None:
        """Report keys that nobody asked for: most often a misspelling."""
        unknown = [key for key in self._data if key not in self._asked]
        if unknown:
            import difflib

            for key in unknown:
                near = difflib.get_close_matches(key, sorted(self._asked), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known: {self._known()}"
                self.wrong(key, f"unknown key{hint}")

    def _known(self) -> str:
        return ", ".join(sorted(self._asked)) or "none"

    def _list(self, key: str, default: Any) -> list[Any]:
        value, given = self._take(key, default)
        if not given:
            return list(value) if value is not None else []
        if not isinstance(value, list) or len(value) > MAX_LIST:
            self.wrong(key, f"must be a list of at most {MAX_LIST}, is {_kind(value)}")
            return []
        return value


def _kind(value: object) -> str:
    if type(value) is int and abs(value) >= 2**63:  # one of 5000 digits cannot be written
        return "a number of more than 63 bits"
    names = {dict: "a table", list: "a list", str: "a text", bool: "true/false"}
    return names.get(type(value), f"{value!r}"[:40])
