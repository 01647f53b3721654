"""A large state in pieces, so that what did not change of it is not written again. Pure.

A ring of hashes changes at one place a row, what rules know once a grid step: as one text all of
it would be written whole with every snapshot, and memory cards wear by that. Large parts of a
state stand apart, long texts are cut into pieces of one page of the database; what is stored under
the name itself refers to them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge.message import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 3_000
"""Characters of a piece."""
PART = 12_000
"""Characters; a part that is longer stands apart. Packed it fills a page and more of the database:
smaller ones would each take a page of their own."""
PART_DEPTHS = range(3, 7)
"""Where parts are looked for: stations, one station, what it consists of, and of what that does."""
MAX_PIECES = 1000
_CUT, _APART = "cut into pieces", "stands apart"
_MAX_DEPTH = 20


def cut(name: str, values: dict[str, Any]) -> dict[str, bytes]:
    """Return what to store, by name: the state itself under ``name``, and its pieces."""
    found: dict[str, bytes] = {}
    found[name] = to_json(_cut(name, values, found, 0))
    return found


def _cut(path: str, value: Any, found: dict[str, bytes], depth: int) -> Any:
    if isinstance(value, dict):
        inner = {key: _cut(f"{path}/{key}", v, found, depth + 1) for key, v in value.items()}
        if depth not in PART_DEPTHS or len(text := to_json(inner)) <= PART:
            return inner
        found[path] = text
        return {_APART: True}
    if not isinstance(value, str) or len(value) <= 2 * PIECE or not value.isascii():
        return value
    for i, at in enumerate(range(0, len(value), PIECE)):
        found[f"{path}/{i}"] = value[at : at + PIECE].encode()
    return {_CUT: -(-len(value) // PIECE)}


def join(name: str, load: Callable[[str], bytes | None]) -> Any:
    """Return the state stored under a name, None where there is none.

    Raises ValueError where it is damaged; a part that cannot be read is None.
    """
    saved = load(name)
    return None if saved is None else _join(name, json.loads(saved), load, _MAX_DEPTH)


def _join(path: str, value: Any, load: Callable[[str], bytes | None], depth: int) -> Any:
    if not isinstance(value, dict) or not depth:
        return value
    if value.keys() == {_APART}:
        return _join(path, _part(load(path)), load, depth - 1)
    if value.keys() != {_CUT}:
        return {k: _join(f"{path}/{k}", each, load, depth - 1) for k, each in value.items()}
    count = value[_CUT]
    if not isinstance(count, int) or not 0 < count <= MAX_PIECES:
        return None
    pieces = [load(f"{path}/{i}") for i in range(count)]
    if any(piece is None for piece in pieces):
        return None
    return b"".join(piece or b"" for piece in pieces).decode("ascii", "replace")


def _part(saved: bytes | None) -> Any:
    try:
        return None if saved is None else json.loads(saved)
    except ValueError:
        return None
