"""A file written aside and only then put in its place: there is never half of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def put(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make the file beside ``path``; where that fails, nothing is left of it."""
    aside = path.with_name(f".{path.name}.new")
    try:
        write(aside)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
