"""The highest counter of each bundle name that this gateway has armed: no signed one from before.

A store that is damaged or cannot be read counts as empty, and says so: the signature still
holds, and an unwatched slope is worse than an older model. Whoever can damage the file could
have removed it as well.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edge.manifest import Manifest

COUNTERS_FILE = "counters.json"
DAMAGED_FILE = "counters.damaged.json"
MAX_COUNTERS_BYTES = 1024 * 1024
_FORMAT = 1


def read_counters(data_dir: Path) -> tuple[dict[str, int], str]:
    """Return the highest counter by bundle name, and what is wrong with the store ("": nothing)."""
    path = data_dir / COUNTERS_FILE
    try:
        return _read(path), ""
    except OSError as error:
        return {}, _forgotten(path, error.strerror or str(error))
    except ValueError:
        return {}, _forgotten(path, "damaged")


def older(manifest: Manifest, highest: Mapping[str, int]) -> str:
    """Return why this signed manifest is refused as an older one, "" when it is not."""
    ran = highest.get(manifest.name, 0)
    if manifest.counter >= ran:
        return ""
    return (
        f"{manifest.label}: not armed: counter {manifest.counter}, this gateway has run {ran}: a "
        "signed but older bundle; copy the newest here, or, to go back on purpose, sign this one "
        "again with talus-export sign"
    )


def keep_counters(data_dir: Path, armed: Mapping[str, int]) -> tuple[str, ...]:
    """Raise the stored counters to those of the bundles armed now; returns what went wrong.

    Whatever is wrong, the bundles stay armed. A damaged store is set aside, one that cannot be
    read is left alone.
    """
    path = data_dir / COUNTERS_FILE
    notes: list[str] = []
    kept: dict[str, int] = {}
    try:
        try:
            kept = _read(path)
        except ValueError:
            notes.append(_forgotten(path, "damaged"))
            path.replace(path.with_name(DAMAGED_FILE))
        raised = kept | {name: max(counter, kept.get(name, 0)) for name, counter in armed.items()}
        if raised != kept:
            _write(path, raised)
    except OSError as error:
        notes.append(
            f"{path}: {error.strerror or error}: an older signed bundle would be armed after a "
            "restart: make it readable and writable"
        )
    return tuple(notes)


def _read(path: Path) -> dict[str, int]:
    """Return what is stored, nothing where no file is. Raises OSError, ValueError (damaged)."""
    if not path.exists():
        return {}
    if not path.is_file():  # a pipe would be waited for
        raise ValueError("no file")
    with path.open("rb") as file:
        data = file.read(MAX_COUNTERS_BYTES + 1)
    if len(data) > MAX_COUNTERS_BYTES:
        raise ValueError("too large")
    try:
        values = json.loads(data)
        counters = values["counters"]
        if values["format"] != _FORMAT or not isinstance(counters, dict):
            raise ValueError("another format")
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("another form") from error
    if not all(type(v) is int and v >= 0 for v in counters.values()):
        raise ValueError("not a counter")
    return counters


def _write(path: Path, counters: dict[str, int]) -> None:
    """Write aside, flush, rename: after a power cut there is the old file or the new one."""
    aside = path.with_name(f".{path.name}.new")
    data = json.dumps({"format": _FORMAT, "counters": counters}, indent=1, sort_keys=True)
    with aside.open("w", encoding="utf-8") as file:
        file.write(data + "\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _forgotten(path: Path, why: str) -> str:
    return f"{path}: {why}: which bundles ran here is forgotten, a signed older one would be armed"
