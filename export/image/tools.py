"""The programs that make file systems: asked for by their package where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from edge.errors import TalusError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PACKAGES = {
    "mcopy": "mtools", "mmd": "mtools", "mtype": "mtools", "mdir": "mtools",
    "mkfs.vfat": "dosfstools", "mke2fs": "e2fsprogs", "debugfs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
}  # fmt: skip
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"


def missing(*names: str) -> set[str]:
    """Return the packages that these programs would come with, if they are not there."""
    wanted = names or tuple(PACKAGES)
    return {PACKAGES[name] for name in wanted if shutil.which(name, path=_PATH) is None}


def run(
    words: Sequence[str | Path], *, env: Mapping[str, str] | None = None, ok: tuple[int, ...] = (0,)
) -> str:
    """Run one, return what it wrote. Raises TalusError with what it said."""
    name = str(words[0])
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise TalusError(f"{name} is not installed: apt install {PACKAGES.get(name, name)}")
    fixed = {**os.environ, "LC_ALL": "C", "TZ": "UTC", "MTOOLS_SKIP_CHECK": "1"}
    done = subprocess.run(
        [found, *map(str, words[1:])], capture_output=True, check=False, text=True,
        errors="replace", stdin=subprocess.DEVNULL, env={**fixed, **(env or {})},
    )  # fmt: skip
    complaints = done.stderr.strip().splitlines()
    if name == "debugfs":  # ends with 0 whatever went wrong; its name and version come first
        complaints = [line for line in complaints if not line.startswith("debugfs ")]
    if done.returncode not in ok or (name == "debugfs" and complaints):
        said = complaints or done.stdout.strip().splitlines()
        raise TalusError(f"{name}: {said[-1] if said else done.returncode}")
    return done.stdout
