"""The image: boot (FAT), root (ext4), data (ext4), from a root file system and a card's files."""

from __future__ import annotations

import shutil
import stat
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import TalusError
from export.image.ext4 import Entry, make_ext4, needed_mib
from export.image.fat import MIN_MIB, make_fat
from export.image.layout import FAT32, LINUX, MIB, SECTOR, lay_out, mbr_bytes
from export.image.root_tree import folder, lay_out_root, link, put
from export.provision.firstboot.card import MANIFEST, sha256
from export.provision.firstboot.grow import LABEL as DATA
from export.provision.firstboot.place import CARD
from export.provision.firstboot_app import data_file, firstboot_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.image.layout import Partition

BOOT, ROOT = "bootfs", "rootfs"
DISK_ID = 0x7A1D5000
TIME_S = 1735689600
"""2025-01-01: the date of what is in an image, unless SOURCE_DATE_EPOCH says another."""
_NAMES = uuid.UUID("0c5f7a60-2f6e-4b1e-8a76-7a1d50000001")
_DATA_OPTIONS = "noatime,nodev,nosuid,noexec,nofail,x-systemd.device-timeout=10min"
# Waited for as long as a busy board may take to find its data partition: what gives up does
# not try again, and Talus does not start without it. Nothing else waits: nofail.
_FSTAB = f"""\
LABEL={ROOT} / ext4 noatime,errors=remount-ro 0 1
LABEL={BOOT} /boot/firmware vfat noatime,flush,umask=0077,nofail 0 2
LABEL={DATA} /var/lib/talus ext4 {_DATA_OPTIONS} 0 2
"""
_UNITS = "etc/systemd/system"
_CONNECTIONS = "etc/NetworkManager/system-connections"
_NO_RADIO = (
    "note: the card has Wi-Fi or a SIM, and this root no NetworkManager to hand them to: the first "
    "boot will never be done, and their keys stay on the card; leave them out of site.toml, or "
    "put network-manager into the root"
)
_CHUNK = 4 * MIB


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an image is built of. Sizes in MiB; ``root_mib`` 0: as much as is needed."""

    root: Path
    card: Path | None = None
    boot: Path | None = None
    cmdline: str = ""
    boot_mib: int = 256
    root_mib: int = 0
    data_mib: int = 64
    time_s: int = TIME_S
    """Every time stamp in it."""


def build(out: Path, wanted: Wanted, told: Callable[[str], None]) -> str:
    """Build the image, written aside and then put in place; returns its sha256.

    Raises TalusError, OSError.
    """
    _check(wanted)
    aside = out.with_name(f".{out.name}.new")
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".talus-image.") as scratch:
            parts = _parts(Path(scratch), wanted, told)
            told("image ...")
            sizes = [path.stat().st_size // MIB for path in parts]
            kinds = zip((FAT32, LINUX, LINUX), sizes, strict=True)
            layout = lay_out(*kinds)
            _join(aside, parts, layout)
        digest = sha256(aside)
        aside.replace(out)
        return digest
    finally:
        aside.unlink(missing_ok=True)


def _check(wanted: Wanted) -> None:
    if not wanted.root.exists():
        raise TalusError(f"--root {wanted.root}: there is neither folder nor tarball")
    if wanted.card is not None and not (wanted.card / CARD / MANIFEST).is_file():
        raise TalusError(f"--card {wanted.card}: not a folder of talus-export provision")
    if wanted.boot_mib < MIN_MIB or wanted.data_mib < 16:
        raise TalusError(f"--boot-mb: at least {MIN_MIB}; --data-mb: at least 16")


def _parts(scratch: Path, wanted: Wanted, told: Callable[[str], None]) -> list[Path]:
    """Make the three file systems as files of their own."""
    told("boot partition ...")
    boot = scratch / "boot"
    boot.mkdir()
    for source in (wanted.boot, wanted.card):
        if source is not None:
            shutil.copytree(source, boot, dirs_exist_ok=True, copy_function=shutil.copyfile)
    if wanted.cmdline:
        (boot / "cmdline.txt").write_text(f"{wanted.cmdline.strip()}\n", encoding="utf-8")
    paths = [scratch / f"{name}.img" for name in (BOOT, ROOT, DATA)]
    make_fat(paths[0], wanted.boot_mib, BOOT, DISK_ID, boot, wanted.time_s)
    told("root partition ...")
    tree = scratch / "root"
    entries = lay_out_root(wanted.root, tree)
    _prepare(tree, entries, with_card=wanted.card is not None)
    if wanted.card is not None and not (tree / _CONNECTIONS).is_dir() and _has_radio(wanted.card):
        told(_NO_RADIO)
    size = wanted.root_mib or needed_mib(tree)
    make_ext4(paths[1], size, ROOT, _uuid(ROOT), tree, entries, wanted.time_s)
    told("data partition ...")
    empty = scratch / "data"
    empty.mkdir()
    root = {"": Entry(stat.S_IFDIR | 0o755)}
    make_ext4(paths[2], wanted.data_mib, DATA, _uuid(DATA), empty, root, wanted.time_s)
    return paths


def _has_radio(card: Path) -> bool:
    """Whether a card brings what only NetworkManager takes."""
    named = card / "network-config"
    return any((card / CARD / "network").glob("*.nmconnection")) or (
        named.is_file() and b"password" in named.read_bytes()
    )


def _uuid(name: str) -> uuid.UUID:
    return uuid.uuid5(_NAMES, name)


def _prepare(tree: Path, entries: dict[str, Entry], *, with_card: bool) -> None:
    """Put into the root what mounts the others, and what runs at first boot."""
    for name in ("boot/firmware", "var/lib/talus"):
        folder(tree, entries, name)
    put(tree, entries, "etc/fstab", _FSTAB.encode())
    # Empty: made at the first boot, and nobody is asked anything at a console.
    put(tree, entries, "etc/machine-id", b"", 0o444)
    if not with_card:
        return
    put(tree, entries, "usr/local/lib/talus/talus-firstboot", firstboot_app(), 0o755)
    for kind, wants in (("service", "multi-user.target"), ("timer", "timers.target")):
        name = f"talus-firstboot.{kind}"
        put(tree, entries, f"{_UNITS}/{name}", data_file(name))
        link(tree, entries, f"{_UNITS}/{wants}.wants/{name}", f"../{name}")


def _join(out: Path, parts: list[Path], layout: tuple[Partition, ...]) -> None:
    out.unlink(missing_ok=True)
    out.touch(mode=0o600)  # a card's secrets are in it
    with out.open("wb") as image:
        image.write(mbr_bytes(layout, DISK_ID))
        for path, where in zip(parts, layout, strict=True):
            with path.open("rb") as part:
                at = where.offset
                while chunk := part.read(_CHUNK):
                    if chunk.count(0) != len(chunk):  # the rest is a hole, and reads as zeros
                        image.seek(at)
                        image.write(chunk)
                    at += len(chunk)
        image.truncate(max(each.offset + each.size for each in layout))
    assert out.stat().st_size % SECTOR == 0
