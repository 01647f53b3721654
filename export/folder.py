"""A folder of results, written aside and put in place in one step."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from edge.errors import TalusError

MARK = "parity.json"
"""A folder that holds this and no manifest is an earlier result: it may be replaced."""


def check_folder(out: Path) -> None:
    """Raise TalusError if something else stands there."""
    mine = out.is_dir() and (out / MARK).is_file() and not (out / "manifest.json").exists()
    empty = out.is_dir() and not any(out.iterdir())
    if (out.exists() or out.is_symlink()) and not mine and not empty:
        raise TalusError(f"{out}: exists and is no earlier result; choose another --out")


def write_folder(out: Path, files: dict[str, bytes]) -> None:
    """Write the files, MARK among them, replacing an earlier result. Raises TalusError, OSError."""
    check_folder(out)
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    old = aside.with_name(aside.name + ".old")
    try:
        for name, data in files.items():
            (aside / name).write_bytes(data)
        aside.chmod(0o755)
        if out.exists():
            out.rename(old)
        aside.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        shutil.rmtree(aside, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def check_file(path: Path, option: str) -> None:
    """Raise TalusError if no file can be written there: before hours of work, not after."""
    parent = path.absolute().parent
    if path.is_dir():
        raise TalusError(f"{option} {path}: is a folder; name a file")
    if not parent.is_dir():
        raise TalusError(f"{option} {path}: {parent}: no such folder")
    if not os.access(parent, os.W_OK):
        raise TalusError(f"{option} {path}: cannot be written in {parent}")


def write_file(path: Path, data: bytes) -> None:
    """Write a file aside and rename it: there is never half of it. Raises OSError."""
    aside = path.with_name(f".{path.name}.new")
    try:
        aside.write_bytes(data)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
