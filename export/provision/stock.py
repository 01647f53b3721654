"""A stock OS image, unpacked and proven whole; then the card's files in its boot partition."""

from __future__ import annotations

import lzma
from typing import IO, TYPE_CHECKING

from edge.errors import TalusError
from export.image.fat import check_space, copy_into, read_file
from export.image.layout import FAT_KINDS, SECTOR, read_mbr
from export.provision.folder import content_in
from export.provision.os_files import CMDLINE, cmdline_for, instance_of

if TYPE_CHECKING:
    from pathlib import Path

    from export.provision.plan import Plan
    from export.provision.writing import Progress

CHUNK = 4 * 1024 * 1024
XZ_MAGIC = b"\xfd7zXZ\x00"
MAX_IMAGE_BYTES = 256 * 1024**3


def unpack(image: Path, out: Path, progress: Progress) -> None:
    """Copy a raw or .xz image to the end; what is cut short is found here, before any card is.

    Raises TalusError.
    """
    with image.open("rb") as first:
        packed = first.read(len(XZ_MAGIC)) == XZ_MAGIC
    if not packed and image.suffix in {".xz", ".zip", ".gz", ".zst"}:
        what = "is no .xz file" if image.suffix == ".xz" else f"unpack it: {image.suffix} not read"
        raise TalusError(f"{image}: {what}")
    progress.stage("unpack", image.stat().st_size)
    total = 0
    try:
        out.touch(mode=0o600)  # a card's secrets will be in it
        with image.open("rb") as raw, out.open("wb") as target:
            source: IO[bytes] = lzma.open(raw) if packed else raw  # noqa: SIM115  (closes with it)
            before = 0
            while chunk := source.read(CHUNK):
                total += len(chunk)
                if total > MAX_IMAGE_BYTES:
                    raise TalusError(f"{image}: more than {MAX_IMAGE_BYTES // 1024**3} GiB in it")
                if chunk.count(0) == len(chunk):
                    target.seek(total)
                else:
                    target.write(chunk)
                progress.step(raw.tell() - before)
                before = raw.tell()
            target.truncate(total)
    except (lzma.LZMAError, EOFError) as error:
        raise TalusError(f"{image}: damaged or cut short: download it again ({error})") from error


def put_files(image: Path, folder: Path, plan: Plan, made_s: int) -> None:
    """Copy a card's folder into the boot partition of an image. Raises TalusError."""
    try:
        with image.open("rb") as file:
            partitions = read_mbr(file.read(SECTOR), image.stat().st_size)
    except TalusError as error:
        raise TalusError(f"--image: {error}") from error
    boot = next((each for each in partitions if each.kind in FAT_KINDS), None)
    if boot is None:
        raise TalusError("--image: has no FAT partition to boot from: is it Raspberry Pi OS?")
    line = read_file(image, boot.offset, CMDLINE)
    instance = instance_of(plan.site, made_s, content_in(folder))
    (folder / CMDLINE).write_text(cmdline_for(plan.suite, line, instance), encoding="utf-8")
    needed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = check_space(image, boot.offset)
    if needed > free - 1024 * 1024:
        has, wants = free // 1024**2, needed // 1024**2
        what = f"{has} MiB free, {wants} are needed: the slim package is smaller"
        raise TalusError(f"--image: its boot partition has {what}")
    copy_into(image, boot.offset, folder, max(made_s, 315532800))
