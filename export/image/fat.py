"""The boot partition: FAT, by mkfs.vfat and mtools, in a file of its own or inside an image."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from export.image.layout import MIB
from export.image.tools import run

MIN_MIB = 40
"""Less holds too few clusters for FAT32, and the Raspberry Pi wants that."""


def make_fat(
    path: Path, size_mib: int, label: str, volume_id: int, tree: Path, time_s: int
) -> None:
    """Make a FAT32 file system of the files below a folder; every time in it is ``time_s``."""
    path.unlink(missing_ok=True)
    run(["mkfs.vfat", "--invariant", "-F", "32", "-n", label, "-i", f"{volume_id:08x}",
         "-C", path, str(size_mib * MIB // 1024)])  # fmt: skip
    copy_into(path, 0, tree, time_s)


def copy_into(image: Path, offset: int, tree: Path, time_s: int) -> None:
    """Copy all below a folder into the FAT at an offset of an image, in order of names."""
    target = f"{image}@@{offset}"
    env = {"SOURCE_DATE_EPOCH": str(time_s)}
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch) / "file"
        for path in sorted(tree.rglob("*")):
            inside = "::/" + str(path.relative_to(tree))
            if path.is_dir():
                run(["mmd", "-D", "s", "-i", target, inside], env=env, ok=(0, 1))
                continue
            shutil.copyfile(path, staged)
            os.utime(staged, (time_s, time_s))
            run(["mcopy", "-o", "-m", "-i", target, staged, inside], env=env)


def read_file(image: Path, offset: int, name: str) -> str:
    """Return a text file of the FAT at an offset. Raises TalusError where there is none."""
    return run(["mtype", "-i", f"{image}@@{offset}", f"::/{name}"])


def check_space(image: Path, offset: int) -> int:
    """Return how many bytes are free in the FAT at an offset."""
    last = run(["mdir", "-i", f"{image}@@{offset}", "::/"]).strip().splitlines()[-1]
    return int("".join(c for c in last.partition("bytes free")[0] if c.isdigit()) or 0)
