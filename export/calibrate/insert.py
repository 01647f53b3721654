"""A fragment put into a whole site or gateway TOML, below its station, and proven by reading it."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from edge.config import load_config
from edge.errors import ConfigError, TalusError
from export.calibrate.aside import put

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = re.compile(r"""\s*(\[\[?)\s*([\w."'\s-]+?)\s*\]\]?\s*(#.*)?$""")
_NAMED = re.compile(r"""\s*name\s*=\s*["'](speed [1-4][^"']*)["']""")
_QUOTES = ('"""', "'''")
_OLD = "# replaced by the calibration: "


def inserted(text: str, station: str, fragment: str) -> str:
    """Return the TOML with the fragment in it; what it replaces is commented out.

    Raises TalusError where the text is laid out so that its station cannot be found.
    """
    blocks = _blocks(text.splitlines())
    first, stop = _station(blocks, station)
    out: list[str] = []
    for i, (header, lines) in enumerate(blocks):
        old = first <= i < stop and _replaced(header, lines)
        out += [_OLD + line if line.strip() else line for line in lines] if old else lines
        if i == stop - 1:
            while out and not out[-1].strip():
                out.pop()
            out += ["", *fragment.rstrip("\n").splitlines(), ""]
    return "\n".join(out).rstrip("\n") + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write a TOML aside, read it as a gateway would, and only then put it in its place."""

    def write(aside: Path) -> None:
        aside.write_text(text, encoding="utf-8")
        try:
            load_config(aside, site=True)
        except ConfigError as error:
            raise TalusError(
                f"{path} would not be valid, so it was not written: paste the fragment yourself "
                f"(leave out --into); {error}"
            ) from error

    put(path, write)


def _blocks(lines: list[str]) -> list[tuple[str, list[str]]]:
    """Cut into (header, lines): a table each, its comments above it with it."""
    blocks: list[tuple[str, list[str]]] = [("", [])]
    within = ""
    for line in lines:
        match = None if within else _HEADER.match(line)
        if match:
            above = blocks[-1][1]
            lead = len(above)
            while lead and above[lead - 1].lstrip().startswith("#"):
                lead -= 1
            blocks.append((match[1] + re.sub(r"\s", "", match[2]), above[lead:]))
            del above[lead:]
        blocks[-1][1].append(line)
        for quote in _QUOTES:
            if line.count(quote) % 2 and within in ("", quote):
                within = "" if within else quote
                break
    return blocks


def _station(blocks: list[tuple[str, list[str]]], station: str) -> tuple[int, int]:
    """Return the first block of a station and the one past its last."""
    starts = [i for i, (header, _) in enumerate(blocks) if header == "[[station"]
    for start in starts:
        try:
            table = tomllib.loads("\n".join(blocks[start][1]))
        except tomllib.TOMLDecodeError:
            continue
        if table.get("station", [{}])[0].get("name") != station:
            continue
        stop = start + 1
        while stop < len(blocks) and re.match(r"\[\[?station\.", blocks[stop][0]):
            stop += 1
        return start, stop
    raise TalusError(
        f"no [[station]] with name = {station!r} of its own in the file: paste the fragment "
        "yourself (leave out --into)"
    )


def _replaced(header: str, lines: list[str]) -> bool:
    """Return whether a table is one that the fragment brings anew."""
    if header.startswith("[station.site."):
        return True
    return header == "[[station.rule" and any(_NAMED.match(line) for line in lines)
